internal import Glibc
internal import Logging
internal import Model
internal import Synchronization

// Sealed segments that are not here, or are not what the leader has: they come as files.

extension FollowerPartition {
  /// Sealed segments that are wanted from the leader, and how many bytes of each are here.
  public var wantedFiles: [(base: Int64, generation: Int64, have: Int64)] {
    locked {
      // The leader gives what is sealed there only.
      isClosed
        ? []
        : older.filter { $0.stage == .wanted && $0.record.seal != nil }.map {
          ($0.name.baseOffset, $0.name.generation, Int64(FileSystem.size(of: copyPath(of: $0.name)) ?? 0))
        }
    }
  }

  /// Every segment is here as far as it has to be: it could lead without a loss.
  public var isComplete: Bool {
    locked { active != nil && !older.contains { $0.stage == .wanted || $0.isIncomplete } }
  }

  func copyPath(of name: SegmentName) -> String { "\(log.directory)/\(name.fileName)\(Self.copyEnding)" }
  static var copyEnding: String { ".copy.tmp" }

  /// Writes a piece of a wanted file. With the last one it is compared with its hash, made durable, and read from then on.
  ///
  /// Pieces that are not the next one, or of a file that nobody wants any more, are left out: `wantedFiles` says what is.
  ///
  /// - Parameters:
  ///   - offset: where the piece begins, in bytes.
  ///   - total: bytes of the whole file.
  /// - Throws: `.damaged` where it is not what the rows say: it has to come from its beginning.
  public func writeFile(
    base: Int64, generation: Int64, offset: Int64, total: Int64, _ bytes: [UInt8]
  ) throws(StorageError) {
    try lockedThrowing { () throws(StorageError) in
      if isClosed { throw .closed }
      let name = SegmentName(baseOffset: base, generation: generation)
      guard let index = older.firstIndex(where: { $0.name == name && $0.stage == .wanted }),
        let seal = older[index].record.seal
      else { return }
      let path = copyPath(of: name)
      let have = Int64(FileSystem.size(of: path) ?? 0)
      guard total == seal.fileBytes, have <= total, offset <= total, Int64(bytes.count) <= total - offset else {
        try FileSystem.remove(path)
        throw differs(name, "\(total) bytes are offered, \(seal.fileBytes) wanted")
      }
      guard offset == have else { return }
      let file = try DraftFile(path, goesOn: true)
      var failure: StorageError?
      bytes.withUnsafeBytes { bytes in
        do throws(StorageError) { try file.write(bytes, at: Int(offset)) } catch { failure = error }
      }
      if let failure { throw failure }
      guard offset + Int64(bytes.count) == total else { return }
      try file.sync()
      guard try FileHash.compute(path) == seal else {
        try FileSystem.remove(path)
        throw differs(name, "its hash differs")
      }
      try install(path, at: index)
    }
  }

  private func differs(_ name: SegmentName, _ reason: String) -> StorageError {
    .damaged(
      StorageDamage(
        file: "\(log.directory)/\(name.fileName)", baseOffset: nil, offset: Offset(name.baseOffset),
        reason: "the file that came is not the one that was sealed: \(reason)"))
  }

  private func install(_ copy: String, at index: Int) throws(StorageError) {
    let segment = older[index]
    let path = "\(log.directory)/\(segment.name.fileName)"
    if segment.file.name == segment.name {
      _ = segment.file.claimRemoval(force: true)
      store.readers.drop(segment.file)
    }
    keepFromRemoval(segment.name)
    // A -wal that is left of what was there would be replayed into the new file.
    for ending in ["-wal", "-shm"] { try FileSystem.remove(path + ending) }
    try FileSystem.rename(copy, to: path)
    try removeDistrusted(path)
    try FileSystem.syncDirectory(log.directory)
    let file = SegmentFile(directory: log.directory, name: segment.name, phase: .sealed, record: segment.record)
    // It was compared just now.
    file.becomeSealed()
    file.refuseIfDamaged()
    older[index] = OlderSegment(
      record: segment.record, file: file, stage: .settled, end: segment.record.endOffset, own: segment.record.seal)
    if segment.file.name != segment.name { removals.append((segment.file, active?.extent.endOffset ?? 0)) }
    store.readAhead.drop(log)
    if segment.isDifferent, let active { noteHeal("a file", to: active.position) }
    publish()
  }
}
