internal import CoreMetrics
internal import Logging
internal import Model
internal import NIOCore
internal import Records
internal import SQLite
internal import Synchronization

/// A partition as its lane knows it: the state of its log, and the open files while it is in use.
///
/// - Precondition: everything here is on the partition's storage lane.
final class PartitionWriter {
  let log: PartitionLog
  unowned let lane: StorageLane
  /// As committed and synced; what a transaction changes is in `transaction` until then.
  var state: PartitionState
  var extent: ActiveExtent
  var active: SegmentFile
  /// Nil while the segment is closed.
  private(set) var segment: SegmentWriter?
  var closing: [ClosingSegment] = []
  /// Files that no log needs any more, waiting for their last readers.
  var removals: [SegmentFile] = []
  var transaction: Transaction?
  /// Nil while nobody follows the partition.
  var capture: SegmentCapture?
  /// Nil while nobody has to have what is appended but this node.
  var replicas: PartitionReplicas?
  /// Feeds that are open, by their followers.
  var followers: [NodeID: Int] = [:]
  /// Of each follower the feed that began last: only what is said on that counts.
  var newestFeeds: [NodeID: FeedIdentity] = [:]
  /// What failed the partition's part of the group that is being built.
  var groupFailure: StorageError?
  /// Nil where nothing was refused that comes again.
  var recentRefusal: RecentRefusal?
  var fenceReason: String?
  var fenceCount = 0
  var isRebuilding = false
  var rebuildRetry = RetryDelay(firstMilliseconds: 5_000, longestMilliseconds: 600_000)
  /// Why the last try to rebuild failed: said once, not at each try.
  var rebuildComplaint: String?
  var lastUse: UInt64 = 0
  /// Monotonic nanoseconds before which a roll that failed is not tried again, and why it did.
  var rollRetryAt: Int64 = 0
  var rollFailure: StorageError?

  /// The changes of a transaction that is open.
  struct Transaction {
    var extent: ActiveExtent
    var producers: [Int64: ProducerState] = [:]
    /// Producers that are forgotten for it.
    var forgotten: [Int64] = []
    var epoch: EpochStart?
    /// Where a mirror's log begins with it.
    var logStartOffset: Int64?
    var batches: [(bytes: ByteBuffer, baseOffset: Int64, nextOffset: Int64)] = []
  }

  var store: StoreShared { lane.store }
  var options: StoreOptions { lane.store.options }
  var isOpen: Bool { segment != nil }
  var isInTransaction: Bool { transaction != nil }
  var uncheckpointedBytes: Int { segment?.uncheckpointedBytes ?? 0 }
  var segmentWriter: SegmentWriter { segment! }
  var configuration: TopicConfiguration { log.configuration }
  /// Whether appends are acknowledged only after our own sync.
  var syncsAppends: Bool { configuration.durability == .fsync }
  /// The epoch new batches get: the node's, or a later one that the log knows already.
  var leaderEpoch: Int32 { max(log.leaderEpoch.rawValue, state.epochs.last?.epoch ?? 0) }

  /// Opens a partition's directory: the segment with the highest base is active, leftovers are removed, lower segments that
  /// are not sealed yet will be. What the WAL holds is synced before it counts.
  ///
  /// - Throws: nothing stays open; files are as they were, but for leftovers.
  init(loading log: PartitionLog, lane: StorageLane) throws(StorageError) {
    self.log = log
    self.lane = lane
    let recovered = try PartitionRecovery.recover(log, options: lane.store.options, now: lane.store.now())
    state = recovered.state
    extent = recovered.extent
    active = recovered.active
    segment = recovered.writer
    closing = recovered.closing.map { ClosingSegment(file: $0, writer: nil) }
    if segment != nil { lane.noteOpened() }
    // What lies behind the last high watermark may be there on this node alone.
    if let set = log.shared.withLock({ $0.replicas }) {
      beginReplication(set, highWatermark: log.knownHighWatermark?.rawValue ?? 0)
    }
    publishSegments((recovered.sealed + recovered.closing).sorted { $0.baseOffset < $1.baseOffset } + [active])
    if let reason = recovered.fenceReason { stayFenced(reason) }
    if !closing.isEmpty { lane.watch(self) }
  }

