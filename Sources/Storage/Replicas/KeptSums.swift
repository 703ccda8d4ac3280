internal import Bytes
internal import Glibc
internal import Model
internal import Pages

// The page hashes of an active segment, kept whenever all of its -wal is in its file: a follower that starts need not read every page to know them, and
// a leader that starts can tell whether the pages it finds are those that it left. Integers are big-endian.
//
//     0  4  magic "QSUM"            24  4  page size
//     4  4  leader epoch            28  4  pages
//     8  8  segment base            32     their hashes, 8 bytes each
//    16  8  commit sequence                XXH64 of all bytes in front of it

/// Reads and writes them. What is torn, or of another commit, counts for nothing.
enum KeptSums {
  private static let magic = Array("QSUM".utf8)
  private static let headerBytes = 32

  static let ending = ".sums"

  private static func path(_ file: SegmentFile) -> String { file.path + ending }

  static func remove(of file: SegmentFile) { unlink(path(file)) }

  /// Written without a sync: what does not come to the disk whole is not taken.
  static func write(_ sums: PageSums, at position: CommitPosition, of file: SegmentFile) throws(StorageError) {
    var bytes = magic
    append(UInt32(bitPattern: position.leaderEpoch.rawValue), to: &bytes)
    append(UInt64(bitPattern: position.segmentBase.rawValue), to: &bytes)
    append(UInt64(bitPattern: position.commitSequence), to: &bytes)
    append(UInt32(sums.pageSize.bytes), to: &bytes)
    append(UInt32(sums.pageCount), to: &bytes)
    for hash in sums.hashes { append(hash, to: &bytes) }
    append(hash(bytes[...]), to: &bytes)
    let draft = try DraftFile(path(file))
    var failure: StorageError?
    bytes.withUnsafeBytes { bytes in
      do throws(StorageError) { try draft.write(bytes, at: 0) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  /// The hashes that belong to `position`, which count once: from then on pages change.
  ///
  /// - Returns: nil where there are none.
  static func take(of file: SegmentFile, at position: CommitPosition, pageSize: Int) -> PageSums? {
    defer { remove(of: file) }
    return read(of: file, at: position, pageSize: pageSize)
  }

  /// The hashes of the pages in the file alone, where that stands at `position`.
  static func read(of file: SegmentFile, at position: CommitPosition, pageSize: Int) -> PageSums? {
    let path = path(file)
    guard let byteCount = FileSystem.size(of: path) else { return nil }
    guard byteCount >= headerBytes + 8, byteCount <= headerBytes + 8 + 8 * (Limits.segmentFileBytesMax / 512) else {
      return nil
    }
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: byteCount)
    var done = 0
    while done < byteCount {
      let count = bytes.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress! + done, byteCount - done, off_t(done)) }
      guard count > 0 else { return nil }
      done += count
    }
    guard bytes.starts(with: magic), hash(bytes[..<(byteCount - 8)]) == integer(bytes, at: byteCount - 8) else { return nil }
    let found = CommitPosition(
      leaderEpoch: LeaderEpoch(Int32(truncatingIfNeeded: integer(bytes, at: 0))),
      segmentBase: Offset(Int64(bitPattern: integer(bytes, at: 8))),
      commitSequence: Int64(bitPattern: integer(bytes, at: 16)))
    let sizes = integer(bytes, at: 24)
    guard found == position, sizes >> 32 == UInt64(pageSize), Int(sizes & 0xFFFF_FFFF) * 8 == byteCount - headerBytes - 8,
      let size = PageSize(bytes: pageSize)
    else { return nil }
    let hashes = stride(from: headerBytes, to: byteCount - 8, by: 8).map { integer(bytes, at: $0) }
    return PageSums(pageSize: size, hashes: hashes)
  }

  private static func hash(_ bytes: ArraySlice<UInt8>) -> UInt64 {
    var hash = XXH64()
    bytes.withUnsafeBytes { hash.update($0) }
    return hash.value
  }

  private static func append<T: FixedWidthInteger>(_ value: T, to bytes: inout [UInt8]) {
    withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
  }

  private static func integer(_ bytes: [UInt8], at index: Int) -> UInt64 {
    bytes.withUnsafeBytes { UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: index, as: UInt64.self)) }
  }
}
