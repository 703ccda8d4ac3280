/// Reads one JSON text (RFC 8259) from borrowed bytes; any bytes give a value or an error, never a trap.
public struct JSONReader {
  public struct Failure: Error, Equatable {
    public var reason: String
    /// Index of the byte at which reading stopped.
    public var position: Int
  }

  /// Arrays and objects inside each other that are followed.
  static let depthMax = 64

  private let bytes: UnsafeRawBufferPointer
  private var position = 0

  public static func read(_ bytes: UnsafeRawBufferPointer) throws(Failure) -> JSON {
    var reader = JSONReader(bytes: bytes)
    let value = try reader.value(depth: 0)
    reader.skipSpace()
    if reader.position != bytes.count { throw reader.failure("there is more behind the value") }
    return value
  }

  private init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  private func failure(_ reason: String) -> Failure { Failure(reason: reason, position: position) }

  private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func skipSpace() {
    while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
  }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    skipSpace()
    guard next == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func value(depth: Int) throws(Failure) -> JSON {
    if depth > Self.depthMax { throw failure("it is nested more than \(Self.depthMax) deep") }
    skipSpace()
    switch next {
    case UInt8(ascii: "{"): return try object(depth: depth)
    case UInt8(ascii: "["): return try array(depth: depth)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case nil: throw failure("it ends too early")
    case .some(let byte):
      guard byte == UInt8(ascii: "-") || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else {
        throw failure("a value is expected")
      }
      return try number()
    }
  }

  private mutating func word(_ text: StaticString, _ value: JSON) throws(Failure) -> JSON {
    let length = text.utf8CodeUnitCount
    guard position + length <= bytes.count, (0..<length).allSatisfy({ bytes[position + $0] == text.utf8Start[$0] }) else {
      throw failure("a value is expected")
    }
    position += length
    return value
  }

  private mutating func digits() throws(Failure) {
    let start = position
    while let byte = next, byte >= 0x30, byte <= 0x39 { position += 1 }
    if position == start { throw failure("a digit is expected") }
  }

  private mutating func number() throws(Failure) -> JSON {
    let start = position
    if next == UInt8(ascii: "-") { position += 1 }
    let first = position
    try digits()
    if position - first > 1, bytes[first] == UInt8(ascii: "0") { throw failure("a number does not begin with 0") }
    if next == UInt8(ascii: ".") {
      position += 1
      try digits()
    }
    if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
      position += 1
      if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { position += 1 }
      try digits()
    }
    return .number(String(decoding: bytes[start..<position], as: UTF8.self))
  }

  private mutating func array(depth: Int) throws(Failure) -> JSON {
    position += 1
    var elements: [JSON] = []
    if take("]") { return .array(elements) }
    while true {
      elements.append(try value(depth: depth + 1))
      if take("]") { return .array(elements) }
      guard take(",") else { throw failure("',' or ']' is expected") }
    }
  }

  private mutating func object(depth: Int) throws(Failure) -> JSON {
    position += 1
    var members: [(key: String, value: JSON)] = []
    if take("}") { return .object(members) }
    while true {
      skipSpace()
      guard next == UInt8(ascii: "\"") else { throw failure("a member's name is expected") }
      let key = try string()
      guard take(":") else { throw failure("':' is expected") }
      members.append((key, try value(depth: depth + 1)))
      if take("}") { return .object(members) }
      guard take(",") else { throw failure("',' or '}' is expected") }
    }
  }

  private mutating func string() throws(Failure) -> String {
    position += 1
    var text: [UInt8] = []
    while true {
      let start = position
      while let byte = next, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 { position += 1 }
      text.append(contentsOf: bytes[start..<position])
      guard let byte = next else { throw failure("a string is not closed") }
      position += 1
      if byte == UInt8(ascii: "\"") {
        guard let valid = String(validating: text, as: UTF8.self) else { throw failure("a string is not UTF-8") }
        return valid
      }
      if byte != UInt8(ascii: "\\") { throw failure("a control character in a string is not escaped") }
      try escape(into: &text)
    }
  }

  private mutating func escape(into text: inout [UInt8]) throws(Failure) {
    guard let byte = next else { throw failure("a string is not closed") }
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
    case UInt8(ascii: "n"): text.append(0x0A)
    case UInt8(ascii: "r"): text.append(0x0D)
    case UInt8(ascii: "t"): text.append(0x09)
    case UInt8(ascii: "b"): text.append(0x08)
    case UInt8(ascii: "f"): text.append(0x0C)
    case UInt8(ascii: "u"):
      var code = try hexDigits()
      if code >= 0xD800, code < 0xDC00 {
        guard next == UInt8(ascii: "\\"), position + 1 < bytes.count, bytes[position + 1] == UInt8(ascii: "u") else {
          throw failure("half a surrogate pair")
        }
        position += 2
        let low = try hexDigits()
        guard low >= 0xDC00, low < 0xE000 else { throw failure("half a surrogate pair") }
        code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw failure("half a surrogate pair") }
      text.append(contentsOf: UTF8.encode(scalar)!)
    default: throw failure("an unknown escape")
    }
  }

  private mutating func hexDigits() throws(Failure) -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw failure("four hexadecimal digits are expected")
      }
      code = code << 4 | UInt32(digit)
      position += 1
    }
    return code
  }
}
