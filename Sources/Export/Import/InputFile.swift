internal import Glibc

/// The bytes of a file or of standard input, from the front to the back.
final class InputFile {
  let path: String
  private let descriptor: CInt
  /// Nil where it has none (a pipe).
  let size: Int64?
  private(set) var position: Int64 = 0
  private static let chunkBytes = 256 << 10

  init(_ path: String) throws(ImportError) {
    self.path = path
    descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
    var status = stat()
    if descriptor < 0 || fstat(descriptor, &status) != 0 {
      throw ImportError(path: path, message: String(cString: strerror(errno)))
    }
    if status.st_mode & S_IFMT == S_IFDIR { throw ImportError(path: path, message: "it is a directory") }
    size = status.st_mode & S_IFMT == S_IFREG ? Int64(status.st_size) : nil
  }

  deinit { if descriptor > STDERR_FILENO { close(descriptor) } }

  /// Appends more bytes.
  ///
  /// - Returns: false at the end.
  func read(into buffer: inout [UInt8]) throws(ImportError) -> Bool {
    var failure: CInt = 0
    let chunk = [UInt8](unsafeUninitializedCapacity: Self.chunkBytes) { target, count in
      while true {
        let got = Glibc.read(descriptor, target.baseAddress!, Self.chunkBytes)
        if got < 0 && errno == EINTR { continue }
        if got < 0 { failure = errno }
        count = max(0, got)
        return
      }
    }
    if failure != 0 { throw ImportError(path: path, message: String(cString: strerror(failure))) }
    position += Int64(chunk.count)
    buffer.append(contentsOf: chunk)
    return !chunk.isEmpty
  }

  /// Reads exactly these bytes of a regular file, wherever it stands.
  func bytes(at offset: Int64, count: Int) throws(ImportError) -> [UInt8] {
    var failed = false
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { target, done in
      while done < count {
        let got = pread(descriptor, target.baseAddress! + done, count - done, off_t(offset) + done)
        if got < 0 && errno == EINTR { continue }
        if got <= 0 {
          failed = true
          return
        }
        done += got
      }
    }
    if failed { throw ImportError(path: path, message: "it ends in the middle of what its footer says is there") }
    return bytes
  }
}
