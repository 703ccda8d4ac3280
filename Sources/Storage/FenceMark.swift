internal import Glibc

/// Says in a partition's directory that a segment's WAL must not be trusted, and up to where it was durable (`fenced`).
struct FenceMark {
  var name: SegmentName
  var endOffset: Int64

  private static func path(_ directory: String) -> String { directory + "/fenced" }

  /// Written as well as the disk allows: it is what failed.
  func write(_ directory: String) {
    let draft = Self.path(directory) + ".tmp"
    let descriptor = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { return }
    let line = Array("\(name.fileName) \(endOffset)\n".utf8)
    let isWhole = Glibc.write(descriptor, line, line.count) == line.count
    fsync(descriptor)
    close(descriptor)
    // A torn mark would read as none.
    guard isWhole, rename(draft, Self.path(directory)) == 0 else { return }
    try? FileSystem.syncDirectory(directory)
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