  /// The high watermark had passed the end that was found: somebody took files away, or gave back older ones. The offsets of what is lost are not
  /// given out again; who asks for them hears that they are damaged, as of any other gap.
  ///
  /// A topic that may lose its last records (`quire.durability=os`) goes on at its end, as Kafka does, and so does a mirror, which copies them again.
  ///
  /// - Throws: the log cannot go on behind it, or other replicas may have what is lost; nothing was changed.
  func leaveOutWhatIsLost() throws(StorageError) {
    guard let known = log.knownHighWatermark?.rawValue, known > extent.endOffset, fenceReason == nil else { return }
    let end = extent.endOffset
    let isTolerated = !syncsAppends || configuration.isMirror || log.isCoordinator
    if !isTolerated || log.isCoordinator, (replicas?.set.replicas.count ?? 1) > 1 {
      throw .damaged(
        StorageDamage(
          file: active.path, baseOffset: nil, offset: Offset(end),
          reason: "the log ends at \(end), although records up to \(known) were replicated: another replica has to lead"))
    }
    if !isTolerated { try roll(now: store.now(), lostEnd: known) }
    store.logger.log(
      level: isTolerated ? .warning : .error, "records that were acknowledged are gone",
      metadata: [
        "partition": "\(log.topicPartition)", "from": "\(end)", "to": "\(known)",
        "goes-on-at": "\(isTolerated ? end : known)",
      ])
  }

  /// Makes everything about the log visible.
  func publishSegments(_ segments: [SegmentFile]) {
    log.shared.withLock {
      $0.segments = segments
      $0.failure = nil
    }
    publish()
  }

  /// Makes offsets and extent visible, as committed.
  func publish() {
    let offsets = currentOffsets
    log.shared.withLock {
      $0.offsets = offsets
      $0.active = extent
      $0.epochs = state.epochs
    }
  }

  private var currentOffsets: LogOffsets {
    LogOffsets(
      logStartOffset: Offset(state.logStartOffset), highWatermark: Offset(highWatermark),
      logEndOffset: Offset(extent.endOffset), leaderEpoch: LeaderEpoch(leaderEpoch))
  }

  /// Opens the active segment, if it was closed for lack of room.
  func makeReady() throws(StorageError) {
    if let fenceReason { throw .fenced(fenceReason) }
    guard segment == nil else { return }
    lane.makeRoom(sparing: self)
    segment = try SegmentWriter(path: active.path, cacheKiB: options.writerCacheKiB, syncsWAL: false)
    lane.noteOpened()
  }

  /// Replaces the open segment.
  func setSegment(_ writer: SegmentWriter?) { segment = writer }

  // Appends

