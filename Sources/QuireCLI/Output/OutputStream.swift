internal import Glibc

/// The reader of our standard output has gone away, as `head` does: not a failure.
struct OutputClosed: Error {}

/// Buffered bytes to a file descriptor.
final class OutputStream {
  private let descriptor: CInt
  private var buffer: [UInt8] = []
  private let bufferBytes = 256 << 10

  init(descriptor: CInt) { self.descriptor = descriptor }

  static func standardOutput() -> OutputStream { OutputStream(descriptor: STDOUT_FILENO) }

  func write(_ bytes: UnsafeRawBufferPointer) throws {
    buffer.append(contentsOf: bytes)
    if buffer.count >= bufferBytes { try flush() }
  }

  func write(_ text: String) throws {
    buffer.append(contentsOf: text.utf8)
    if buffer.count >= bufferBytes { try flush() }
  }

  func line(_ text: String) throws {
    try write(text)
    try write("\n")
  }

  /// Lets `body` append to the buffer itself, which spares a copy.
  func build(_ body: (inout [UInt8]) -> Void) throws {
    body(&buffer)
    if buffer.count >= bufferBytes { try flush() }
  }

  /// Finds out whether the reader has gone away, for those who wait with nothing to write.
  ///
  /// - Throws: `OutputClosed`.
  func checkReader() throws {
    var poll = pollfd(fd: descriptor, events: 0, revents: 0)
    if Glibc.poll(&poll, 1, 0) == 1, poll.revents & Int16(POLLERR) != 0 { throw OutputClosed() }
  }

  /// Returns by throwing only: `OutputClosed` when nobody reads the descriptor any more, else `CancellationError`.
  static func waitUntilClosed(_ descriptor: CInt) async throws {
    while true {
      try await Task.sleep(for: .milliseconds(200))
      try OutputStream(descriptor: descriptor).checkReader()
    }
  }

  /// Writes out what is buffered.
  ///
  /// - Throws: `OutputClosed` if nobody reads any more, else `CommandFailure`.
  func flush() throws {
    defer { buffer.removeAll(keepingCapacity: true) }
    try buffer.withUnsafeBytes { bytes in
      var written = 0
      while written < bytes.count {
        let count = Glibc.write(descriptor, bytes.baseAddress! + written, bytes.count - written)
        if count >= 0 {
          written += count
        } else if errno == EPIPE {
          throw OutputClosed()
        } else if errno == EAGAIN {
          // The other end may have made the descriptor non-blocking; wait until it takes more.
          var poll = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
          _ = Glibc.poll(&poll, 1, -1)
        } else if errno != EINTR {
          throw CommandFailure("cannot write the output: \(systemError())")
        }
      }
    }
  }
}

/// The words of the C library for `errno`.
func systemError(_ code: CInt = errno) -> String { String(cString: strerror(code)) }

/// Writes one line to standard error.
func say(_ text: String) {
  let bytes = Array((text + "\n").utf8)
  _ = bytes.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress!, $0.count) }
}
