/// Cuts text into SQL statements at semicolons that are not within quotes or comments, as lines of it come in.
struct StatementSplitter {
  /// A statement, without the semicolon behind it.
  struct Statement: Equatable {
    var sql: String
    /// Of its first line, from 1.
    var line: Int
    /// Names of the parameters it has, without their signs.
    var parameters: Set<String>
  }

  private enum State: Equatable {
    case plain
    /// Up to this byte; doubled, it stands for itself.
    case quoted(UInt8)
    case lineComment, blockComment
  }

  private var state = State.plain
  private var bytes: [UInt8] = []
  private var firstLine = 0
  private var lineNumber = 0
  /// Something beside white space and comments has been met.
  private var hasWords = false
  private var parameters: Set<String> = []

  /// Bytes of what is not finished, and its first line.
  var unfinished: (byteCount: Int, line: Int) { (bytes.count, firstLine) }

  /// A statement has begun and is not finished.
  var isWithin: Bool { hasWords || state == .blockComment }

  /// What the next line is a continuation of: a quote, a comment, or nothing but a statement.
  var openQuote: Character? {
    switch state {
    case .quoted(let end): Character(UnicodeScalar(end))
    case .blockComment: "*"
    case .plain, .lineComment: nil
    }
  }

  /// Takes a line, without its end, and gives the statements that it finishes.
  mutating func take(_ line: some Sequence<UInt8>) -> [Statement] {
    lineNumber += 1
    let line = Array(line)
    var finished: [Statement] = []
    var index = 0
    if state == .lineComment { state = .plain }
    while index < line.count {
      let byte = line[index]
      let next = index + 1 < line.count ? line[index + 1] : 0
      switch state {
      case .plain:
        switch byte {
        case UInt8(ascii: ";"):
          if let statement = finish() { finished.append(statement) }
          index += 1
          continue
        case UInt8(ascii: "'"), UInt8(ascii: "\""), UInt8(ascii: "`"): state = .quoted(byte)
        case UInt8(ascii: "["): state = .quoted(UInt8(ascii: "]"))
        case UInt8(ascii: "-") where next == byte: state = .lineComment
        case UInt8(ascii: "/") where next == UInt8(ascii: "*"):
          state = .blockComment
          append(byte)
          index += 1
        default: break
        }
        if state != .lineComment, state != .blockComment, !Self.isSpace(byte) { hasWords = true }
        if [UInt8(ascii: ":"), UInt8(ascii: "@"), UInt8(ascii: "$")].contains(byte), state == .plain {
          note(line[(index + 1)...].prefix(while: Self.isWordByte))
        }
      case .quoted(let end):
        if byte == end, next == end, end != UInt8(ascii: "]") {
          append(byte)
          index += 1
        } else if byte == end {
          state = .plain
        }
      case .lineComment: break
      case .blockComment:
        if byte == UInt8(ascii: "*"), next == UInt8(ascii: "/") {
          append(byte)
          index += 1
          state = .plain
        }
      }
      append(line[index])
      index += 1
    }
    if hasWords || !bytes.isEmpty { bytes.append(0x0A) }
    return finished
  }

  /// Counts a line that was somebody else's.
  mutating func skipLine() { lineNumber += 1 }

  /// What is left at the end of the text; nil where that is nothing but white space and comments.
  mutating func finish() -> Statement? {
    defer { reset() }
    guard hasWords else { return nil }
    while let last = bytes.last, Self.isSpace(last) { bytes.removeLast() }
    return Statement(sql: String(decoding: bytes, as: UTF8.self), line: firstLine, parameters: parameters)
  }

  /// Forgets a statement that is not finished.
  mutating func reset() {
    bytes = []
    hasWords = false
    parameters = []
    state = .plain
  }

  private mutating func append(_ byte: UInt8) {
    if bytes.isEmpty {
      if Self.isSpace(byte) { return }
      firstLine = lineNumber
    }
    bytes.append(byte)
  }

  private mutating func note(_ name: ArraySlice<UInt8>) {
    if !name.isEmpty { parameters.insert(String(decoding: name, as: UTF8.self)) }
  }

  private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

  private static func isWordByte(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: "_") || byte >= 0x80 || (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
      || (0x61...0x7A).contains(byte)
  }
}
