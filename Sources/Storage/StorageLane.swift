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
  private var writers: [ObjectIdentifier: PartitionWriter] = [:]
  /// Writers with segments to seal, files to remove or a fence to lift; looked after while the lane has time.
  private var unfinished: [ObjectIdentifier: PartitionWriter] = [:]
  private var nextTick: Int64 = 0
  private var useCounter: UInt64 = 0
  private(set) var openWriterCount = 0
  /// Closing segments that the folding thread has or will come to.
  var sealingsInFlight = 0
  private var tails: TailBudget
  /// Partitions that have followers to wait for.
  private var replicatedCount = 0

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

  // Group commit

  /// Appends, commits, syncs, publishes and answers as many of `group` as belong in one transaction per partition.
  ///
  /// - Returns: how many were answered; the rest must wait for the next turn, in their order.
  private func commit(_ group: [AppendRequest]) -> Int {
    var touched: [PartitionWriter] = []
    let now = store.now()
    var taken = 0
    for request in group {
      guard place(request, &touched, now) else { break }
      taken += 1
    }
    var committed: [PartitionWriter] = []
    for writer in touched where writer.groupFailure == nil {
      do throws(StorageError) {
        try writer.commitAppends()
        writer.noteCommit()
        committed.append(writer)
      } catch { writer.failGroup(error) }
    }
    sync(committed)
    var moved: [PartitionLog] = []
    for writer in committed where writer.groupFailure == nil {
      writer.publishAppends(&tails)
      if !writer.log.isCoordinator { moved.append(writer.log) }
    }
    let answered = Array(group[..<taken])
    for request in answered {
      if let failure = writers[ObjectIdentifier(request.partition)]?.groupFailure {
        request.outcome = .rejected(failure.errorCode, message: "\(failure)")
      }
      request.releaseRecords()
    }
    for writer in touched { writer.groupFailure = nil }
    count(answered)
    handBack(replicatedCount == 0 ? answered : replicated(answered, committed))
    if !moved.isEmpty { store.highWatermarksMoved(of: moved) }
    checkpointFullest(touched)
    return taken
  }

  /// Puts one append into its partition's transaction, or gives it its outcome.
  ///
  /// - Returns: false if it needs a transaction of its own: a new segment, or one more open database than there may be.
  private func place(_ request: AppendRequest, _ touched: inout [PartitionWriter], _ now: Int64) -> Bool {
    do throws(StorageError) {
      if touched.count >= store.databases.writersPerLaneMax - 1, loadedWriter(of: request.partition)?.isInTransaction != true {
        return false
      }
      let writer = try writer(of: request.partition)
      if writer.groupFailure != nil { return true }
      if writer.needsRoll(for: request.byteCount, now: now) {
        if writer.isInTransaction { return false }
        try writer.rollForAppend(of: request.byteCount, now: now)
      }
      let wasInTransaction = writer.isInTransaction
      do throws(StorageError) { request.outcome = try writer.append(request, now: now) } catch { writer.failGroup(error) }
      if !wasInTransaction, writer.isInTransaction || writer.groupFailure != nil { touched.append(writer) }
    } catch {
      request.outcome = .rejected(error.errorCode, message: "\(error)")
    }
    return true
  }

  /// Makes the commits durable, each partition by a sync of its own WAL, several at once.
  private func sync(_ committed: [PartitionWriter]) {
    let syncing = committed.filter { $0.syncsAppends }
    guard !syncing.isEmpty else { return }
    let start = monotonicNanoseconds()
    let results = syncer.sync(syncing.map { $0.segmentWriter })
    store.metrics.syncSeconds.recordNanoseconds(monotonicNanoseconds() - start)
    store.metrics.walSyncs.increment(by: syncing.count)
    for (writer, result) in zip(syncing, results) where result != 0 {
      let reason = "its WAL could not be synced: \(systemMessage(result))"
      writer.fence(reason)
      writer.failGroup(.fenced(reason))
    }
  }

  /// Counts what was appended, or was there already; not what was refused.
  private func count(_ answered: [AppendRequest]) {
    let answered = answered.filter { if case .appended = $0.outcome, $0.changes == nil { true } else { false } }
    guard !answered.isEmpty else { return }
    let bytes = answered.reduce(0) { $0 + $1.byteCount }
    store.metrics.groupCommits.increment()
    store.metrics.groupCommitBytes.record(bytes)
    store.metrics.groupCommitAppends.record(answered.count)
    store.metrics.appendedBytes.increment(by: bytes)
    store.metrics.appendedBatches.increment(by: answered.reduce(0) { $0 + $1.batches.count })
  }

  // Followers

  func noteReplicated(_ change: Int) { replicatedCount += change }

  /// What of a group can be answered now, with what has waited for it; the rest waits for followers.
  private func replicated(_ answered: [AppendRequest], _ committed: [PartitionWriter]) -> [AppendRequest] {
    var ready = committed.flatMap { writer in
      writer.replicas?.takeReplicated(inSyncMin: Int(writer.configuration.minInSyncReplicas)) ?? []
    }
    for request in answered {
      if let writer = loadedWriter(of: request.partition), let replicas = writer.replicas, replicas.keeps(request) {
        watch(writer)
      } else {
        ready.append(request)
      }
    }
    return ready
  }

  private func hear(_ words: [FollowerWord]) {
    var moved: [PartitionWriter] = []
    for word in words {
      if let writer = loadedWriter(of: word.log), writer.hear(word), moved.last !== writer { moved.append(writer) }
    }
    guard !moved.isEmpty else { return }
    store.highWatermarksMoved(of: moved.map(\.log))
    for writer in moved { writer.answerReplicated() }
  }

  /// Time has passed for those that have followers.
  func tickReplicas() {
    guard replicatedCount > 0 else { return }
    for writer in writers.values { writer.tickReplicas() }
  }

  /// A node's session with the cluster began or ended.
  func noteSession(of node: NodeID, isAlive: Bool) {
    guard replicatedCount > 0 else { return }
    for writer in writers.values { writer.noteSession(of: node, isAlive: isAlive) }
  }

  func handBack(_ requests: [AppendRequest]) {
    guard let first = requests.first else { return }
    if requests.allSatisfy({ $0.receiver === first.receiver }) { return first.receiver.appendsCompleted(requests) }
    var groups: [(receiver: any AppendReceiver, requests: [AppendRequest])] = []
    var places: [ObjectIdentifier: Int] = [:]
    for request in requests {
      let id = ObjectIdentifier(request.receiver)
      if let place = places[id] {
        groups[place].requests.append(request)
      } else {
        places[id] = groups.count
        groups.append((request.receiver, [request]))
      }
    }
    for group in groups { group.receiver.appendsCompleted(group.requests) }
  }

  /// One partition a turn, the fullest first: with many partitions all WALs fill at the same time.
  private func checkpointFullest(_ touched: [PartitionWriter]) {
    let full = touched.filter { $0.isOpen && $0.uncheckpointedBytes >= store.options.checkpointBytes && !$0.isHeldBack }
    full.max { $0.uncheckpointedBytes < $1.uncheckpointedBytes }?.checkpoint()
  }

  /// After the last turn: everything durable and folded into its file.
  private func closeAll() {
    for writer in writers.values { writer.closeForGood() }
    writers = [:]
    unfinished = [:]
  }
}

