internal import CoreMetrics
internal import Logging
internal import Model
internal import SQLite
internal import Synchronization

extension FollowerPartition {
  /// An older segment, as the rows of the active one name it.
  struct OlderSegment {
    enum Stage {
      /// Its -wal is not folded: the rows do not say yet what has to come out.
      case closing
      /// The folding thread has it.
      case sealing
      /// One file, as the leader has it.
      case settled
      /// It is not here, or not what the leader has.
      case wanted
    }

    var record: SegmentRecord
    /// What readers are given: of another generation while that of the record has not come.
    var file: SegmentFile
    var stage: Stage
    /// It was here, and was not the leader's.
    var isDifferent = false
    /// What came of it ends before it does: only the file helps.
    var isIncomplete = false
    var retry = RetryDelay(firstMilliseconds: 100, longestMilliseconds: 5_000)

    var name: SegmentName { SegmentName(baseOffset: record.baseOffset, generation: record.generation) }
  }

  /// Takes the older segments from the rows; what they name no longer is removed when nobody reads it.
  ///
  /// - Parameters:
  ///   - predecessor: what was the active segment until now.
  ///   - endOffset: where that ends here.
  func takeSegments(of state: PartitionState, predecessor: SegmentFile?, endOffset: Int64 = .max) {
    var known = Dictionary(older.map { ($0.record.baseOffset, $0) }) { $1 }
    older = state.segments.map { record in
      segment(of: record, known: known.removeValue(forKey: record.baseOffset), predecessor: predecessor)
    }
    for index in older.indices {
      if let predecessor, older[index].file === predecessor {
        older[index].isIncomplete = endOffset < older[index].record.endOffset
      }
      let isHopeless = older[index].isIncomplete && older[index].stage == .closing && older[index].record.seal != nil
      if isHopeless { older[index].stage = .wanted }
    }
    var gone = known.values.map(\.file)
    if let predecessor { gone.append(predecessor) }
    for file in gone where !older.contains(where: { $0.file === file }) { discard(file) }
  }

  /// Only when it cannot be undone: the commit that says so is as old as the log is now.
  private func discard(_ file: SegmentFile) { removals.append((file, active?.extent.endOffset ?? 0)) }

  private func segment(of record: SegmentRecord, known: OlderSegment?, predecessor: SegmentFile?) -> OlderSegment {
    let name = SegmentName(baseOffset: record.baseOffset, generation: record.generation)
    if var known, known.name == name {
      if known.record.seal == nil, let seal = record.seal, known.file.name == name { known.file.setSeal(seal) }
      known.record = record
      return known
    }
    // Not what it is to become, and not what it may be taken for.
    var unsealed = record
    unsealed.seal = nil
    let here = known?.file ?? (predecessor?.baseOffset == record.baseOffset ? predecessor : nil)
    if known == nil { here?.becomeClosing(unsealed) }
    if let here, here.name == name { return OlderSegment(record: record, file: here, stage: .closing) }
    let path = "\(log.directory)/\(name.fileName)"
    if FileSystem.exists(path) {
      if let here { discard(here) }
      var isSealed = false
      if let seal = record.seal, case .sealed(let hasLog) = SealMatch(path, seal) {
        isSealed = true
        // One that cannot be removed is not read, and goes with the file.
        if hasLog { for ending in ["-wal", "-shm"] { try? FileSystem.remove(path + ending) } }
      }
      let file = SegmentFile(
        directory: log.directory, name: name, phase: isSealed ? .sealed : .closing, record: isSealed ? record : unsealed)
      return OlderSegment(record: record, file: file, stage: isSealed ? .settled : .closing)
    }
    // Another generation has the same records: it is read until this one has come.
    if let here { return OlderSegment(record: record, file: here, stage: .wanted) }
    let file = SegmentFile(directory: log.directory, name: name, phase: .missing, record: unsealed)
    return OlderSegment(record: record, file: file, stage: .wanted)
  }

  // What waits for somebody

  /// As `tend`, now and then: also for what nobody says.
  func tick() {
    if isClosed { return }
    for index in older.indices where older[index].stage == .settled && older[index].file.isDamaged { distrustOlder(at: index) }
    tend()
    rest(isCrowded: store.databases.current > store.options.openDatabasesMax * 3 / 4)
  }

