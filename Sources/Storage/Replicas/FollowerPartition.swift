internal import CoreMetrics
internal import Logging
public import Model
internal import Pages
internal import SQLite
internal import Synchronization

/// One partition that follows a leader elsewhere: page sets are its only writes, and what its rows say is what it does.
///
/// Its log is read as any other, up to the high watermark that the leader told. Nothing here commits anything of its own: at the same
/// position both have the same pages.
///
// Safe because: everything that changes is guarded by `monitor`.
public final class FollowerPartition: @unchecked Sendable {
  public let log: PartitionLog
  let store: StoreShared
  let monitor = Monitor()

  // Under the lock

  /// Nil where a new one has to come whole.
  var active: FollowerSegment?
  /// What the active segment's file was, where its -wal is not trusted any more: read on until a whole new one is here.
  var distrusted: SegmentFile?
  var older: [OlderSegment] = []
  /// Files that the rows do not name any more, with the end of the log when they said so.
  var removals: [(file: SegmentFile, endOffset: Int64)] = []
  /// A sealed segment that is coming.
  var arriving: ArrivingFile?
  /// As the leader told it; what readers see is bounded by what is here.
  var toldHighWatermark: Int64
  /// Where the log ended at the last sync.
  var durableEnd: Int64 = 0
  /// As the rows said when `older` was taken from them.
  var epochs: [EpochStart] = []
  /// What the directory holds is of an earlier life of this replica.
  var isRecovering = false
  /// Sealings that the folding thread has.
  var jobsInFlight = 0
  /// A set did not go on from what was here: what brings it back is a heal, not a follower that catches up.
  var hasDiverged = false
  private(set) var isClosed = false
  /// What is here changed although nothing came: whoever streams to it has to begin again.
  private var wishesToBegin = false
  private var observer: (@Sendable () -> Void)?

  /// A tick was due while somebody was at work.
  private let owesTick = Atomic(false)

  init(_ log: PartitionLog, highWatermark: Int64) {
    self.log = log
    store = log.store
    toldHighWatermark = highWatermark
  }

  /// What is here of the active segment; nil where nothing is, or nothing that can be gone on with. Reads every page the first time.
  public var standing: ReplicaStanding? {
    locked {
      guard let active else { return nil }
      do throws(StorageError) {
        let sums = try active.sums()
        return ReplicaStanding(position: active.position, sum: sums.total, pageCount: sums.pageCount)
      } catch {
        complain("a replica's pages cannot be read", error)
        return nil
      }
    }
  }

  /// Who is told when `wantedFiles`, `isComplete` or `takeWishToBegin` may have changed although nothing came; on any thread, must not block.
  public func setObserver(_ observer: @escaping @Sendable () -> Void) { locked { self.observer = observer } }

  /// True once when damage was found: what is here is not what its leader was told any more.
  public func takeWishToBegin() -> Bool {
    locked {
      defer { wishesToBegin = false }
      return wishesToBegin
    }
  }

  /// - Precondition: under the lock.
  func noteChanged(begins: Bool = false) {
    wishesToBegin = wishesToBegin || begins
    observer?()
  }

  func locked<R>(_ body: () -> R) -> R { monitor.withLock(body) }

  /// Ticks now, or leaves it to who has the lock.
  func tickSoon() {
    owesTick.store(true, ordering: .relaxed)
    guard monitor.tryLock() else { return }
    defer { monitor.unlock() }
    tickIfOwed()
  }

  /// - Precondition: under the lock.
  func tickIfOwed() {
    if owesTick.exchange(false, ordering: .relaxed) { tick() }
  }