/// The memory of all log tails of a lane: the partition that was appended to longest ago gives first.
struct TailBudget {
  private struct Entry {
    var log: PartitionLog
    var bytes: Int
    var lastAppend: UInt64
  }
  private let bytesMax: Int
  let bytesPerPartitionMax: Int
  private var entries: [ObjectIdentifier: Entry] = [:]
  private var bytes = 0
  private var appendCounter: UInt64 = 0

  init(bytesMax: Int, bytesPerPartitionMax: Int) {
    self.bytesMax = bytesMax
    self.bytesPerPartitionMax = bytesPerPartitionMax
  }

  /// Notes that the tail of `log` holds `tailBytes` now, after an append to it.
  mutating func note(_ log: PartitionLog, tailBytes: Int) {
    appendCounter += 1
    bytes += tailBytes - (entries[ObjectIdentifier(log)]?.bytes ?? 0)
    entries[ObjectIdentifier(log)] = tailBytes > 0 ? Entry(log: log, bytes: tailBytes, lastAppend: appendCounter) : nil
    while bytes > bytesMax, let (id, oldest) = entries.min(by: { $0.value.lastAppend < $1.value.lastAppend }) {
      let left = oldest.log.shared.withLock { shared in
        while shared.tail.byteCount > 0, bytes - (oldest.bytes - shared.tail.byteCount) > bytesMax {
          _ = shared.tail.removeOldest()
        }
        return shared.tail.byteCount
      }
      bytes -= oldest.bytes - left
      if left > 0 { entries[id]?.bytes = left } else { entries[id] = nil }
    }
  }
}
