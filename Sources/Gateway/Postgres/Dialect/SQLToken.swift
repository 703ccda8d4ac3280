/// One token of a statement as Postgres reads it.
struct SQLToken: Hashable, Sendable {
  enum Kind: Hashable, Sendable {
    /// A name or keyword without quotes, in lower case, as Postgres folds it.
    case word(String)
    /// A name in double quotes, without them.
    case quoted(String)
    /// A string constant's value, whatever its quotes were.
    case string(String)
    /// `X'…'`, its digits.
    case blob(String)
    case number(String)
    /// `$1`.
    case parameter(Int)
    case symbol(String)
    case open(String)
    case close(String)
    case comma
    case semicolon
    case dot
  }

  var kind: Kind
  /// The bytes of the statement's text that it stands in.
  var range: Range<Int>

  var word: String? { if case .word(let word) = kind { word } else { nil } }
  var symbol: String? { if case .symbol(let symbol) = kind { symbol } else { nil } }
}

/// Cuts SQL text into tokens by Postgres' rules: `E'…'`, dollar quotes, nested comments, operators of several characters.
struct SQLLexer {
  private let bytes: [UInt8]
  private var position = 0

  init(_ text: String) { bytes = Array(text.utf8) }

  static func tokens(_ text: String) throws(PostgresError) -> [SQLToken] {
    var lexer = SQLLexer(text)
    var tokens: [SQLToken] = []
    while let token = try lexer.next() { tokens.append(token) }
    return tokens
  }

  private func byte(_ offset: Int = 0) -> UInt8 { position + offset < bytes.count ? bytes[position + offset] : 0 }
  private var isAtEnd: Bool { position >= bytes.count }

  private func failure(_ message: String, at place: Int) -> PostgresError {
    PostgresError(.syntaxError, message, position: Self.characters(before: place, in: bytes) + 1)
  }

  /// Characters (Unicode scalars, as Postgres counts) in front of a byte.
  static func characters(before place: Int, in bytes: [UInt8]) -> Int {
    bytes.prefix(max(0, place)).reduce(0) { $0 + ($1 & 0xC0 == 0x80 ? 0 : 1) }
  }

  private mutating func next() throws(PostgresError) -> SQLToken? {
    try skipBlanks()
    if isAtEnd { return nil }
    let start = position
    let kind = try scan()
    return SQLToken(kind: kind, range: start..<position)
  }

  private mutating func skipBlanks() throws(PostgresError) {
    while !isAtEnd {
      switch byte() {
      case 0x20, 0x09...0x0D: position += 1
      case UInt8(ascii: "-") where byte(1) == UInt8(ascii: "-"):
        while !isAtEnd, byte() != 0x0A { position += 1 }
      case UInt8(ascii: "/") where byte(1) == UInt8(ascii: "*"):
        let start = position
        var depth = 0
        repeat {
          if isAtEnd { throw failure("unterminated /* comment", at: start) }
          if byte() == UInt8(ascii: "/"), byte(1) == UInt8(ascii: "*") {
            depth += 1
            position += 2
          } else if byte() == UInt8(ascii: "*"), byte(1) == UInt8(ascii: "/") {
            depth -= 1
            position += 2
          } else {
            position += 1
          }
        } while depth > 0
      default: return
      }
    }
  }

