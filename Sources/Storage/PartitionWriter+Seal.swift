internal import CoreMetrics
internal import Logging
internal import Model
internal import SQLite
internal import Synchronization

extension PartitionWriter {
  /// A segment that has a successor, until its WAL is folded into it.
  final class ClosingSegment {
    let file: SegmentFile
    /// Nil when it is opened only to be sealed: after a crash, or a first try that found a reader.
    var writer: SegmentWriter?
    /// A sync of it failed: it is copied into a new generation, as an active segment is.
    var isDistrusted = false
    var isBeingCopied = false
    var retry = RetryDelay(firstMilliseconds: 100, longestMilliseconds: 5_000)

    init(file: SegmentFile, writer: SegmentWriter?) {
      self.file = file
      self.writer = writer
    }
  }

  /// Does what can be done of what is unfinished: seals, removes files, lifts a fence.
  ///
  /// - Returns: true when nothing is left.
  func finish() -> Bool {
    if fenceReason != nil { startRebuild() }
    // A first failure stands for all: on a full disk each of them would fail.
    var hasFailed = false
    closing = closing.filter { segment in
      guard !hasFailed else { return true }
      let isDone = finish(segment)
      hasFailed = !isDone && !segment.retry.isDue()
      return !isDone
    }
    removals = removals.filter { !remove($0) }
    return closing.isEmpty && removals.isEmpty && fenceReason == nil
  }

  /// - Returns: true when the segment is sealed.
  private func finish(_ closing: ClosingSegment) -> Bool {
    guard fenceReason == nil, closing.retry.isDue() else { return false }
    if closing.isDistrusted {
      startCopy(of: closing)
      return false
    }
    if seal(closing) { return true }
    closing.retry.noteFailure()
    return false
  }

  /// Folds the WAL of a closing segment into its file and lets go of it; then it is sealed and read as immutable.
  ///
  /// - Returns: false while a reader is in the way; to be tried again.
  private func seal(_ closing: ClosingSegment) -> Bool {
    let file = closing.file
    guard file.closeGate() else { return false }
    defer { file.openGate() }
    store.readers.drop(file)
    do throws(StorageError) {
      let wasOpen = closing.writer != nil
      if !wasOpen {
        lane.makeRoom(sparing: nil)
        closing.writer = try SegmentWriter(path: file.path, cacheKiB: options.writerCacheKiB, syncsWAL: true)
        lane.noteOpened()
      }
      guard store.reserve.allowsFolding(closing.writer!.walBytes) else {
        throw .sqlite(SQLiteError(code: 13, message: "the disk is full"))
      }
      let isFolded = try storage { () throws(SQLiteError) in !(try closing.writer!.checkpoint(.truncate).isBusy) }
      if isFolded || !wasOpen { closeWriter(of: closing, removesWAL: isFolded) }
      // Somebody outside may still hold the file open: then its -wal, empty by now, stays until they let go.
      guard isFolded, !FileSystem.exists(file.path + "-wal") else { return false }
    } catch {
      closeWriter(of: closing, removesWAL: false)
      if error.isSyncFailure {
        closing.isDistrusted = true
        store.logger.error(
          "a segment could not be synced and is copied into a new file",
          metadata: ["file": "\(file.path)", "error": "\(error)"])
      } else {
        store.logger.warning("sealing failed", metadata: ["file": "\(file.path)", "error": "\(error)"])
      }
      return false
    }
    file.becomeSealed()
    store.metrics.segmentsSealed.increment()
    hash(file)
    return true
  }

  func closeWriter(of closing: ClosingSegment, removesWAL: Bool) {
    guard let writer = closing.writer else { return }
    writer.close(removesWAL: removesWAL)
    lane.noteClosed()
    closing.writer = nil
  }

  /// Computes the hash of a sealed file beside everything else and records it in the active segment.
  private func hash(_ file: SegmentFile) {
    let log = log
    let store = store
    guard file.pin() else { return }
    store.readThreads.submitIdle {
      let outcome = log.backgroundWork.perform {
        Result { () throws(StorageError) in try FileHash.compute(file.path, passingCache: true) }
      }
      guard let outcome else { return file.unpin() }
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
    try change(recordOf: file) { $0.seal = seal }
    file.setSeal(seal)
  }

  /// Changes what the active segment says of an older one; does nothing where it no longer names that.
  ///
  /// - Returns: what it says now.
  @discardableResult
  private func change(
    recordOf file: SegmentFile, _ change: (inout SegmentRecord) -> Void
  ) throws(StorageError) -> SegmentRecord? {
    guard let index = state.segments.firstIndex(where: { $0.baseOffset == file.baseOffset }) else { return nil }
    var record = state.segments[index]
    change(&record)
    try commitChange { segment, state throws(SQLiteError) in
      state.segments[index] = record
      try SegmentSQL.run(try segment.connection.prepare(SegmentSQL.upsertSegment), with: record)
    }
    return record
  }

  // A closing segment whose sync failed: its WAL was durable when the successor was made, but what a checkpoint left in the file is
  // not known, nor does SQLite copy again what it took for copied.

  /// Copies the segment on a read thread; it is read meanwhile, and appends go on in the active one.
  private func startCopy(of closing: ClosingSegment) {
    let file = closing.file
    guard !closing.isBeingCopied, let endOffset = file.currentRecord?.endOffset, file.pin() else { return }
    closing.isBeingCopied = true
    let (log, store, options, now) = (log, store, options, store.now())
    store.readThreads.submitScan {
      let outcome = log.backgroundWork.perform {
        Result { () throws(StorageError) in
          try SegmentRebuild.rebuild(
            file.name, in: log.directory, upTo: endOffset, state: nil, options: options, now: now)
        }
      }
      guard let outcome else { return file.unpin() }
      store.lane(of: log).submit { lane in
        file.unpin()
        lane.loadedWriter(of: log)?.finishCopy(of: file, outcome)
      } orElse: {
        // The next start renews its WAL and folds it anew.
        file.unpin()
      }
    }
  }

  private func finishCopy(of file: SegmentFile, _ outcome: Result<SegmentName, StorageError>) {
    // Retention may have let go of it meanwhile; then the next start removes the copy.
    guard let index = closing.firstIndex(where: { $0.file === file }) else { return }
    closing[index].isBeingCopied = false
    do throws(StorageError) {
      let name = try outcome.get()
      guard let record = try change(recordOf: file, { $0.generation = name.generation }) else { return }
      let copy = SegmentFile(directory: log.directory, name: name, phase: .closing, record: record)
      log.shared.withLock { shared in
        if let place = shared.segments.firstIndex(where: { $0 === file }) { shared.segments[place] = copy }
      }
      closing[index] = ClosingSegment(file: copy, writer: nil)
      removals.append(file)
      store.logger.notice("segment copied", metadata: ["file": "\(copy.path)"])
    } catch {
      closing[index].retry.noteFailure()
      store.logger.error("a segment could not be copied", metadata: ["file": "\(file.path)", "error": "\(error)"])
    }
    lane.watch(self)
  }
}
