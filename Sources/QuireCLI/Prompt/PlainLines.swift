internal import CEdit
internal import Glibc
internal import Model

/// Lines of a descriptor whose reader can be woken while it waits. Used by one thread.
final class PlainLines {
  enum Line: Equatable {
    case bytes([UInt8])
    case interrupted
    case end
  }

  private let descriptor: CInt
  private let wake: CInt
  private var buffer: [UInt8] = []
  private var start = 0
  private var isAtEnd = false
  private let lineBytesMax: Int

  /// - Parameter wake: what can be read from it interrupts; nobody else reads it. -1 for none.
  init(_ descriptor: CInt, wake: CInt = -1, lineBytesMax: Int = Limits.scriptLineBytes) {
    self.descriptor = descriptor
    self.wake = wake
    self.lineBytesMax = lineBytesMax
  }

  /// The next line without its end; a last one without an end counts.
  ///
  /// - Throws: when the descriptor cannot be read, or a line is too long.
  func next() throws -> Line {
    var searched = start
    while true {
      if let end = buffer[searched...].firstIndex(of: 0x0A) {
        defer { start = end + 1 }
        return .bytes(Array(buffer[start..<end]))
      }
      searched = buffer.count
      guard searched - start <= lineBytesMax else { throw CommandFailure("a line has more than \(lineBytesMax) bytes") }
      if isAtEnd {
        if start == buffer.count { return .end }
        defer { start = buffer.count }
        return .bytes(Array(buffer[start...]))
      }
      buffer.removeSubrange(..<start)
      searched -= start
      start = 0
      guard try fill() else { return .interrupted }
    }
  }

  /// Forgets what was read and not taken.
  func clear() { (buffer, start) = ([], 0) }

  private func fill() throws -> Bool {
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      var waiting = [
        pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0), pollfd(fd: wake, events: Int16(POLLIN), revents: 0),
      ]
      if poll(&waiting, 2, -1) < 0 { continue }
      if waiting[1].revents != 0 {
        while read(wake, &chunk, chunk.count) > 0 {}
        return false
      }
      let count = read(descriptor, &chunk, chunk.count)
      if count < 0, errno == EINTR || errno == EAGAIN { continue }
      if count < 0 { throw CommandFailure("cannot read the statements: \(systemError())") }
      if count == 0 { isAtEnd = true } else { buffer += chunk[..<count] }
      return true
    }
  }
}

/// A pipe that wakes who waits for it; any thread.
final class WakePipe: Sendable {
  let readEnd: CInt
  private let writeEnd: CInt

  init() throws {
    var ends: [CInt] = [-1, -1]
    guard cedit_pipe(&ends, 1) == 0 else { throw CommandFailure("cannot open a pipe: \(systemError())") }
    (readEnd, writeEnd) = (ends[0], ends[1])
  }

  deinit {
    close(readEnd)
    close(writeEnd)
  }

  func wake() { _ = Glibc.write(writeEnd, [UInt8(0)], 1) }

  /// Forgets wakes that nobody waited for.
  func drain() {
    var bytes = [UInt8](repeating: 0, count: 64)
    while read(readEnd, &bytes, bytes.count) > 0 {}
  }
}