  private mutating func scan() throws(PostgresError) -> SQLToken.Kind {
    let first = byte()
    switch first {
    case UInt8(ascii: "'"): return .string(try quotedText(UInt8(ascii: "'"), escapes: false))
    case UInt8(ascii: "\""):
      let start = position
      let name = try quotedText(UInt8(ascii: "\""), escapes: false)
      if name.isEmpty { throw failure("zero-length delimited identifier", at: start) }
      return .quoted(name)
    case UInt8(ascii: "("), UInt8(ascii: "["):
      position += 1
      return .open(first == UInt8(ascii: "(") ? "(" : "[")
    case UInt8(ascii: ")"), UInt8(ascii: "]"):
      position += 1
      return .close(first == UInt8(ascii: ")") ? ")" : "]")
    case UInt8(ascii: ","):
      position += 1
      return .comma
    case UInt8(ascii: ";"):
      position += 1
      return .semicolon
    case UInt8(ascii: "$"): return try dollar()
    case UInt8(ascii: "."):
      if Self.isDigit(byte(1)) { return number() }
      position += 1
      return .dot
    case UInt8(ascii: ":"):
      let isCast = byte(1) == UInt8(ascii: ":")
      position += isCast ? 2 : 1
      return .symbol(isCast ? "::" : ":")
    default: break
    }
    if let prefixed = try prefixedString(first) { return prefixed }
    if Self.isDigit(first) { return number() }
    if Self.isNameStart(first) {
      let start = position
      while Self.isNamePart(byte()) { position += 1 }
      return .word(Self.folded(bytes[start..<position]))
    }
    if Self.operatorBytes.contains(first) { return .symbol(operatorText()) }
    throw failure("syntax error at or near \"\(String(decoding: bytes[position...].prefix(1), as: UTF8.self))\"", at: position)
  }

  /// `E'…'`, `X'…'`, `B'…'`, `N'…'` and `U&'…'`.
  private mutating func prefixedString(_ first: UInt8) throws(PostgresError) -> SQLToken.Kind? {
    let quote = UInt8(ascii: "'")
    switch first | 0x20 {
    case UInt8(ascii: "e") where byte(1) == quote:
      position += 1
      return .string(try quotedText(quote, escapes: true))
    case UInt8(ascii: "n") where byte(1) == quote:
      position += 1
      return .string(try quotedText(quote, escapes: false))
    case UInt8(ascii: "x") where byte(1) == quote:
      let start = position
      position += 1
      let digits = try quotedText(quote, escapes: false)
      guard digits.utf8.count % 2 == 0, digits.allSatisfy(\.isHexDigit) else {
        throw failure("invalid hexadecimal digits", at: start)
      }
      return .blob(digits)
    case UInt8(ascii: "u") where byte(1) == UInt8(ascii: "&") && (byte(2) == quote || byte(2) == UInt8(ascii: "\"")):
      throw failure("U& strings are not supported", at: position)
    default: return nil
    }
  }

  private mutating func quotedText(_ quote: UInt8, escapes: Bool) throws(PostgresError) -> String {
    let start = position
    var value: [UInt8] = []
    position += 1
    while true {
      if isAtEnd {
        throw failure(quote == UInt8(ascii: "'") ? "unterminated quoted string" : "unterminated quoted identifier", at: start)
      }
      let current = byte()
      if current == quote {
        if byte(1) == quote {
          value.append(quote)
          position += 2
          continue
        }
        position += 1
        return String(decoding: value, as: UTF8.self)
      }
      if escapes, current == UInt8(ascii: "\\") {
        position += 1
        try escape(into: &value, start: start)
      } else {
        value.append(current)
        position += 1
      }
    }
  }

  private mutating func escape(into value: inout [UInt8], start: Int) throws(PostgresError) {
    if isAtEnd { throw failure("unterminated quoted string", at: start) }
    let letter = byte()
    position += 1
    func digits(_ radix: Int, _ most: Int, _ lexer: inout SQLLexer) -> UInt32? {
      let text = String(decoding: lexer.bytes[lexer.position...].prefix(most), as: UTF8.self)
        .prefix { $0.isASCII && ($0.hexDigitValue ?? 99) < radix }
      lexer.position += text.utf8.count
      return UInt32(text, radix: radix)
    }
    switch letter {
    case UInt8(ascii: "b"): value.append(0x08)
    case UInt8(ascii: "f"): value.append(0x0C)
    case UInt8(ascii: "n"): value.append(0x0A)
    case UInt8(ascii: "r"): value.append(0x0D)
    case UInt8(ascii: "t"): value.append(0x09)
    case UInt8(ascii: "x"):
      guard let code = digits(16, 2, &self) else { return value.append(letter) }
      value.append(UInt8(truncatingIfNeeded: code))
    case UInt8(ascii: "0")...UInt8(ascii: "7"):
      position -= 1
      value.append(UInt8(truncatingIfNeeded: digits(8, 3, &self) ?? 0))
    case UInt8(ascii: "u"), UInt8(ascii: "U"):
      guard let code = digits(16, letter == UInt8(ascii: "u") ? 4 : 8, &self), let scalar = Unicode.Scalar(code), code > 0
      else {
        throw failure("invalid Unicode escape", at: start)
      }
      value += Array(String(Character(scalar)).utf8)
    default: value.append(letter)
    }
  }

