internal import Glibc

/// A small file that is replaced as a whole, and belongs to one process at a time.
///
/// Its lock is on the file itself; a replacement is locked before it takes the name, so that at no moment somebody else can have it.
final class StateFile {
  let path: String
  private var descriptor: CInt
  private(set) var content: [UInt8]

  /// Larger is nothing that we wrote.
  private static let bytesMax = 256 << 20

  /// Opens the file, made empty where it is missing.
  ///
  /// - Parameter busy: what to say where another process has it.
  init(path: String, busy: String) throws(ExportError) {
    self.path = path
    content = []
    while true {
      descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
      if descriptor < 0 { throw OutputFile.failure(path) }
      if flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
        close(descriptor)
        descriptor = -1
        throw .refused(busy)
      }
      var ours = stat()
      var named = stat()
      if fstat(descriptor, &ours) == 0, stat(path, &named) == 0, ours.st_ino == named.st_ino { break }
      // Replaced or removed between opening and locking.
      close(descriptor)
    }
    content = try Self.read(descriptor, path)
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  private static func read(_ descriptor: CInt, _ path: String) throws(ExportError) -> [UInt8] {
    var content: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = chunk.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress!, $0.count) }
      if count == 0 { return content }
      if count < 0 {
        if errno == EINTR { continue }
        throw OutputFile.failure(path)
      }
      content.append(contentsOf: chunk[..<count])
      if content.count > bytesMax { throw .output(path: path, message: "it is no state of an export") }
    }
  }

  /// The file has this content, durably, when this returns; whatever happens before, it has the old one.
  func replace(_ bytes: [UInt8]) throws(ExportError) {
    let next = path + ".next"
    let replacement = open(next, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
    if replacement < 0 { throw OutputFile.failure(next) }
    var done = 0
    var failed = flock(replacement, LOCK_EX | LOCK_NB) != 0
    while !failed && done < bytes.count {
      let count = bytes.withUnsafeBytes { Glibc.write(replacement, $0.baseAddress! + done, $0.count - done) }
      if count >= 0 { done += count } else if errno != EINTR { failed = true }
    }
    if failed || fsync(replacement) != 0 || rename(next, path) != 0 {
      let failure = OutputFile.failure(path)
      close(replacement)
      unlink(next)
      throw failure
    }
    close(descriptor)
    descriptor = replacement
    content = bytes
    try OutputFile.syncDirectory(of: path)
  }

  func remove() {
    unlink(path)
    unlink(path + ".next")
  }
}