  /// Puts the batches of `request` into the partition's transaction, which begins with them, unless they are duplicates.
  ///
  /// - Returns: the outcome they have if the commit succeeds.
  /// - Throws: the transaction cannot be committed any more (`failGroup`).
  func append(_ request: AppendRequest, now: Int64) throws(StorageError) -> AppendOutcome {
    if let changes = request.changes { return try transact(changes, request) }
    if case .keepingOffsets(let logStartOffset) = request.placement {
      return try mirror(request, logStartOffset: logStartOffset?.rawValue, now: now)
    }
    // Here, where it is looked at for the last time: from then on the mirror alone knows where the log goes on.
    if configuration.isMirror {
      return .rejected(
        .policyViolation, message: "the topic mirrors \(configuration.mirrorSource) and takes no records but from there")
    }
    if let refusal = replicaRefusal(of: request) {
      recentRefusal = RecentRefusal(.notEnoughReplicas, now: now)
      return refusal
    }
    let start = Offset(state.logStartOffset)
    for batch in request.batches where batch.header.hasProducerID && batch.header.baseSequence >= 0 {
      let known = transaction?.producers[batch.header.producerID] ?? state.producers[batch.header.producerID]
      let verdict = ProducerState.judge(batch.header, after: known)
      if verdict == .outOfOrder || known == nil, let recent = recentRefusal,
        let refusal = recent.refusal(of: batch.header, after: known, now: now)
      {
        return refusal
      }
      switch verdict {
      case .next: break
      case .duplicate(let original):
        return .appended(baseOffset: Offset(original.baseOffset), logAppendTime: original.timestamp, logStartOffset: start)
      case .fencedEpoch:
        return .rejected(
          .invalidProducerEpoch,
          message: "producer \(batch.header.producerID) has epoch \(known?.epoch ?? -1), not \(batch.header.producerEpoch)")
      case .outOfOrder:
        return .rejected(
          .outOfOrderSequenceNumber,
          message: "sequence \(batch.header.baseSequence) of producer \(batch.header.producerID) does not follow the last one")
      }
    }
    try checkReserve()
    do throws(SQLiteError) {
      try beginTransaction()
      let baseOffset = transaction!.extent.endOffset
      for batch in request.batches { try insert(batch, of: request.records, now: now) }
      let isLogAppendTime = request.batches.first?.header.timestampType == .logAppendTime
      return .appended(
        baseOffset: Offset(baseOffset),
        logAppendTime: isLogAppendTime ? request.batches.first!.header.maxTimestamp : -1, logStartOffset: start)
    } catch { throw .sqlite(error) }
  }

  func checkReserve() throws(StorageError) {
    if store.reserve.isSpent { throw .system(call: "write", path: active.path, number: noSpaceLeft) }
  }

  func beginTransaction() throws(SQLiteError) {
    guard transaction == nil else { return }
    try segmentWriter.begin()
    transaction = Transaction(extent: extent)
  }

  /// - Parameter remembersProducer: false for a batch of another cluster, whose producer ids are not ours.
  func insert(
    _ batch: BatchSummary, of records: ByteBuffer, now: Int64, remembersProducer: Bool = true
  ) throws(SQLiteError) {
    let baseOffset = transaction!.extent.endOffset
    let lastOffset = baseOffset + Int64(batch.header.lastOffsetDelta)
    transaction!.extent.endOffset = lastOffset + 1
    transaction!.extent.batchBytes += Int64(batch.byteCount)
    transaction!.extent.minTimestamp = min(transaction!.extent.minTimestamp, batch.minTimestamp)
    transaction!.extent.maxTimestamp = max(transaction!.extent.maxTimestamp, batch.maxTimestamp)
    if transaction!.extent.firstAppendMilliseconds == nil { transaction!.extent.firstAppendMilliseconds = now }
    if state.epochs.last?.epoch != leaderEpoch, transaction!.epoch == nil {
      transaction!.epoch = EpochStart(epoch: leaderEpoch, startOffset: baseOffset)
    }
    let slice = records.getSlice(at: records.readerIndex + batch.position, length: batch.byteCount)!
    let runningMax = transaction!.extent.maxTimestamp
    var failure: SQLiteError?
    slice.withUnsafeReadableBytes { bytes in
      // Safe because: base offset and epoch of a request in flight are read by nobody but this lane; ByteBuffer's own setter
      // would copy the receive buffer, which others share.
      BatchPatch.setBase(
        offset: Offset(baseOffset), leaderEpoch: LeaderEpoch(leaderEpoch),
        in: UnsafeMutableRawPointer(mutating: bytes.baseAddress!))
      do throws(SQLiteError) {
        try segmentWriter.insert(
          bytes, baseOffset: baseOffset, lastOffset: lastOffset, runningMax: runningMax, minTimestamp: batch.minTimestamp,
          maxTimestamp: batch.maxTimestamp, leaderEpoch: leaderEpoch, recordCount: batch.header.recordCount)
      } catch { failure = error }
    }
    if let failure { throw failure }
    transaction!.batches.append((slice, baseOffset, lastOffset + 1))
    if remembersProducer, batch.header.hasProducerID, batch.header.baseSequence >= 0 {
      let id = batch.header.producerID
      transaction!.producers[id] = ProducerState.advance(
        transaction!.producers[id] ?? state.producers[id], by: batch.header, at: baseOffset, now: now,
        remembering: Limits.producerBatchesRemembered)
    }
  }

