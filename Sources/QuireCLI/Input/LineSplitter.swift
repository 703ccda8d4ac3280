internal import Glibc

/// Cuts a stream of bytes into lines at LF. Bytes are not looked at otherwise; a last line without LF counts.
struct LineSplitter {
  /// Bytes of a line that was not complete yet.
  private var rest: [UInt8] = []
  /// Where in `chunk` the next line begins.
  private var position = 0
  private var chunk: [UInt8] = []
  private(set) var lineNumber = 0
  private var isAtEnd = false

  /// The longest line accepted, in bytes; a longer one ends the input, or a file without line breaks would fill the memory.
  let lineBytesMax: Int

  struct LineTooLong: Error {
    var lineNumber: Int
    var bytesMax: Int
  }

  init(lineBytesMax: Int) { self.lineBytesMax = lineBytesMax }

  /// Takes in more bytes. Every complete line of the earlier ones must have been taken out by `nextLine`.
  mutating func append(_ bytes: [UInt8]) {
    precondition(position == chunk.count, "lines of the earlier chunk are left")
    chunk = bytes
    position = 0
  }

  /// No more bytes will come.
  mutating func finish() { isAtEnd = true }

  /// Hands the next line to `body`, without its LF; nil when more bytes are needed or all is done.
  mutating func nextLine<R>(_ body: (UnsafeRawBufferPointer, Int) throws -> R) throws -> R? {
    if position < chunk.count {
      let feed = chunk.withUnsafeBytes { bytes in
        memchr(bytes.baseAddress! + position, 0x0A, bytes.count - position).map { bytes.baseAddress!.distance(to: $0) }
      }
      let end = feed ?? chunk.count
      if rest.count + end - position > lineBytesMax { throw LineTooLong(lineNumber: lineNumber + 1, bytesMax: lineBytesMax) }
      guard feed != nil else {
        rest.append(contentsOf: chunk[position...])
        position = chunk.count
        return try lastLine(body)
      }
      defer { position = end + 1 }
      lineNumber += 1
      if rest.isEmpty {
        return try chunk.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[position..<end]), lineNumber) }
      }
      rest.append(contentsOf: chunk[position..<end])
      defer { rest.removeAll(keepingCapacity: true) }
      return try rest.withUnsafeBytes { try body($0, lineNumber) }
    }
    return try lastLine(body)
  }

  private mutating func lastLine<R>(_ body: (UnsafeRawBufferPointer, Int) throws -> R) throws -> R? {
    guard isAtEnd, !rest.isEmpty else { return nil }
    lineNumber += 1
    defer { rest = [] }
    return try rest.withUnsafeBytes { try body($0, lineNumber) }
  }
}
