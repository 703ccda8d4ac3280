import NIOCore
import Query

/// Reads the values that clients bind, by the types they declared or were told.
enum ParameterReader {
  static func read(_ bytes: [UInt8]?, as type: PostgresType, _ format: ValueFormat) throws(PostgresError) -> SQLParameter {
    guard let bytes else { return .null }
    return format == .text ? try text(bytes, type) : try binary(bytes, type)
  }

  private static func text(_ bytes: [UInt8], _ type: PostgresType) throws(PostgresError) -> SQLParameter {
    guard let text = String(validating: bytes, as: UTF8.self), !bytes.contains(0) else {
      throw PostgresError(.characterNotInRepertoire, "invalid byte sequence for encoding \"UTF8\" in a parameter")
    }
    return try parse(text, as: type)
  }

  /// A value's text as the type's input function reads it.
  static func parse(_ text: String, as type: PostgresType) throws(PostgresError) -> SQLParameter {
    switch type {
    case .int2, .int4, .int8, .oid:
      guard let number = Int64(text.trimmingBlanks()) else { throw invalid(text, type) }
      let fits = type == .int2 ? Int16(exactly: number) != nil : type == .int4 ? Int32(exactly: number) != nil : true
      guard fits else { throw PostgresError(.numericOutOfRange, "value \"\(text)\" is out of range for type \(type.sqlName)") }
      return .integer(number)
    case .float4, .float8:
      guard let number = Double(text.trimmingBlanks().lowercased()) else { throw invalid(text, type) }
      return .real(number)
    case .numeric:
      // A whole number stays one, whatever its type is called: 64 bits are exact, a float is not.
      let trimmed = text.trimmingBlanks()
      if let number = Int64(trimmed) { return .integer(number) }
      guard let number = Double(trimmed) else { throw invalid(text, type) }
      return .real(number)
    case .bool:
      guard let truth = truth(text) else { throw invalid(text, type) }
      return .integer(truth ? 1 : 0)
    case .bytea:
      guard let bytes = bytes(text) else { throw invalid(text, type) }
      return .blob(bytes)
    case .timestamptz, .timestamp:
      guard let time = PostgresTime.parse(text).flatMap(PostgresTime.sqlText) else {
        throw PostgresError(.invalidDatetime, "invalid input syntax for type \(type.sqlName): \"\(text)\"")
      }
      return .text(time)
    default: return .text(text)
    }
  }

  static func truth(_ text: String) -> Bool? {
    switch text.trimmingBlanks().lowercased() {
    case "t", "tr", "tru", "true", "y", "yes", "on", "1": true
    case "f", "fa", "fal", "fals", "false", "n", "no", "off", "0": false
    default: nil
    }
  }

  /// `\x00ff`, or characters with `\\` and `\000` among them.
  static func bytes(_ text: String) -> [UInt8]? {
    let utf8 = Array(text.utf8)
    func digit(_ byte: UInt8) -> UInt8? { Character(Unicode.Scalar(byte)).hexDigitValue.map(UInt8.init) }
    if utf8.starts(with: "\\x".utf8) {
      let digits = utf8.dropFirst(2).map(digit)
      guard digits.count % 2 == 0 else { return nil }
      var bytes: [UInt8] = []
      for index in stride(from: 0, to: digits.count, by: 2) {
        guard let high = digits[index], let low = digits[index + 1] else { return nil }
        bytes.append(high << 4 | low)
      }
      return bytes
    }
    var bytes: [UInt8] = []
    var rest = utf8[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "\\") else {
        bytes.append(byte)
        continue
      }
      if rest.first == UInt8(ascii: "\\") {
        bytes.append(rest.removeFirst())
      } else {
        guard let value = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8), rest.count >= 3 else { return nil }
        bytes.append(value)
        rest.removeFirst(3)
      }
    }
    return bytes
  }

  private static func binary(_ bytes: [UInt8], _ type: PostgresType) throws(PostgresError) -> SQLParameter {
    var buffer = ByteBuffer(bytes: bytes)
    func fixed<I: FixedWidthInteger>(_: I.Type) throws(PostgresError) -> I {
      guard buffer.readableBytes == MemoryLayout<I>.size, let value = buffer.readInteger(as: I.self) else {
        throw PostgresError(.invalidBinaryRepresentation, "incorrect binary data format for type \(type.sqlName)")
      }
      return value
    }
    switch type {
    case .int2: return .integer(Int64(try fixed(Int16.self)))
    case .int4: return .integer(Int64(try fixed(Int32.self)))
    case .int8: return .integer(try fixed(Int64.self))
    case .oid: return .integer(Int64(try fixed(UInt32.self)))
    case .bool: return .integer(try fixed(UInt8.self) == 0 ? 0 : 1)
    case .float4: return .real(Double(Float(bitPattern: try fixed(UInt32.self))))
    case .float8: return .real(Double(bitPattern: try fixed(UInt64.self)))
    case .bytea: return .blob(bytes)
    case .timestamptz, .timestamp:
      guard let time = PostgresTime.milliseconds(microsecondsSince2000: try fixed(Int64.self)).flatMap(PostgresTime.sqlText)
      else { throw PostgresError(.invalidDatetime, "timestamp out of range") }
      return .text(time)
    case .jsonb:
      guard buffer.readInteger(as: UInt8.self) == 1 else {
        throw PostgresError(.invalidBinaryRepresentation, "unsupported jsonb version number")
      }
      return try text(Array(bytes.dropFirst()), .text)
    case .numeric:
      guard let text = NumericBytes.text(&buffer) else {
        throw PostgresError(.invalidBinaryRepresentation, "incorrect binary data format for type numeric")
      }
      return try parse(text, as: .numeric)
    case .text, .varchar, .bpchar, .name, .char, .json, .unknown: return try text(bytes, .text)
    case .date:
      guard let date = PostgresTime.dateText(daysSince2000: try fixed(Int32.self)) else {
        throw PostgresError(.invalidDatetime, "date out of range")
      }
      return .text(date)
    case .time:
      let microseconds = try fixed(Int64.self)
      guard (0...86_400_000_000).contains(microseconds) else { throw PostgresError(.invalidDatetime, "time out of range") }
      return .text(PostgresTime.clockText(microseconds: microseconds))
    case .interval:
      guard buffer.readableBytes == 16,
        let (microseconds, days, months) = buffer.readMultipleIntegers(as: (Int64, Int32, Int32).self)
      else { throw PostgresError(.invalidBinaryRepresentation, "incorrect binary data format for type interval") }
      return .text(PostgresTime.intervalText(months: months, days: days, microseconds: microseconds))
    case .uuid:
      guard bytes.count == 16 else {
        throw PostgresError(.invalidBinaryRepresentation, "incorrect binary data format for type uuid")
      }
      return .text(UUIDText.text(of: bytes))
    default:
      if type.element != nil {
        guard let array = ArrayText.text(binary: bytes) else {
          throw PostgresError(.invalidBinaryRepresentation, "incorrect binary data format for type \(type.sqlName)")
        }
        return .text(array)
      }
      throw PostgresError(.featureNotSupported, "binary parameters of type \(type.sqlName) are not supported")
    }
  }

  private static func invalid(_ text: String, _ type: PostgresType) -> PostgresError {
    PostgresError(.invalidTextRepresentation, "invalid input syntax for type \(type.sqlName): \"\(text)\"")
  }
}
