internal import CoreMetrics
internal import Logging
internal import Model
internal import SQLite
internal import Synchronization

extension PartitionWriter {
  /// Whether an append of `byteCount` bytes belongs in a new segment.
  func needsRoll(for byteCount: Int, now: Int64) -> Bool {
    let extent = transaction?.extent ?? self.extent
    guard extent.endOffset > state.baseOffset, monotonicNanoseconds() >= rollRetryAt else { return false }
    let configuration = configuration
    if extent.batchBytes + Int64(byteCount) > configuration.segmentBytes || isFileFull(for: byteCount) { return true }
    return extent.firstAppendMilliseconds.map { now - $0 >= configuration.segmentMilliseconds } ?? false
  }

  /// Whether the file could pass its hard bound: rows and index come on top of the batches.
  private func isFileFull(for byteCount: Int) -> Bool {
    guard let segment else { return extent.batchBytes + Int64(byteCount) > Int64(options.segmentFileBytesMax) }
    return segment.fileBytesMax + byteCount + byteCount / 2 > options.segmentFileBytesMax
  }

  /// Rolls in front of an append. If it cannot, the old segment goes on as long as its file may still grow.
  ///
  /// - Throws: it cannot grow.
  func rollForAppend(now: Int64) throws(StorageError) {
    do throws(StorageError) { try roll(now: now) } catch {
      if fenceReason != nil { throw error }
      rollRetryAt = monotonicNanoseconds() + 1_000_000_000
      guard !isFileFull(for: 0) else { throw error }
      store.logger.warning("roll failed", metadata: ["partition": "\(log.topicPartition)", "error": "\(error)"])
    }
  }

  /// Rolls because readers keep the WAL from starting over.
  func rollForWAL() {
    guard extent.endOffset > state.baseOffset, monotonicNanoseconds() >= rollRetryAt else { return }
    do throws(StorageError) { try roll(now: store.now()) } catch {
      rollRetryAt = monotonicNanoseconds() + 1_000_000_000
      store.logger.warning("roll failed", metadata: ["partition": "\(log.topicPartition)", "error": "\(error)"])
    }
  }

  /// Begins a new segment: the old tail is synced, the successor carries the partition's whole state and is durable under its
  /// name, and only then it is appended to.
  ///
  /// - Precondition: no transaction is open and the active segment is not empty.
  /// - Throws: the old segment is still active, unless the partition is fenced.
  func roll(now: Int64) throws(StorageError) {
    try makeReady()
    let old = segmentWriter
    // Always: `quire.durability` may have changed since the last append, and the successor takes over what this one holds.
    let code = old.sync()
    if code != 0 {
      let reason = "its WAL could not be synced: \(systemMessage(code))"
      fence(reason)
      throw .fenced(reason)
    }
    let record = SegmentRecord(
      baseOffset: state.baseOffset, endOffset: extent.endOffset, generation: state.generation, batchBytes: extent.batchBytes,
      minTimestamp: extent.minTimestamp, maxTimestamp: extent.maxTimestamp)
    var next = state
    next.baseOffset = extent.endOffset
    next.generation = 0
    next.segments.append(record)
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
    lane.noteOpened()
    let file = SegmentFile(directory: log.directory, name: name, phase: .active, record: nil)
    active.becomeClosing(record)
    closing.append(ClosingSegment(file: active, writer: old))
    active = file
    setSegment(writer)
    state = next
    extent = ActiveExtent(endOffset: next.baseOffset)
    publishSegments(log.shared.withLock { $0.segments } + [file])
    store.metrics.segmentsRolled.increment()
    lane.watch(self)
  }

  // Sealing

  /// Does what can be done of what is unfinished: seals, removes files, lifts a fence.
  ///
  /// - Returns: true when nothing is left.
  func finish() -> Bool {
    if fenceReason != nil { startRebuild() }
    if monotonicNanoseconds() >= sealRetryAt { closing = closing.filter { !seal($0) } }
    removals = removals.filter { !remove($0) }
    return closing.isEmpty && removals.isEmpty && fenceReason == nil
  }

