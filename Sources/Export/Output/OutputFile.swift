internal import Glibc

/// Where an export goes: a file that has its name only once it is complete, or a stream.
///
/// A file is written under a temporary name beside the final one (`.NAME.quire-partial`), synced, renamed and its directory synced.
/// Whatever happens before, the final name is untouched. What was begun is removed with this object, unless it is to be gone on with.
/// A path that exists and is no regular file (a pipe, a device) is written as it is, like standard output.
public final class OutputFile {
  public let path: String
  /// Nil where there is nothing to rename.
  public let temporaryPath: String?
  private var descriptor: CInt
  private var isComplete = false
  /// Whether what was begun stays when this object goes.
  public var isKept = false

  static func temporaryPath(for path: String) -> String {
    let (directory, name) = split(path)
    return "\(directory)/.\(name).quire-partial"
  }

  /// What becomes of a file that was begun before.
  public enum Beginning: Sendable, Hashable {
    /// It is thrown away.
    case anew
    /// It is gone on with behind this byte.
    case behind(Int64)
    /// It is gone on with as it is: a database knows by itself what of it counts.
    case asItIs
  }

  /// - Parameter path: `-` is standard output.
  public init(path: String, _ beginning: Beginning = .anew) throws(ExportError) {
    self.path = path
    if path == "-" {
      temporaryPath = nil
      descriptor = STDOUT_FILENO
      return
    }
    var status = stat()
    let exists = stat(path, &status) == 0
    if exists && status.st_mode & S_IFMT == S_IFDIR { throw .output(path: path, message: "it is a directory") }
    if exists && status.st_mode & S_IFMT != S_IFREG {
      temporaryPath = nil
      descriptor = open(path, O_WRONLY | O_CLOEXEC)
      if descriptor < 0 { throw Self.failure(path) }
      return
    }
    let temporary = Self.temporaryPath(for: path)
    temporaryPath = temporary
    descriptor = open(temporary, O_WRONLY | O_CREAT | O_CLOEXEC, 0o666)
    if descriptor < 0 { throw Self.failure(path) }
    if flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      isKept = true
      throw .output(path: path, message: "another export is writing it")
    }
    switch beginning {
    case .anew:
      for ending in Self.companions { unlink(temporary + ending) }
      guard ftruncate(descriptor, 0) == 0 else { throw Self.failure(path) }
    case .behind(let bytes):
      isKept = true
      guard fstat(descriptor, &status) == 0, Int64(status.st_size) >= bytes else {
        throw .output(path: temporary, message: "it is shorter than what was noted down of it")
      }
      guard ftruncate(descriptor, off_t(bytes)) == 0, lseek(descriptor, 0, SEEK_END) >= 0 else { throw Self.failure(path) }
    case .asItIs: isKept = true
    }
  }

  /// What a database keeps beside itself while it is written.
  private static let companions = ["-journal", "-wal", "-shm"]

  /// Whether a file has such a name, or is a companion of one.
  static func isTemporary(_ path: String) -> Bool {
    let name = split(path).name
    return name.first == "." && ([""] + companions).contains { name.hasSuffix(".quire-partial" + $0) }
  }

  deinit {
    if !isComplete && !isKept, let temporaryPath { Self.remove(temporaryPath) }
    if descriptor > STDERR_FILENO { close(descriptor) }
  }

  static func remove(_ temporaryPath: String) {
    unlink(temporaryPath)
    for ending in companions { unlink(temporaryPath + ending) }
  }

  /// - Throws: `.outputClosed` where the reader is gone.
  public func write(_ bytes: [UInt8]) throws(ExportError) {
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress! + done, $0.count - done) }
      if count >= 0 {
        done += count
      } else if errno == EPIPE {
        throw .outputClosed
      } else if errno == EAGAIN {
        // The other end may have made the descriptor non-blocking; wait until it takes more.
        var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = poll(&waiting, 1, -1)
      } else if errno != EINTR {
        throw Self.failure(path)
      }
    }
  }

  /// Makes what was written durable, under the temporary name.
  public func sync() throws(ExportError) {
    guard temporaryPath != nil else { return }
    guard fsync(descriptor) == 0 else { throw Self.failure(path) }
    try Self.syncDirectory(of: path)
  }

  /// Makes what was written durable and lets go of the descriptor; the name comes later.
  func seal() throws(ExportError) {
    try sync()
    if temporaryPath != nil, descriptor > STDERR_FILENO {
      close(descriptor)
      descriptor = -1
    }
  }

  /// Makes what was written durable and gives it its name. Nothing may be written after.
  public func complete() throws(ExportError) {
    try sync()
    try publish()
  }

  /// Gives what was synced its name, and makes that durable.
  public func publish() throws(ExportError) {
    if let temporaryPath { try Self.publish(temporaryPath, as: path) }
    isComplete = true
  }

  static func publish(_ temporaryPath: String, as path: String) throws(ExportError) {
    guard rename(temporaryPath, path) == 0 else { throw failure(path) }
    try syncDirectory(of: path)
  }

  static func syncDirectory(of path: String) throws(ExportError) {
    let directory = open(split(path).directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard directory >= 0 else { throw failure(path) }
    defer { close(directory) }
    guard fsync(directory) == 0 else { throw failure(path) }
  }

  static func split(_ path: String) -> (directory: String, name: String) {
    guard let slash = path.lastIndex(of: "/") else { return (".", path) }
    let directory = String(path[..<slash])
    return (directory.isEmpty ? "/" : directory, String(path[path.index(after: slash)...]))
  }

  static func failure(_ path: String) -> ExportError {
    let code = errno
    return .output(path: path, message: String(cString: strerror(code)))
  }
}