  /// COMMIT, with the state that goes with the appends. Nothing is visible or durable yet.
  ///
  /// - Throws: nothing was committed; the transaction is still to be ended (`failGroup`).
  func commitAppends() throws(StorageError) {
    let forgotten = producersToForget()
    if !forgotten.isEmpty { transaction?.forgotten = forgotten }
    guard let transaction else { return }
    do throws(SQLiteError) {
      if !forgotten.isEmpty { try segmentWriter.deleteProducers(forgotten) }
      for (id, producer) in transaction.producers { try segmentWriter.upsert(producer, id: id) }
      if let epoch = transaction.epoch { try segmentWriter.insert(epoch) }
      var next = state
      next.leaderEpoch = leaderEpoch
      next.commitSequence += 1
      next.logStartOffset = max(next.logStartOffset, transaction.logStartOffset ?? 0)
      try segmentWriter.update(next, transaction.extent)
      try segmentWriter.commit()
    } catch {
      // A sync inside COMMIT (of a WAL header, when the WAL starts over) counts as one of ours.
      if error.isSyncFailure { fence("its WAL could not be synced: \(error)") }
      throw .sqlite(error)
    }
  }

  /// Where the transaction makes more producers known than are remembered: the tenth that appended longest ago, at least.
  private func producersToForget() -> [Int64] {
    guard let new = transaction?.producers else { return [] }
    let count = state.producers.count + new.keys.reduce(0) { state.producers[$1] == nil ? $0 + 1 : $0 }
    let excess = count - options.producersPerPartitionMax
    guard excess > 0 else { return [] }
    let others = state.producers.filter { new[$0.key] == nil }
    let oldest = others.sorted { $0.value.lastAppendMilliseconds < $1.value.lastAppendMilliseconds }
    return oldest.prefix(max(excess, options.producersPerPartitionMax / 10)).map(\.key)
  }

  /// Takes the commit that is durable now into memory: state, then high watermark and tail.
  func publishAppends(_ tails: inout TailBudget) {
    guard let transaction else { return }
    self.transaction = nil
    state.commitSequence += 1
    state.leaderEpoch = leaderEpoch
    state.logStartOffset = max(state.logStartOffset, transaction.logStartOffset ?? 0)
    extent = transaction.extent
    state.producers.merge(transaction.producers) { $1 }
    for id in transaction.forgotten { state.producers[id] = nil }
    if let epoch = transaction.epoch { state.epochs.append(epoch) }
    replicas?.noteDurable(sequence: state.commitSequence, endOffset: extent.endOffset)
    let offsets = currentOffsets
    let batches = transaction.batches.map { ($0.bytes.detachedIfSmall(), $0.baseOffset, $0.nextOffset) }
    let tailMax = tails.bytesPerPartitionMax
    let tailBytes = log.shared.withLock {
      $0.offsets = offsets
      $0.active = extent
      if transaction.epoch != nil { $0.epochs = state.epochs }
      for (bytes, baseOffset, nextOffset) in batches {
        $0.tail.append(bytes, baseOffset: baseOffset, nextOffset: nextOffset)
        while $0.tail.byteCount > tailMax, $0.tail.removeOldest() != nil {}
      }
      return $0.tail.byteCount
    }
    tails.note(log, tailBytes: tailBytes)
    store.metrics.walBytes.record(segment?.walBytes ?? 0)
    capture?.wake()
  }

  /// Rolls the partition's part of the group back; its appends are answered with `error`.
  func failGroup(_ error: StorageError) {
    groupFailure = error
    recentRefusal = RecentRefusal(error.errorCode, now: store.now())
    transaction = nil
    segment?.rollback()
    capture?.noteRollback()
    if case .sqlite(let cause) = error, cause.isSyncFailure { fence("its WAL could not be synced: \(cause)") }
    store.logger.error("append failed", metadata: ["partition": "\(log.topicPartition)", "error": "\(error)"])
  }

