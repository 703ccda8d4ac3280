internal import CoreMetrics
internal import Logging
internal import Model
internal import SQLite
internal import Synchronization

extension PartitionWriter {
  /// Whether an append of `byteCount` bytes belongs in a new segment.
  func needsRoll(for byteCount: Int, now: Int64) -> Bool {
    let extent = transaction?.extent ?? self.extent
    guard extent.endOffset > state.baseOffset, !log.isCoordinator else { return false }
    // Also right after a roll that failed: what goes on growing meanwhile has its bound here.
    if isFileFull(for: byteCount) { return true }
    guard mayRoll else { return false }
    let configuration = configuration
    if extent.batchBytes + Int64(byteCount) > configuration.segmentBytes { return true }
    return extent.firstAppendMilliseconds.map { now - $0 >= configuration.segmentMilliseconds } ?? false
  }

  private var mayRoll: Bool { monotonicNanoseconds() >= rollRetryAt }

  /// Whether the file could pass its hard bound: rows and index come on top of the batches.
  private func isFileFull(for byteCount: Int) -> Bool {
    let uncommitted = Int((transaction?.extent.batchBytes ?? extent.batchBytes) - extent.batchBytes)
    let added = uncommitted + byteCount
    return (segment?.fileBytesMax ?? Int(extent.batchBytes)) + added + added / 2 > options.segmentFileBytesMax
  }

  /// Rolls in front of an append. If it cannot, the old segment goes on as long as its file may still grow.
  ///
  /// - Throws: it cannot grow.
  func rollForAppend(of byteCount: Int, now: Int64) throws(StorageError) {
    // Only a full file asks before it is due.
    if let rollFailure, !mayRoll { throw rollFailure }
    do throws(StorageError) { try roll(now: now) } catch {
      if fenceReason != nil { throw error }
      noteRollFailure(error)
      guard !isFileFull(for: byteCount) else { throw error }
      store.logger.warning("roll failed", metadata: ["partition": "\(log.topicPartition)", "error": "\(error)"])
    }
  }

  /// Rolls because readers keep the WAL from starting over.
  func rollForWAL() {
    guard extent.endOffset > state.baseOffset, mayRoll, !log.isCoordinator else { return }
    do throws(StorageError) { try roll(now: store.now()) } catch {
      noteRollFailure(error)
      store.logger.warning("roll failed", metadata: ["partition": "\(log.topicPartition)", "error": "\(error)"])
    }
  }

  private func noteRollFailure(_ error: StorageError) {
    rollFailure = error
    rollRetryAt = monotonicNanoseconds() + 1_000_000_000
  }

  /// Begins a new segment: the old tail is synced, the successor carries the partition's whole state and is durable under its
  /// name, and only then it is appended to.
  ///
  /// - Parameters:
  ///   - start: nil to go on where the active segment ends; else the log has no records, and begins anew at this offset, which lies behind
  ///     its end. What is older is not named any more.
  ///   - lostEnd: where the active segment once ended, if its last records are gone: the successor begins there.
  /// - Precondition: no transaction is open, and the successor has another base than the active segment.
  /// - Throws: the old segment is still active, unless the partition is fenced.
  func roll(now: Int64, beginningAt start: Int64? = nil, lostEnd: Int64? = nil) throws(StorageError) {
    try makeReady()
    let old = segmentWriter
    // Always: `quire.durability` may have changed since the last append, and the successor takes over what this one holds.
    let code = old.sync()
    if code != 0 {
      let reason = "its WAL could not be synced: \(systemMessage(code))"
      fence(reason)
      throw .fenced(reason)
    }
    let end = lostEnd ?? extent.endOffset
    let record = SegmentRecord(
      baseOffset: state.baseOffset, endOffset: end, generation: state.generation, batchBytes: extent.batchBytes,
      minTimestamp: extent.minTimestamp, maxTimestamp: extent.maxTimestamp)
    var next = state
    next.baseOffset = end
    next.generation = 0
    next.segments.append(record)
    if let start {
      next.baseOffset = start
      next.logStartOffset = start
      next.segments = []
    }
    let name = SegmentName(baseOffset: next.baseOffset, generation: 0)
    let path = "\(log.directory)/\(name.fileName)"
    let writer: SegmentWriter
    do throws(StorageError) {
      try SegmentBuilder.build(next, in: log.directory, pageSize: options.pageSize, now: now)
      writer = try SegmentWriter(path: path, cacheKiB: options.writerCacheKiB, syncsWAL: false)
    } catch {
      // A successor that exists would be the active one after a crash: it must go before the old one takes another append.
      do throws(StorageError) {
        try SegmentBuilder.removeDatabase(path)
        try FileSystem.syncDirectory(log.directory)
      } catch { fence("a failed roll could not be undone: \(error)") }
      throw error
    }
    (rollFailure, rollRetryAt) = (nil, 0)
    lane.noteOpened()
    let file = SegmentFile(directory: log.directory, name: name, phase: .active, record: nil)
    active.becomeClosing(record)
    let predecessor = ClosingSegment(file: active, writer: old)
    closing.append(predecessor)
    // Many partitions may roll faster than they are sealed, each with two databases open until then.
    if lane.isFull { closeWriter(of: predecessor, removesWAL: false) }
    active = file
    setSegment(writer)
    state = next
    extent = ActiveExtent(endOffset: next.baseOffset)
    publishSegments(log.shared.withLock { $0.segments } + [file])
    rollCapture(of: predecessor)
    store.metrics.segmentsRolled.increment()
    lane.watch(self)
  }

  // Changes that are not appends

  /// Commits a change of the partition's state, durably, and takes it into memory.
  ///
  /// - Parameters:
  ///   - freesRoom: on a full disk the reserve is given up for it: what frees room must not fail for lack of it, and nothing else may take it.
  ///   - change: writes to the segment and changes the state it is given alike.
  /// - Throws: nothing was changed.
  func commitChange(
    freesRoom: Bool = false, _ change: (SegmentWriter, inout PartitionState) throws(SQLiteError) -> Void
  ) throws(StorageError) {
    try makeReady()
    precondition(transaction == nil, "a change in the middle of a group")
    do throws(StorageError) { try tryCommit(change) } catch {
      guard freesRoom, error.isDiskFull, store.reserve.release() else { throw error }
      try tryCommit(change)
    }
  }

  private func tryCommit(
    _ change: (SegmentWriter, inout PartitionState) throws(SQLiteError) -> Void
  ) throws(StorageError) {
    let segment = segmentWriter
    var next = state
    var extent = extent
    do throws(SQLiteError) {
      try segment.begin()
      try change(segment, &next)
      next.leaderEpoch = leaderEpoch
      next.commitSequence += 1
      if log.isCoordinator { extent.endOffset = next.commitSequence }
      try segment.update(next, extent)
      try segment.commit()
    } catch {
      segment.rollback()
      capture?.noteRollback()
      if error.isSyncFailure { fence("its WAL could not be synced: \(error)") }
      throw .sqlite(error)
    }
    noteCommit()
    let code = segment.sync()
    if code != 0 {
      let reason = "its WAL could not be synced: \(systemMessage(code))"
      fence(reason)
      throw .fenced(reason)
    }
    state = next
    self.extent = extent
    replicas?.noteDurable(sequence: state.commitSequence, endOffset: extent.endOffset)
    publish()
    capture?.wake()
  }
}
