internal import Glibc

/// Where an export goes: standard output, or a file that has its name only once it is complete.
struct ExportTarget {
  private let path: String?
  private let temporaryPath: String
  private let descriptor: CInt
  private let stream: OutputStream

  /// - Parameter path: `-` for standard output.
  init(path: String) throws {
    if path == "-" {
      self.path = nil
      temporaryPath = ""
      descriptor = STDOUT_FILENO
    } else {
      // A pipe or a device cannot be replaced by renaming a file over it.
      var status = stat()
      let isSpecial = stat(path, &status) == 0 && status.st_mode & S_IFMT != S_IFREG
      self.path = isSpecial ? nil : path
      temporaryPath = isSpecial ? path : "\(path).part-\(getpid())"
      descriptor = open(temporaryPath, isSpecial ? O_WRONLY | O_CLOEXEC : O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
      if descriptor < 0 { throw CommandFailure("cannot write '\(path)': \(systemError())") }
    }
    stream = OutputStream(descriptor: descriptor)
  }

  func write(_ bytes: UnsafeRawBufferPointer) throws { try stream.write(bytes) }

  /// Writes out what is left and gives the file its name.
  func finish() throws {
    try stream.flush()
    guard let path else { return }
    guard fsync(descriptor) == 0, close(descriptor) == 0, rename(temporaryPath, path) == 0 else {
      throw CommandFailure("cannot write '\(path)': \(systemError())")
    }
  }

  /// Takes an unfinished file away; whatever had its name before is still there.
  func discard() {
    guard path != nil else { return }
    unlink(temporaryPath)
  }
}
