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
    /// Where what is here of it ends.
    var end: Int64
    /// Of the file that is here, where that is sealed.
    var own: SegmentRecord.Seal?
    /// It was here, and was not the leader's.
    var isDifferent = false
    var retry = RetryDelay(firstMilliseconds: 100, longestMilliseconds: 5_000)

    /// What came of it ends before it does: only the file helps.
    var isIncomplete: Bool { end < record.endOffset }

    var name: SegmentName { SegmentName(baseOffset: record.baseOffset, generation: record.generation) }
  }

  /// Takes the older segments from the rows; what they name no longer is removed when nobody reads it.
  ///
  /// - Parameters:
  ///   - predecessor: what was the active segment until now.
  ///   - endOffset: where that ends here.
  func takeSegments(of state: PartitionState, predecessor: SegmentFile?, endOffset: Int64 = .max) {
    let parting = EpochStart.parting(epochs, state.epochs)
    epochs = state.epochs
    var known = Dictionary(older.map { ($0.record.baseOffset, $0) }) { $1 }
    older = state.segments.map { record in
      segment(of: record, known: known.removeValue(forKey: record.baseOffset), predecessor: predecessor, endOffset)
    }
    for index in older.indices where older[index].stage != .wanted {
      let segment = older[index]
      if min(segment.end, segment.record.endOffset) > parting {
        undo(at: index)
      } else if let own = segment.own, let seal = segment.record.seal, own != seal {
        distrustOlder(at: index)
      } else if segment.isIncomplete, segment.record.seal != nil {
        want(at: index)
      }
    }
    var gone = known.values.map(\.file)
    if let predecessor { gone.append(predecessor) }
    for file in gone where !file.isGone && !older.contains(where: { $0.file === file }) { discard(file) }
  }

  /// It has records of a leader that was deposed before they were replicated: nobody reads it again, in no life.
  private func undo(at index: Int) {
    let segment = older[index]
    _ = segment.file.claimRemoval(force: true)
    store.readers.drop(segment.file)
    store.readAhead.drop(log)
    do throws(StorageError) {
      try SegmentBuilder.removeDatabase(segment.file.path)
      try FileSystem.syncDirectory(segment.file.directory)
    } catch { complain("a segment with records that were not replicated could not be removed", error) }
    older[index] = missing(segment.record)
    older[index].isDifferent = true
    noteChanged()
    store.logger.notice(
      "a segment with records that were not replicated comes anew", metadata: ["file": "\(segment.file.path)"])
  }

  private func missing(_ record: SegmentRecord) -> OlderSegment {
    var unsealed = record
    unsealed.seal = nil
    let name = SegmentName(baseOffset: record.baseOffset, generation: record.generation)
    let file = SegmentFile(directory: log.directory, name: name, phase: .missing, record: unsealed)
    return OlderSegment(record: record, file: file, stage: .wanted, end: record.baseOffset)
  }

  /// Only when it cannot be undone: the commit that says so is as old as the log is now.
  private func discard(_ file: SegmentFile) { removals.append((file, active?.extent.endOffset ?? 0)) }

  private func segment(
    of record: SegmentRecord, known: OlderSegment?, predecessor: SegmentFile?, _ endOffset: Int64
  ) -> OlderSegment {
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
    let end = known?.end ?? min(endOffset, record.endOffset)
    if let here, here.name == name { return OlderSegment(record: record, file: here, stage: .closing, end: end) }
    let path = "\(log.directory)/\(name.fileName)"
    if FileSystem.exists(path) {
      if let here { discard(here) }
      // What the rows of a file that was here already say of it goes for it; of any other it is still to be shown.
      return found(record, unsealed, path, isOwn: isRecovering)
    }
    // Another generation has the same records: it is read until this one has come.
    if let here { return OlderSegment(record: record, file: here, stage: .wanted, end: end) }
    return missing(record)
  }

  /// The name is wanted again: who still reads what had it reads on, and nobody else.
  func keepFromRemoval(_ name: SegmentName) {
    for (file, _) in removals where file.name == name {
      _ = file.claimRemoval(force: true)
      store.readers.drop(file)
    }
    removals.removeAll { $0.file.name == name }
  }

  private func found(_ record: SegmentRecord, _ unsealed: SegmentRecord, _ path: String, isOwn: Bool) -> OlderSegment {
    let name = SegmentName(baseOffset: record.baseOffset, generation: record.generation)
    keepFromRemoval(name)
    var segment = missing(record)
    segment.stage = .closing
    segment.end = record.endOffset
    if !isOwn { return segment }
    if let seal = record.seal, case .sealed(let hasLog) = SealMatch(path, seal) {
      // One that cannot be removed is not read, and goes with the file.
      if hasLog { for ending in ["-wal", "-shm"] { try? FileSystem.remove(path + ending) } }
      segment.stage = .settled
      segment.own = seal
      segment.file = SegmentFile(directory: log.directory, name: name, phase: .sealed, record: record)
      segment.file.refuseIfDamaged()
      return segment
    }
    // As far as is known: the process may have ended before it was undone, or before the rest had come.
    let ours = try? epochs(ofFile: path)
    segment.end = min(ours?.end ?? record.baseOffset, record.endOffset)
    if let ours, EpochStart.parting(ours.epochs, epochs) < segment.end { return undone(segment, path) }
    segment.file = SegmentFile(directory: log.directory, name: name, phase: .closing, record: unsealed)
    return segment
  }

  private func undone(_ segment: OlderSegment, _ path: String) -> OlderSegment {
    do throws(StorageError) {
      try SegmentBuilder.removeDatabase(path)
      try FileSystem.syncDirectory(log.directory)
    } catch { complain("a segment with records that were not replicated could not be removed", error) }
    return missing(segment.record)
  }

  /// What a file says of itself.
  private func epochs(ofFile path: String) throws(StorageError) -> (epochs: [EpochStart], end: Int64)? {
    let connection = try OfflineConnection.open(path, .segment, isImmutable: false)
    defer { connection.close() }
    return try storage { () throws(SQLiteError) in
      try SegmentSQL.load(connection, withProducers: false).map { ($0.state.epochs, $0.extent.endOffset) }
    }
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
    older[index].isDifferent = true
    store.logger.warning("a replica's segment differs from its leader's", metadata: ["file": "\(older[index].file.path)"])
    want(at: index)
  }

  /// What is there is to be replaced by the leader's file. It is kept under another name until that has come, lest another life takes it for what it
  /// should be.
  private func want(at index: Int) {
    let file = older[index].file
    older[index].stage = .wanted
    older[index].own = nil
    file.becomeMissing()
    store.readers.drop(file)
    if file.name == older[index].name { setAside(file.path) }
    noteChanged()
  }

  /// What was found damaged while this node led.
  func distrust(_ names: [SegmentName], isDamaged: Bool) {
    locked {
      for index in older.indices where names.contains(older[index].file.name) && older[index].stage == .settled {
        distrustOlder(at: index)
      }
      hasDiverged = hasDiverged || isDamaged && names.isEmpty
    }
  }

  /// Reads every page of the active segment, and compares it with what it was when it was applied. What differs comes from the leader.
  ///
  /// - Parameter mayGoOn: called after each piece, with its bytes.
  func scrubActive(_ mayGoOn: (Int) -> Bool) {
    locked {
      // What is open goes on without its name, and would be gone with the process.
      guard !isClosed, let active else { return }
      let isThere = FileSystem.exists(active.file.path)
      // What cannot be read otherwise is said by whoever needs it.
      if isThere, (try? active.isLogWhole()) ?? true { return }
      store.metrics.damageFound.increment()
      distrustActive(isThere ? "frames of its WAL are not what was written there" : "its file is gone")
    }
    var next = 1
    while let (end, bytes) = scrubPiece(from: next) {
      guard mayGoOn(bytes) else { return }
      next = end
    }
  }

  private func scrubPiece(from first: Int) -> (end: Int, bytes: Int)? {
    locked {
      guard !isClosed, let active else { return nil }
      do throws(StorageError) {
        let piece = try active.scrub(from: first)
        guard let piece, let damaged = piece.damaged else { return piece.map { ($0.end, $0.bytes) } }
        noteDamagedPages("page \(damaged) is not what was written there")
      } catch {
        if case .sqlite = error { distrustActive("it cannot be read: \(error)") }
      }
      return nil
    }
  }

  static var distrustedEnding: String { ".distrusted" }

  private func setAside(_ path: String) {
    do throws(StorageError) {
      for file in [path, path + "-wal"] where FileSystem.exists(file) {
        try FileSystem.rename(file, to: file + Self.distrustedEnding)
      }
      try FileSystem.remove(path + "-shm")
      try FileSystem.syncDirectory(log.directory)
    } catch { complain("a segment that is not its leader's could not be set aside", error) }
  }

  func removeDistrusted(_ path: String) throws(StorageError) {
    for file in [path, path + "-wal"] { try FileSystem.remove(file + Self.distrustedEnding) }
  }

  private func remove(_ file: SegmentFile) -> Bool {
    guard file.claimRemoval() else { return false }
    store.readers.drop(file)
    if arriving?.name == file.name { arriving = nil }
    do throws(StorageError) {
      try SegmentBuilder.removeDatabase(file.path)
      try FileSystem.remove(copyPath(of: file.name))
      try removeDistrusted(file.path)
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
    guard older[index].record.seal != nil, file.pin() else { return }
    older[index].stage = .sealing
    jobsInFlight += 1
    let store = store
    store.foldingThread.submit { [self] in
      let sealing = SegmentSealing(file, nil, store)
      // What nobody reads yet is given to readers when it was compared.
      let outcome = sealing.run(becomesSealed: file.currentPhase != .missing)
      sealing.close(removesWAL: false)
      var found: SegmentRecord.Seal?
      if case .sealed = outcome {
        do throws(StorageError) { found = try FileHash.compute(file.path, passingCache: true) } catch {
          store.logger.warning("a segment could not be read", metadata: ["file": "\(file.path)", "error": "\(error)"])
        }
      }
      finishJob(file) { finishSealing(file, outcome, found) }
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

  private func finishSealing(_ file: SegmentFile, _ outcome: SegmentSealing.Outcome, _ found: SegmentRecord.Seal?) {
    // It may be wanted anew by now.
    guard let index = older.firstIndex(where: { $0.file === file && $0.stage == .sealing }) else { return }
    switch outcome {
    case .sealed where found != nil && found == older[index].record.seal:
      older[index].stage = .settled
      older[index].own = found
      file.becomeSealed()
      file.refuseIfDamaged()
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