  /// Folds the WAL of a closing segment into its file and lets go of it; then it is sealed and read as immutable.
  ///
  /// - Returns: false while a reader is in the way; to be tried again.
  private func seal(_ closing: ClosingSegment) -> Bool {
    let file = closing.file
    // A first failure stands for all: on a full disk each of them would fail, ten times a second.
    guard fenceReason == nil, monotonicNanoseconds() >= sealRetryAt, file.closeGate() else { return false }
    defer { file.openGate() }
    store.readers.drop(file)
    do throws(StorageError) {
      let writer: SegmentWriter
      if let open = closing.writer {
        writer = open
      } else {
        lane.makeRoom(sparing: nil)
        writer = try SegmentWriter(path: file.path, cacheKiB: options.writerCacheKiB, syncsWAL: true)
        lane.noteOpened()
      }
      var isFolded = false
      do throws(SQLiteError) {
        guard store.reserve.allowsFolding(writer.walBytes) else { throw SQLiteError(code: 13, message: "the disk is full") }
        isFolded = !(try writer.checkpoint(.truncate).isBusy)
      } catch { sealingFailed(file, error) }
      guard isFolded else {
        if closing.writer == nil {
          writer.close(removesWAL: false)
          lane.noteClosed()
        }
        return false
      }
      writer.close(removesWAL: true)
      lane.noteClosed()
      // Somebody outside may still hold the file open: then its -wal, empty by now, stays until they let go.
      if FileSystem.exists(file.path + "-wal") {
        closing.writer = nil
        return false
      }
    } catch {
      sealingFailed(file, error)
      return false
    }
    file.becomeSealed()
    store.metrics.segmentsSealed.increment()
    hash(file)
    return true
  }

  private func sealingFailed(_ file: SegmentFile, _ error: any Error) {
    sealRetryAt = monotonicNanoseconds() + 1_000_000_000
    store.logger.warning("sealing failed", metadata: ["file": "\(file.path)", "error": "\(error)"])
  }

  /// Computes the hash of a sealed file beside everything else and records it in the active segment.
  private func hash(_ file: SegmentFile) {
    let log = log
    let store = store
    guard file.pin() else { return }
    store.readThreads.submitIdle {
      let outcome: Result<SegmentRecord.Seal, StorageError>
      do throws(StorageError) { outcome = .success(try FileHash.compute(file.path)) } catch { outcome = .failure(error) }
      store.lane(of: log).submit { lane in
        file.unpin()
        do throws(StorageError) {
          try lane.writer(of: log).recordSeal(try outcome.get(), of: file)
        } catch {
          store.logger.debug("a sealed segment has no hash yet", metadata: ["file": "\(file.path)", "error": "\(error)"])
        }
      } orElse: {
        file.unpin()
      }
    } orElse: {
      file.unpin()
    }
  }

  private func recordSeal(_ seal: SegmentRecord.Seal, of file: SegmentFile) throws(StorageError) {
    guard let index = state.segments.firstIndex(where: { $0.baseOffset == file.baseOffset }) else { return }
    var record = state.segments[index]
    record.seal = seal
    try commitChange { segment, state throws(SQLiteError) in
      state.segments[index] = record
      try SegmentSQL.run(try segment.connection.prepare(SegmentSQL.upsertSegment), with: record)
    }
    file.setSeal(seal)
  }

  // Changes that are not appends

  /// Commits a change of the partition's state, durably, and takes it into memory.
  ///
  /// On a full disk the reserve is given up for it: what frees room must not fail for lack of it.
  ///
  /// - Parameter change: writes to the segment and changes the state it is given alike.
  /// - Throws: nothing was changed.
  func commitChange(
    _ change: (SegmentWriter, inout PartitionState) throws(SQLiteError) -> Void
  ) throws(StorageError) {
    try makeReady()
    precondition(transaction == nil, "a change in the middle of a group")
    do throws(StorageError) { try tryCommit(change) } catch {
      guard error.isDiskFull, store.reserve.release() else { throw error }
      try tryCommit(change)
    }
  }

  private func tryCommit(
    _ change: (SegmentWriter, inout PartitionState) throws(SQLiteError) -> Void
  ) throws(StorageError) {
    let segment = segmentWriter
    var next = state
    do throws(SQLiteError) {
      try segment.begin()
      try change(segment, &next)
      next.leaderEpoch = leaderEpoch
      next.commitSequence += 1
      try segment.update(next, extent)
      try segment.commit()
    } catch {
      segment.rollback()
      if error.isSyncFailure { fence("its WAL could not be synced: \(error)") }
      throw .sqlite(error)
    }
    let code = segment.sync()
    if code != 0 {
      let reason = "its WAL could not be synced: \(systemMessage(code))"
      fence(reason)
      throw .fenced(reason)
    }
    state = next
    publish()
  }
}