  func lockedThrowing<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
    monitor.lock()
    defer { monitor.unlock() }
    return try body()
  }

  func complain(_ words: String, _ error: some Error) {
    store.logger.error(
      "\(words)", metadata: ["partition": "\(log.topicPartition)", "error": "\(error)"])
  }

  // High watermark

  /// The leader's high watermark, which never falls. What readers see is bounded by what is applied and has been looked at (`sync`).
  public func raiseHighWatermark(to offset: Offset) {
    locked {
      if isClosed { return }
      // It is told where page sets go on from what is here: a leader has compared that.
      log.shared.withLock { $0.isHistoryConfirmed = true }
      guard offset.rawValue > toldHighWatermark else { return }
      toldHighWatermark = offset.rawValue
      if active != nil { publish() }
      tend()
    }
  }

  /// Shows readers what the rows say, as far as they may see it.
  func publish() {
    guard let active else { return }
    let end = active.extent.endOffset
    let start = active.state.logStartOffset
    let files = older.map(\.file) + [active.file]
    let hasMoved = log.shared.withLock { shared in
      // The log start is at most the leader's high watermark. What readers have seen they go on seeing.
      let told = max(toldHighWatermark, start, shared.offsets?.highWatermark.rawValue ?? 0)
      let offsets = LogOffsets(
        logStartOffset: Offset(start), highWatermark: Offset(min(told, end)), logEndOffset: Offset(end),
        leaderEpoch: LeaderEpoch(max(active.state.leaderEpoch, active.state.epochs.last?.epoch ?? 0)))
      let hasMoved = shared.offsets != offsets
      shared.offsets = offsets
      shared.segments = files
      shared.active = active.extent
      shared.epochs = active.state.epochs
      shared.failure = nil
      return hasMoved
    }
    if hasMoved { store.highWatermarksMoved(of: [log]) }
  }

  /// Records that were acknowledged may be gone from the leader, and then go here too.
  var mayLoseRecords: Bool {
    let configuration = log.configuration
    // As after a loss at the leader itself: such a topic goes on at its end.
    if configuration.durability == .os || configuration.isMirror { return true }
    return store.isOutOfSync(log.topicPartition)
  }

  /// Up to where a log with these epochs and this end has the records that are here.
  func common(with epochs: [EpochStart], endOffset: Int64) -> Int64 {
    // Where nothing is known of what was here, or only what the disk says, which may be damaged, the end has to do.
    let isKnown = !self.epochs.isEmpty && log.shared.withLock { $0.isHistoryConfirmed }
    return isKnown ? min(endOffset, EpochStart.parting(self.epochs, epochs)) : endOffset
  }

  /// Why a log with these epochs and this end is not followed: it has not all that was acknowledged. Nil where it is.
  func refusal(of epochs: [EpochStart], endOffset: Int64) -> ReplicaError? {
    let common = common(with: epochs, endOffset: endOffset)
    guard common < highWatermark, !mayLoseRecords else { return nil }
    return .refused(
      "the leader's log has records only up to \(common) in common with this replica, although those up to \(highWatermark) were acknowledged: the replica keeps them. Have this node lead: with etcd by an election, as a standby by `quire cluster promote`"
    )
  }

  /// The log goes on as its leader has it, at a lower end.
  func acceptLoss(below end: Int64) {
    store.metrics.acknowledgedRecordsDropped.increment(by: highWatermark - end)
    store.logger.error(
      "records that were acknowledged are dropped: the cluster goes on with a leader that does not have them",
      metadata: ["partition": "\(log.topicPartition)", "from": "\(end)", "to": "\(highWatermark)"])
    toldHighWatermark = min(toldHighWatermark, end)
    log.shared.withLock { shared in
      shared.isLossAccepted = true
      shared.seen = nil
      if let seen = shared.offsets?.highWatermark, seen.rawValue > end { shared.offsets?.highWatermark = Offset(end) }
    }
    store.readAhead.drop(log)
  }

  var highWatermark: Int64 { log.shared.withLock { $0.offsets?.highWatermark.rawValue ?? 0 } }

  // Page hashes

  /// The hash of every page of the active segment; none where that is another one, or has to come whole.
  public func pageHashes(segmentBase: Int64) throws(StorageError) -> [UInt64] {
    try lockedThrowing { () throws(StorageError) in
      guard let active, active.file.baseOffset == segmentBase else { return [] }
      return try active.sums().hashes
    }
  }

  // The end

  /// Stops following: what was applied is synced, and read on. `LogStore.openReplica` goes on from there.
  public func close() { end(syncs: true, keepsSums: true) }

  /// - Parameters:
  ///   - syncs: false where the partition is being deleted.
  ///   - keepsSums: the next life need not read every page.
  func end(syncs: Bool, keepsSums: Bool) {
    monitor.lock()
    defer { monitor.unlock() }
    if isClosed { return }
    isClosed = true
    arriving = nil
    while jobsInFlight > 0 { monitor.wait() }
    if syncs, active != nil {
      do throws(StorageError) {
        try syncActive()
        if keepsSums { try active?.keepSums() }
      } catch { complain("a replica could not be synced at its end", error) }
    }
    letGoOfActive()
    // Nobody else closes their readers.
    for (file, _) in removals { store.readers.drop(file) }
    store.forget(self)
  }

  func letGoOfActive() {
    guard let active else { return }
    active.close()
    self.active = nil
  }

  /// Ends following: from now on the log is an ordinary one that a lane of this node writes.
  ///
  /// - Parameter epoch: begins with the first append, as after an unclean start.
  /// - Throws: the log cannot be opened; it takes no appends, and another call tries again. `.notLeader` where there is no segment.
  public func promote(to epoch: LeaderEpoch) throws(StorageError) {
    try becomeLeader(in: epoch, replicas: nil)
    try log.loadNow()
  }

  /// As `promote`; the lane has still to open the log.
  func becomeLeader(in epoch: LeaderEpoch, replicas: ReplicaSet?) throws(StorageError) {
    try lockedThrowing { () throws(StorageError) in
      guard active != nil || distrusted != nil || isClosed else { throw .notLeader(log.topicPartition) }
      if active != nil { try syncActive() }
      let missing = older.filter { $0.stage == .wanted }
      if !missing.isEmpty {
        store.logger.error(
          "a replica leads although segments of it have not come",
          metadata: ["partition": "\(log.topicPartition)", "segments": "\(missing.map(\.file.path))"])
      }
    }
    end(syncs: true, keepsSums: false)
    for segment in older { store.readers.drop(segment.file) }
    log.becomeLeader(epoch, replicas: replicas)
  }
}

extension StoreShared {
  /// - Returns: false where the store has ended: the follower is the caller's to close.
  func remember(_ follower: FollowerPartition) -> Bool {
    followers.withLock {
      if $0.isEnded { return false }
      $0.partitions[ObjectIdentifier(follower.log)] = follower
      return true
    }
  }

  func forget(_ follower: FollowerPartition) {
    followers.withLock {
      let id = ObjectIdentifier(follower.log)
      if $0.partitions[id] === follower { $0.partitions[id] = nil }
    }
  }

  func follower(of log: PartitionLog) -> FollowerPartition? { followers.withLock { $0.partitions[ObjectIdentifier(log)] } }

  /// Does for each follower what waits for others to let go of files. One that is at work is not waited for, and does it itself.
  func tendFollowers() {
    for follower in followers.withLock({ Array($0.partitions.values) }) { follower.tickSoon() }
  }

  /// The end of the store: every follower is synced and let go of, and none comes any more.
  func closeFollowers() {
    let all = followers.withLock {
      $0.isEnded = true
      return Array($0.partitions.values)
    }
    for follower in all { follower.close() }
  }
}