  /// Closes the active segment of a partition that is idle, where many are open: synced, folded, and at the high watermark.
  func rest(isCrowded: Bool) {
    guard isCrowded, let active, active.isOpen, active.isIdle, isFoldable(active) else { return }
    if active.uncheckpointedBytes > 0 { fold(active) }
    if self.active?.uncheckpointedBytes == 0 { active.close() }
  }

  /// Does what can be done of what is unfinished: seals, removes files, folds the -wal.
  func tend() {
    if isClosed { return }
    if !removals.isEmpty {
      let highWatermark = highWatermark
      removals = removals.filter { !($0.endOffset <= highWatermark && remove($0.file)) }
    }
    if jobsInFlight == 0,
      let index = older.firstIndex(where: { $0.stage == .closing && $0.record.seal != nil && $0.retry.isDue() })
    {
      startSealing(at: index)
    }
    checkpoint()
  }

  /// What is there is not the leader's: nobody is given it any more.
  func distrustOlder(at index: Int) {
    let file = older[index].file
    older[index].stage = .wanted
    older[index].isDifferent = true
    file.becomeMissing()
    store.readers.drop(file)
    noteChanged()
    store.logger.warning("a replica's segment differs from its leader's", metadata: ["file": "\(file.path)"])
  }

  private func remove(_ file: SegmentFile) -> Bool {
    guard file.claimRemoval() else { return false }
    store.readers.drop(file)
    do throws(StorageError) {
      try SegmentBuilder.removeDatabase(file.path)
      try FileSystem.remove(copyPath(of: file.name))
      try FileSystem.syncDirectory(file.directory)
      store.metrics.segmentsRemoved.increment()
    } catch {
      // The rows do not name it: the next start removes what is left of it.
      store.logger.warning("a segment could not be removed", metadata: ["file": "\(file.path)", "error": "\(error)"])
    }
    return true
  }

  // Sealing

  /// Folds a closed segment's -wal into its file beside everything else, and compares the file with what the leader says it is.
  private func startSealing(at index: Int) {
    let file = older[index].file
    guard let seal = older[index].record.seal, file.pin() else { return }
    older[index].stage = .sealing
    jobsInFlight += 1
    let store = store
    store.foldingThread.submit { [self] in
      let sealing = SegmentSealing(file, nil, store)
      let outcome = sealing.run()
      sealing.close(removesWAL: false)
      var isSame = false
      if case .sealed = outcome {
        do throws(StorageError) { isSame = try FileHash.compute(file.path, passingCache: true) == seal } catch {
          store.logger.warning("a segment could not be read", metadata: ["file": "\(file.path)", "error": "\(error)"])
        }
      }
      finishJob(file) { finishSealing(file, outcome, isSame: isSame) }
    } orElse: { [self] in
      finishJob(file) {}
    }
  }

  private func finishJob(_ file: SegmentFile, _ work: () -> Void) {
    locked {
      file.unpin()
      jobsInFlight -= 1
      work()
    }
    monitor.broadcast()
  }

  private func finishSealing(_ file: SegmentFile, _ outcome: SegmentSealing.Outcome, isSame: Bool) {
    guard let index = older.firstIndex(where: { $0.file === file }) else { return }
    switch outcome {
    case .sealed where isSame:
      older[index].stage = .settled
      store.metrics.segmentsSealed.increment()
    // What a failed sync left is not known, and the leader has it whole.
    case .failed(let error) where error.isSyncFailure: distrustOlder(at: index)
    case .sealed: distrustOlder(at: index)
    case .inUse, .failed:
      older[index].stage = .closing
      older[index].retry.noteFailure()
    }
  }

  // The active segment's WAL

  /// Folds the -wal into the file, not past the high watermark while it is within its bound.
  private func checkpoint() {
    guard let active, active.uncheckpointedBytes >= store.options.checkpointBytes else { return }
    let isOverdue = active.uncheckpointedBytes >= store.options.walBytesMax && !active.isUnsynced
    if isFoldable(active) || isOverdue { fold(active) }
  }

  private func isFoldable(_ active: FollowerSegment) -> Bool {
    !active.isUnsynced && !active.isAhead && active.extent.endOffset <= highWatermark
  }

  private func fold(_ active: FollowerSegment) {
    guard store.reserve.allowsFolding(active.uncheckpointedBytes) else { return }
    do throws(StorageError) { try active.checkpoint() } catch {
      if error.isSyncFailure { distrustActive("a checkpoint could not be synced: \(error)") }
      complain("a replica's checkpoint failed", error)
    }
  }
}