  /// `$1`, or a dollar quote.
  private mutating func dollar() throws(PostgresError) -> SQLToken.Kind {
    let start = position
    position += 1
    if Self.isDigit(byte()) {
      let digits = position
      while Self.isDigit(byte()) { position += 1 }
      guard let number = Int(String(decoding: bytes[digits..<position], as: UTF8.self)), number > 0, number <= 65_535 else {
        throw PostgresError(
          .undefinedParameter, "there is no such parameter", position: Self.characters(before: start, in: bytes) + 1)
      }
      return .parameter(number)
    }
    while Self.isNamePart(byte()), byte() != UInt8(ascii: "$") { position += 1 }
    guard byte() == UInt8(ascii: "$") else { throw failure("syntax error at or near \"$\"", at: start) }
    position += 1
    let tag = bytes[start..<position]
    let body = position
    while position + tag.count <= bytes.count {
      if byte() == UInt8(ascii: "$"), bytes[position..<position + tag.count].elementsEqual(tag) {
        let value = String(decoding: bytes[body..<position], as: UTF8.self)
        position += tag.count
        return .string(value)
      }
      position += 1
    }
    throw failure("unterminated dollar-quoted string", at: start)
  }

  private mutating func number() -> SQLToken.Kind {
    let start = position
    if byte() == UInt8(ascii: "0"), byte(1) | 0x20 == UInt8(ascii: "x") {
      position += 2
      while Self.isNamePart(byte()) { position += 1 }
      return .number(String(decoding: bytes[start..<position], as: UTF8.self))
    }
    while Self.isDigit(byte()) { position += 1 }
    if byte() == UInt8(ascii: "."), byte(1) != UInt8(ascii: ".") {
      position += 1
      while Self.isDigit(byte()) { position += 1 }
    }
    if byte() | 0x20 == UInt8(ascii: "e") {
      let sign = byte(1) == UInt8(ascii: "+") || byte(1) == UInt8(ascii: "-") ? 1 : 0
      if Self.isDigit(byte(1 + sign)) {
        position += 1 + sign
        while Self.isDigit(byte()) { position += 1 }
      }
    }
    return .number(String(decoding: bytes[start..<position], as: UTF8.self))
  }

  /// The longest run of operator characters that Postgres takes for one: it ends before a comment, and in `+` or `-` only if
  /// there is a character in it that arithmetic has not.
  private mutating func operatorText() -> String {
    let start = position
    while Self.operatorBytes.contains(byte()) {
      let pair = (byte(), byte(1))
      if pair == (UInt8(ascii: "-"), UInt8(ascii: "-")) || pair == (UInt8(ascii: "/"), UInt8(ascii: "*")), position > start {
        break
      }
      position += 1
    }
    let special = Set("~!@#%^&|`?".utf8)
    while position - start > 1, bytes[position - 1] == UInt8(ascii: "+") || bytes[position - 1] == UInt8(ascii: "-"),
      !bytes[start..<position].contains(where: special.contains)
    {
      position -= 1
    }
    return String(decoding: bytes[start..<position], as: UTF8.self)
  }

  private static let operatorBytes = Set("+-*/<>=~!@#%^&|`?".utf8)
  private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
  private static func isNameStart(_ byte: UInt8) -> Bool {
    (0x61...0x7A).contains(byte) || (0x41...0x5A).contains(byte) || byte == 0x5F || byte >= 0x80
  }
  private static func isNamePart(_ byte: UInt8) -> Bool { isNameStart(byte) || isDigit(byte) || byte == 0x24 }
  private static func folded(_ bytes: ArraySlice<UInt8>) -> String {
    String(decoding: bytes.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }, as: UTF8.self)
  }
}
