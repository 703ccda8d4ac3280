internal import Bytes
internal import Glibc
internal import Logging
internal import Model
internal import SQLite
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
          ($0.name.baseOffset, $0.name.generation, have(of: $0.name))
        }
    }
  }

  /// Every segment is here as far as it has to be: it could lead without a loss.
  public var isComplete: Bool {
    locked { active != nil && !older.contains { $0.stage == .wanted || $0.isIncomplete } }
  }

  private func have(of name: SegmentName) -> Int64 {
    if let arriving, arriving.name == name { return arriving.have }
    return Int64(FileSystem.size(of: copyPath(of: name)) ?? 0)
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
    base: Int64, generation: Int64, offset: Int64, total: Int64, _ bytes: UnsafeRawBufferPointer
  ) throws(StorageError) {
    try lockedThrowing { () throws(StorageError) in
      if isClosed { throw .closed }
      let name = SegmentName(baseOffset: base, generation: generation)
      guard let index = older.firstIndex(where: { $0.name == name && $0.stage == .wanted }),
        let seal = older[index].record.seal
      else { return }
      let path = copyPath(of: name)
      let file = try arriving(name, path)
      guard total == seal.fileBytes, file.have <= total, offset <= total, Int64(bytes.count) <= total - offset else {
        arriving = nil
        try FileSystem.remove(path)
        throw differs(name, "\(total) bytes are offered, \(seal.fileBytes) wanted")
      }
      guard offset == file.have else { return }
      do throws(StorageError) {
        try file.append(bytes)
        guard file.have == total else { return }
        arriving = nil
        let found = try file.finish()
        guard found == seal else {
          try FileSystem.remove(path)
          throw differs(name, "its hash differs")
        }
      } catch {
        arriving = nil
        throw error
      }
      try install(path, at: index)
    }
  }

  /// The file that is coming; another one is let go of, and goes on later from where it is.
  private func arriving(_ name: SegmentName, _ path: String) throws(StorageError) -> ArrivingFile {
    if let arriving, arriving.name == name { return arriving }
    let file = try ArrivingFile(name, path)
    arriving = file
    return file
  }

  /// The same for an array.
  public func writeFile(
    base: Int64, generation: Int64, offset: Int64, total: Int64, _ bytes: [UInt8]
  ) throws(StorageError) {
    var failure: StorageError?
    bytes.withUnsafeBytes { bytes in
      do throws(StorageError) {
        try writeFile(base: base, generation: generation, offset: offset, total: total, bytes)
      } catch { failure = error }
    }
    if let failure { throw failure }
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

/// A sealed segment that comes piece by piece: written past the page cache, a piece at a time.
final class ArrivingFile {
  let name: SegmentName
  private let path: String
  private let file: DraftFile
  private var written: Int64
  /// What came last, up to a whole piece.
  private var buffer: UnsafeMutableRawBufferPointer?
  private var buffered = 0
  /// Of what is here; nil where a part of it came in an earlier life.
  private var hash: XXH64?

  init(_ name: SegmentName, _ path: String) throws(StorageError) {
    self.name = name
    self.path = path
    written = Int64(FileSystem.size(of: path) ?? 0)
    hash = written == 0 ? XXH64() : nil
    file = try DraftFile(path, goesOn: true)
  }

  deinit { buffer?.deallocate() }

  var have: Int64 { written + Int64(buffered) }

  func append(_ bytes: UnsafeRawBufferPointer) throws(StorageError) {
    hash?.update(bytes)
    var rest = bytes[...]
    while !rest.isEmpty {
      let room = buffer ?? .allocate(byteCount: Limits.peerFilePieceBytes, alignment: DirectIO.alignment)
      buffer = room
      let part = rest.prefix(room.count - buffered)
      UnsafeMutableRawBufferPointer(rebasing: room[buffered...]).copyMemory(from: UnsafeRawBufferPointer(rebasing: part))
      buffered += part.count
      rest = rest.dropFirst(part.count)
      if buffered == room.count { try flush() }
    }
  }

  /// An idle file keeps no buffer: many may be coming.
  private func flush() throws(StorageError) {
    guard let buffer else { return }
    try file.writePastCache(UnsafeRawBufferPointer(rebasing: buffer[..<buffered]), at: Int(written))
    written += Int64(buffered)
    buffered = 0
    buffer.deallocate()
    self.buffer = nil
  }

  /// Makes it durable.
  ///
  /// - Returns: what it is.
  func finish() throws(StorageError) -> SegmentRecord.Seal {
    try flush()
    try file.sync()
    if let hash { return SegmentRecord.Seal(fileBytes: have, hash: hash.value) }
    return try FileHash.compute(path)
  }
}
