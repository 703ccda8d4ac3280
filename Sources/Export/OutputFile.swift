internal import Glibc

/// Where an export goes: a file that has its name only once it is complete, or standard output.
///
/// A file is written under a temporary name beside the final one (`.NAME.PID.quire-partial`), synced, renamed and its directory
/// synced. Whatever happens before, the final name is untouched, and what was begun is removed. A path that exists and is no regular
/// file (a pipe, a device) is written as it is, like standard output.
public final class OutputFile {
  private let path: String
  /// Nil where there is nothing to rename.
  private let temporaryPath: String?
  private var descriptor: CInt
  private var isComplete = false

  /// - Parameter path: `-` is standard output.
  public init(path: String) throws(ExportError) {
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
    } else {
      let (directory, name) = Self.split(path)
      let temporary = "\(directory)/.\(name).\(getpid()).quire-partial"
      // Left over from a process that had our number and was killed.
      unlink(temporary)
      temporaryPath = temporary
      descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    }
    if descriptor < 0 { throw Self.failure(path) }
  }

  deinit {
    if descriptor > STDERR_FILENO { close(descriptor) }
    if !isComplete, let temporaryPath { unlink(temporaryPath) }
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
      } else if errno != EINTR {
        throw Self.failure(path)
      }
    }
  }

  /// Makes what was written durable and gives it its name. Nothing may be written after.
  public func complete() throws(ExportError) {
    guard let temporaryPath else {
      isComplete = true
      return
    }
    guard fsync(descriptor) == 0 else { throw Self.failure(path) }
    let closed = close(descriptor)
    descriptor = -1
    guard closed == 0, rename(temporaryPath, path) == 0 else { throw Self.failure(path) }
    isComplete = true
    let directory = open(Self.split(path).directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard directory >= 0 else { throw Self.failure(path) }
    defer { close(directory) }
    guard fsync(directory) == 0 else { throw Self.failure(path) }
  }

  private static func split(_ path: String) -> (directory: String, name: String) {
    guard let slash = path.lastIndex(of: "/") else { return (".", path) }
    let directory = String(path[..<slash])
    return (directory.isEmpty ? "/" : directory, String(path[path.index(after: slash)...]))
  }

  private static func failure(_ path: String) -> ExportError {
    let code = errno
    return .output(path: path, message: String(cString: strerror(code)))
  }
}
