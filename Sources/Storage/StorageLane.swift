internal import CoreMetrics
internal import DequeModule
internal import Logging
internal import Model
internal import Synchronization

/// One dedicated thread that writes the partitions pinned to it: group commit, roll, retention, checkpoints.
///
/// A turn: one job, then one group of appends, bounded in bytes; what was queued while the group's syncs ran is the next one.
///
// Safe because: `queue`, the jobs and `isStopping` are guarded by `monitor`; everything else is touched on the lane's thread only.
final class StorageLane: @unchecked Sendable {
  typealias Job = @Sendable (StorageLane) -> Void

  let index: Int
  unowned let store: StoreShared
  private let monitor = Monitor()
  private var queue: [AppendRequest] = []
  private var jobs = Deque<Job>()
  /// One of them runs in a turn that has no other job, and in each sixteenth.
  private var backgroundJobs = Deque<Job>()
  /// What followers said; all of it is taken in each turn.
  private var words: [FollowerWord] = []
  private var turn = 0
  private var isWaiting = false
  private var isStopping = false

  let syncer: WALSyncer
  private var thread: StorageThread?
  private(set) var writers: [ObjectIdentifier: PartitionWriter] = [:]
  /// Writers with segments to seal, files to remove or a fence to lift; looked after while the lane has time.
  private var unfinished: [ObjectIdentifier: PartitionWriter] = [:]
  private var nextTick: Int64 = 0
  private var useCounter: UInt64 = 0
  private(set) var openWriterCount = 0
  /// Closing segments that the folding thread has or will come to.
  var sealingsInFlight = 0
  var tails: TailBudget
  /// Partitions that have followers to wait for.
  var replicatedCount = 0

  /// Nanoseconds between two looks at what is unfinished.
  private static let tickInterval: Int64 = 100_000_000

  init(index: Int, store: StoreShared) {
    self.index = index
    self.store = store
    syncer = WALSyncer(helperCount: store.options.syncHelperCount, name: "lane-\(index)")
    tails = TailBudget(
      bytesMax: store.options.logTailBytesMax / max(1, store.options.laneCount),
      bytesPerPartitionMax: store.options.logTailBytesPerPartitionMax)
  }

  /// Everybody waits for the lane, and it waits for the disk most of the time: what it has to do in between comes first.
  private static let niceness: CInt = -10

  func start() { thread = StorageThread("lane-\(index)", niceness: Self.niceness) { [unowned self] in self.run() } }

  // Any thread

  func submit(_ appends: [AppendRequest]) {
    monitor.lock()
    let isAccepted = !isStopping
    if isAccepted { queue.append(contentsOf: appends) }
    let wake = isWaiting
    monitor.unlock()
    if wake { monitor.signal() }
    if !isAccepted {
      for append in appends { append.outcome = .rejected(.notLeaderOrFollower, message: "the node is stopping") }
      handBack(appends)
    }
  }

  /// - Parameter orElse: called instead when the lane has stopped.
  func submit(_ job: @escaping Job, orElse: @escaping @Sendable () -> Void) {
    monitor.lock()
    let isAccepted = !isStopping
    if isAccepted { jobs.append(job) }
    let wake = isWaiting
    monitor.unlock()
    if wake { monitor.signal() }
    if !isAccepted { orElse() }
  }

  /// Submits work that nobody waits for; what has not begun when the lane is stopped is dropped.
  func submitInBackground(_ job: @escaping Job) {
    monitor.lock()
    if !isStopping { backgroundJobs.append(job) }
    let wake = isWaiting
    monitor.unlock()
    if wake { monitor.signal() }
  }

  /// Passes on what a follower said.
  func submit(_ word: FollowerWord) {
    monitor.lock()
    if !isStopping { words.append(word) }
    let wake = isWaiting
    monitor.unlock()
    if wake { monitor.signal() }
  }