  // The WAL

  /// Folds the WAL into the file as far as readers allow.
  ///
  /// - Precondition: no transaction is open, and everything is synced.
  ///
  /// - Parameter isForced: followers are waited for no longer.
  func checkpoint(isForced: Bool = false) {
    guard let segment, transaction == nil, isForced || !isHeldBack, store.reserve.allowsFolding(segment.uncheckpointedBytes)
    else {
      return
    }
    let wasHeldBack = capture?.isBehind ?? false
    giveUpCapture()
    let start = monotonicNanoseconds()
    do throws(SQLiteError) { _ = try segment.checkpoint(.passive) } catch {
      if error.isSyncFailure { fence("a checkpoint could not be synced: \(error)") }
      store.logger.warning("checkpoint failed", metadata: ["partition": "\(log.topicPartition)", "error": "\(error)"])
    }
    store.metrics.checkpointSeconds.recordNanoseconds(monotonicNanoseconds() - start)
    keepSums()
    // A WAL that waited for a follower begins anew with the next commit.
    if segment.walBytes > options.walBytesMax, !wasHeldBack || !segment.isFullyCheckpointed { rollForWAL() }
  }

  // Closing

  /// Closes the segment of a partition that is not in use, if everything is synced and folded into the file.
  func closeIdle() -> Bool {
    guard let segment, transaction == nil, fenceReason == nil else { return false }
    let code = segment.sync()
    if code != 0 {
      fence("its WAL could not be synced: \(systemMessage(code))")
      return true
    }
    if !segment.isFullyCheckpointed { checkpoint(isForced: true) }
    // The checkpoint may have rolled or fenced.
    guard let current = self.segment, current === segment, current.isFullyCheckpointed else { return self.segment == nil }
    store.readers.drop(active)
    current.close(removesWAL: true)
    self.segment = nil
    capture?.noteLogClosed()
    lane.noteClosed()
    return true
  }

  /// The end of the lane: syncs, folds and closes whatever is open.
  func closeForGood() {
    failWaiting(.notLeaderOrFollower, "the node is stopping")
    // What followers have not asked for any more belongs to what is kept.
    if let segment, fenceReason == nil, transaction == nil, capture?.helpOut() == true, segment.sync() == 0 {
      checkpoint(isForced: true)
    }
    endCapture(.failed(.closed))
    for closing in closing {
      closing.capture?.finish(.failed(.closed))
      guard let writer = closing.writer else { continue }
      store.readers.drop(closing.file)
      // One that fails is folded anew by the next start.
      let isFolded = store.reserve.allowsFolding(writer.walBytes) && (try? writer.checkpoint(.truncate))?.isBusy == false
      closeWriter(of: closing, removesWAL: isFolded)
    }
    if closeIdle() { return }
    segment?.close(removesWAL: false)
    segment = nil
  }

  /// Closes everything without a care for what is in it: the partition is being deleted, or led elsewhere.
  ///
  /// - Parameters:
  ///   - error: what whoever waits for it is told.
  func abandon(_ error: StorageError, _ words: String) {
    transaction = nil
    if fenceReason != nil { store.noteFenced(-1) }
    fenceReason = nil
    failWaiting(error.errorCode, words)
    if replicas != nil { lane.noteReplicated(-1) }
    replicas = nil
    endCapture(.failed(error))
    for closing in closing {
      closing.capture?.finish(.failed(error))
      closeWriter(of: closing, removesWAL: false)
    }
    closing = []
    // The partition's list does not name them any more: nobody else closes their readers.
    for file in removals {
      _ = file.claimRemoval(force: true)
      store.readers.drop(file)
    }
    removals = []
    guard let segment else { return }
    segment.close(removesWAL: false)
    self.segment = nil
    lane.noteClosed()
  }
}
