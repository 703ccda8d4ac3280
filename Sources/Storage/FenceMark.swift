internal import Glibc

/// Says in a partition's directory that a segment's WAL must not be trusted, and up to where it was durable (`fenced`).
struct FenceMark {
  var name: SegmentName
  var endOffset: Int64

  private static func path(_ directory: String) -> String { directory + "/fenced" }

  /// - Throws: there may be no mark, for the disk is what failed. The WAL counts only once it is written anew (`WALRenewal`); without
  ///   the mark that takes what was committed and never acknowledged along.
  func write(_ directory: String) throws(StorageError) {
    let draft = Self.path(directory) + ".tmp"
    let descriptor = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw .system(call: "open", path: draft, number: errno) }
    let line = Array("\(name.fileName) \(endOffset)\n".utf8)
    let isWhole = Glibc.write(descriptor, line, line.count) == line.count
    let isSynced = fsync(descriptor) == 0
    let number = errno
    close(descriptor)
    // A torn mark would read as none.
    guard isWhole, isSynced else { throw .system(call: "fsync", path: draft, number: number) }
    try FileSystem.rename(draft, to: Self.path(directory))
    try FileSystem.syncDirectory(directory)
  }

  static func read(_ directory: String) -> FenceMark? {
    let descriptor = open(path(directory), O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 128)
    let count = max(0, Glibc.read(descriptor, &bytes, bytes.count))
    let words = String(decoding: bytes[..<count], as: UTF8.self).split { $0 == " " || $0 == "\n" }
    guard words.count == 2, let name = SegmentName(fileName: String(words[0])), let end = Int64(words[1]) else { return nil }
    return FenceMark(name: name, endOffset: end)
  }

  static func remove(_ directory: String) {
    guard unlink(path(directory)) == 0 else { return }
    try? FileSystem.syncDirectory(directory)
  }
}