  /// Finishes what was submitted, closes every file and ends the thread.
  func stop() {
    monitor.lock()
    isStopping = true
    backgroundJobs = []
    monitor.signal()
    monitor.unlock()
    thread?.join()
    syncer.stop()
  }

  // The lane's thread

  func preconditionIsolated() { precondition(thread?.isCurrent ?? false, "called off the storage lane") }

  private func run() {
    var group: [AppendRequest] = []
    var words: [FollowerWord] = []
    while waitForWork(&group, &words) {
      if !words.isEmpty {
        hear(words)
        words.removeAll(keepingCapacity: true)
      }
      if let job = nextJob() { job(self) }
      if !group.isEmpty, !store.takesAppends.load(ordering: .acquiring) {
        for append in group { append.outcome = .rejected(.notLeaderOrFollower, message: "this node takes no records now") }
        handBack(group)
        group.removeAll(keepingCapacity: true)
      }
      if !group.isEmpty {
        let begin = threadProcessorNanoseconds()
        let taken = commit(group)
        store.scanPace.noteBusy(nanoseconds: threadProcessorNanoseconds() - begin)
        if taken < group.count { putBack(Array(group[taken...])) }
        group.removeAll(keepingCapacity: true)
      }
      tickIfDue()
    }
    closeAll()
  }

  /// Blocks until there is something to do, and takes a group of appends, bounded in bytes.
  ///
  /// - Returns: false when the lane has stopped and nothing is left.
  private func waitForWork(_ group: inout [AppendRequest], _ said: inout [FollowerWord]) -> Bool {
    monitor.lock()
    defer { monitor.unlock() }
    while queue.isEmpty, jobs.isEmpty, backgroundJobs.isEmpty, words.isEmpty {
      if isStopping { return false }
      isWaiting = true
      if unfinished.isEmpty { monitor.wait() } else { monitor.wait(until: nextTick) }
      isWaiting = false
      if !unfinished.isEmpty, monotonicNanoseconds() >= nextTick { return true }
    }
    swap(&words, &said)
    var take = 0
    var bytes = 0
    while take < queue.count, take == 0 || bytes + queue[take].byteCount <= store.options.groupCommitBytesMax {
      bytes += queue[take].byteCount
      take += 1
    }
    if take == queue.count {
      swap(&queue, &group)
    } else {
      group.append(contentsOf: queue[..<take])
      queue.removeSubrange(..<take)
    }
    return true
  }

  private func putBack(_ appends: [AppendRequest]) {
    monitor.lock()
    queue.insert(contentsOf: appends, at: 0)
    monitor.unlock()
  }

  private func nextJob() -> Job? {
    monitor.lock()
    defer { monitor.unlock() }
    turn += 1
    return turn % 16 == 0 ? backgroundJobs.popFirst() ?? jobs.popFirst() : jobs.popFirst() ?? backgroundJobs.popFirst()
  }

  // Writers

  /// The partition's writer with its segment open; loads it at its first use.
  func writer(of log: PartitionLog) throws(StorageError) -> PartitionWriter {
    let writer = try stateWriter(of: log)
    useCounter += 1
    writer.lastUse = useCounter
    try writer.makeReady()
    return writer
  }

  /// The partition's writer, with its segment open or not, for work that opens it only if there is something to change; loads it at
  /// its first use.
  func stateWriter(of log: PartitionLog) throws(StorageError) -> PartitionWriter {
    let id = ObjectIdentifier(log)
    if let writer = writers[id] { return writer }
    let (gone, isReplica) = log.shared.withLock { ($0.isDeleted ? log.gone($0) : nil, $0.isReplica) }
    if let gone { throw gone }
    guard !isReplica else { throw .notLeader(log.topicPartition) }
    makeRoom(sparing: nil)
    do throws(StorageError) {
      let writer = try PartitionWriter(loading: log, lane: self)
      do throws(StorageError) { try writer.leaveOutWhatIsLost() } catch {
        writer.abandon(.closed, "the partition cannot be opened")
        unfinished[id] = nil
        log.shared.withLock { ($0.segments, $0.offsets) = ([], nil) }
        throw error
      }
      useCounter += 1
      writer.lastUse = useCounter
      writers[id] = writer
      return writer
    } catch {
      store.logger.error(
        "partition could not be opened", metadata: ["partition": "\(log.topicPartition)", "error": "\(error)"])
      throw error
    }
  }

