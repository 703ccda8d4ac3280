internal import CoreMetrics
internal import Logging
internal import Model
internal import Pages
internal import SQLite
internal import Synchronization

extension PartitionWriter {
  /// A segment that has a successor, until its WAL is folded into it.
  final class ClosingSegment {
    let file: SegmentFile
    /// Nil when it is opened only to be sealed, after a crash, and while the folding thread has it.
    var writer: SegmentWriter?
    var isBeingSealed = false
    /// A sync of it failed: it is copied into a new generation, as an active segment is.
    var isDistrusted = false
    var isBeingCopied = false
    var retry = RetryDelay(firstMilliseconds: 100, longestMilliseconds: 5_000)
    /// Nil where nobody follows.
    var capture: SegmentCapture?

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
    removals = removals.filter { !remove($0) }
    sealNext()
    answerReplicated()
    return closing.isEmpty && removals.isEmpty && fenceReason == nil && !(replicas?.hasWaiting ?? false)
  }

  /// Begins with the oldest closing segment, one at a time: on a full disk each of them would fail.
  private func sealNext() {
    guard fenceReason == nil else { return }
    // What goes as soon as nobody reads it is not folded first: on a full disk there may be no room for that.
    for segment in closing where !isBeingRemoved(segment.file) && !segment.awaitsCapture {
      guard segment.retry.isDue(), !segment.isBeingSealed, lane.mayStartSealing else { return }
      guard segment.isDistrusted else { return startSealing(segment) }
      startCopy(of: segment)
    }
  }

  private func isBeingRemoved(_ file: SegmentFile) -> Bool { removals.contains { $0 === file } }

  private func startSealing(_ closing: ClosingSegment) {
    let file = closing.file
    guard file.pin() else { return }
    if closing.writer == nil {
      lane.makeRoom(sparing: nil)
      lane.noteOpened()
    }
    let (log, store) = (log, store)
    let sealing = SegmentSealing(file, closing.writer, store)
    let isAccepted = store.foldingThread.submit {
      let outcome = log.backgroundWork.perform { sealing.run() }
      store.lane(of: log).submit { lane in
        file.unpin()
        lane.sealingsInFlight -= 1
        let writer = lane.loadedWriter(of: log)
        // A partition that is being deleted.
        if outcome == nil || writer == nil { sealing.close(removesWAL: false) }
        if sealing.writer == nil { lane.noteClosed() }
        if let outcome { writer?.finishSealing(sealing, outcome) }
      } orElse: {
        file.unpin()
      }
    }
    guard isAccepted else {
      if closing.writer == nil { lane.noteClosed() }
      return file.unpin()
    }
    closing.writer = nil
    closing.isBeingSealed = true
    lane.sealingsInFlight += 1
  }

  private func finishSealing(_ sealing: SegmentSealing, _ outcome: SegmentSealing.Outcome) {
    let file = sealing.file
    guard let index = closing.firstIndex(where: { $0.file === file }) else {
      guard sealing.writer != nil else { return }
      sealing.close(removesWAL: false)
      return lane.noteClosed()
    }
    let segment = closing[index]
    segment.isBeingSealed = false
    segment.writer = sealing.writer
    switch outcome {
    case .sealed:
      closing.remove(at: index)
      store.metrics.segmentsSealed.increment()
      if !isBeingRemoved(file) { hash(file, expected: segment.capture?.finalSums) }
      return sealNext()
    case .inUse: break
    case .failed(let error) where error.isSyncFailure:
      segment.isDistrusted = true
      store.logger.error(
        "a segment could not be synced and is copied into a new file",
        metadata: ["file": "\(file.path)", "error": "\(error)"])
    case .failed(let error):
      store.logger.warning("sealing failed", metadata: ["file": "\(file.path)", "error": "\(error)"])
    }
    segment.retry.noteFailure()
  }

  func closeWriter(of closing: ClosingSegment, removesWAL: Bool) {
    guard let writer = closing.writer else { return }
    writer.close(removesWAL: removesWAL)
    lane.noteClosed()
    closing.writer = nil
  }

  /// Computes the hash of a sealed file beside everything else and records it in the active segment. From then on it is what followers must have,
  /// so a file that is damaged already gets none.
  ///
  /// - Parameter expected: what followers were sent of it; nil where nobody was.
  private func hash(_ file: SegmentFile, expected: PageSums?) {
    let log = log
    let store = store
    let verifiesBatches = expected == nil && replicas != nil
    guard file.pin() else { return }
    store.readThreads.submitIdle {
      let outcome = log.backgroundWork.perform {
        Result { () throws(StorageError) in try SealedPages.verifiedHash(of: file, expected, verifiesBatches, store) }
      }
      guard let outcome else { return file.unpin() }
      if case .failure(.damaged(let damage)) = outcome {
        file.noteDamaged()
        store.scrub?.report(file, of: log, damage.reason)
      }
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
    store.readThreads.submitRepair {
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