  func loadedWriter(of log: PartitionLog) -> PartitionWriter? { writers[ObjectIdentifier(log)] }

  /// Lets go of a partition and everything it has open; its files are the caller's to remove.
  func delete(_ log: PartitionLog) {
    let segments = log.shared.withLock { shared in
      shared.isDeleted = true
      shared.failure = "the partition was deleted"
      shared.tail.removeAll()
      return shared.segments
    }
    if let writer = writers.removeValue(forKey: ObjectIdentifier(log)) {
      writer.abandon(.unknownPartition(log.topicPartition), "the topic was deleted")
    }
    unfinished[ObjectIdentifier(log)] = nil
    tails.note(log, tailBytes: 0)
    store.readAhead.drop(log)
    for file in segments {
      _ = file.claimRemoval(force: true)
      store.readers.drop(file)
    }
  }

  /// Lets go of a partition that another node is to lead: what is committed is synced, and its files stay. Appends that wait for followers are
  /// answered: what is in the log may stay in it or not.
  func release(_ log: PartitionLog) {
    let files = log.shared.withLock { shared in
      (shared.isDeleted, shared.isReleased) = (true, true)
      shared.failure = "another node leads the partition"
      shared.tail.removeAll()
      return shared.segments
    }
    if let writer = writers.removeValue(forKey: ObjectIdentifier(log)) {
      if let segment = writer.segment, segment.sync() != 0 { writer.fence("its WAL could not be synced") }
      writer.abandon(.notLeader(log.topicPartition), "another node leads the partition")
    }
    unfinished[ObjectIdentifier(log)] = nil
    tails.note(log, tailBytes: 0)
    store.readAhead.drop(log)
    for file in files { store.readers.drop(file) }
  }

  func noteTail(of log: PartitionLog, bytes: Int) { tails.note(log, tailBytes: bytes) }

  /// Has the lane look after `writer` now and then until nothing is left to do.
  func watch(_ writer: PartitionWriter) {
    if unfinished.isEmpty { nextTick = monotonicNanoseconds() + Self.tickInterval }
    unfinished[ObjectIdentifier(writer.log)] = writer
  }

  func noteOpened() {
    openWriterCount += 1
    store.databases.willOpenWriter()
  }
  func noteClosed() {
    openWriterCount -= 1
    store.databases.noteClosed()
  }

  var isFull: Bool { openWriterCount >= store.databases.writersPerLaneMax }
  /// One thread seals for all lanes: what waits for it keeps its database open.
  var mayStartSealing: Bool { sealingsInFlight < 4 }

  /// Closes the least recently used segments until one more may be opened.
  func makeRoom(sparing spared: PartitionWriter?) {
    guard isFull else { return }
    let candidates = writers.values.filter { $0.isOpen && !$0.isInTransaction && $0 !== spared }
    for candidate in candidates.sorted(by: { $0.lastUse < $1.lastUse }) {
      _ = candidate.closeIdle()
      if !isFull { return }
    }
  }

  private func tickIfDue() {
    guard !unfinished.isEmpty else { return }
    let now = monotonicNanoseconds()
    guard now >= nextTick else { return }
    for (id, writer) in unfinished where writer.finish() { unfinished[id] = nil }
    nextTick = monotonicNanoseconds() + Self.tickInterval
  }

  /// After the last turn: everything durable and folded into its file.
  private func closeAll() {
    for writer in writers.values { writer.closeForGood() }
    writers = [:]
    unfinished = [:]
  }
}
