import NIOCore
import Query
import SQLite

/// Why a value cannot go out as what its column was said to be.
struct Misfit: Error {
  var found: String
}

/// Writes values as the types their columns were said to have: exactly, or not at all.
enum ValueWriter {
  /// Appends one value of `row`, with its length in front.
  static func write(
    _ row: borrowing ResultRow, _ column: Int, as type: PostgresType, _ format: ValueFormat, to out: inout ByteBuffer
  ) throws(Misfit) {
    let kind = row.kind(column)
    if kind == .null { return out.writeInteger(Int32(-1)).discard() }
    let start = out.writerIndex
    out.writeInteger(Int32(0))
    switch format {
    case .text: try writeText(row, column, type, to: &out)
    case .binary: try writeBinary(row, column, type, to: &out)
    }
    out.setInteger(Int32(truncatingIfNeeded: out.writerIndex - start - 4), at: start)
  }

  /// Appends the text of one value that is not NULL.
  static func writeText(
    _ row: borrowing ResultRow, _ column: Int, _ type: PostgresType, to out: inout ByteBuffer
  ) throws(Misfit) {
    switch type {
    case .int8, .int2, .int4, .oid:
      out.writeString(String(try integer(row, column, type)))
    case .numeric: out.writeString(try decimal(row, column))
    case .float8, .float4:
      out.writeString(floatText(try real(row, column)))
    case .bool:
      out.writeString(try truth(row, column) ? "t" : "f")
    case .bytea:
      try withBytes(row, column) { bytes in
        out.writeString("\\x")
        for byte in bytes { out.writeMultipleIntegers(hexDigits[Int(byte >> 4)], hexDigits[Int(byte & 15)]) }
      }
    case .timestamptz, .timestamp:
      guard let text = PostgresTime.wireText(try time(row, column), zone: type == .timestamptz) else {
        throw misfit(row, column)
      }
      out.writeString(text)
    default:
      guard let element = type.element, type != .int2vector, type != .oidvector else {
        return try writeCharacters(row, column, to: &out)
      }
      let text = try characters(row, column)
      guard ArrayText.isArray(text, of: element) else { throw Misfit(found: "a TEXT that is no array of the type") }
      out.writeString(text)
    }
  }

  private static func writeBinary(
    _ row: borrowing ResultRow, _ column: Int, _ type: PostgresType, to out: inout ByteBuffer
  ) throws(Misfit) {
    switch type {
    case .int8: out.writeInteger(try integer(row, column, type))
    case .int4: out.writeInteger(Int32(truncatingIfNeeded: try integer(row, column, type)))
    case .int2: out.writeInteger(Int16(truncatingIfNeeded: try integer(row, column, type)))
    case .oid: out.writeInteger(UInt32(truncatingIfNeeded: try integer(row, column, type)))
    case .float8: out.writeInteger(try real(row, column).bitPattern)
    case .float4: out.writeInteger(Float(try real(row, column)).bitPattern)
    case .numeric: NumericBytes.write(try decimal(row, column), to: &out)
    case .bool: out.writeInteger(UInt8(try truth(row, column) ? 1 : 0))
    case .bytea: try withBytes(row, column) { out.writeBytes($0) }
    case .timestamptz, .timestamp:
      out.writeInteger((try time(row, column) - PostgresTime.epochMilliseconds) * 1000)
    case .jsonb:
      out.writeInteger(UInt8(1))
      try writeCharacters(row, column, to: &out)
    default:
      guard let element = type.element else { return try writeCharacters(row, column, to: &out) }
      try ArrayText.writeBinary(try characters(row, column), of: element, to: &out)
    }
  }

  // What a value is, if it is that exactly

  private static func integer(_ row: borrowing ResultRow, _ column: Int, _ type: PostgresType) throws(Misfit) -> Int64 {
    guard row.kind(column) == .integer else { throw misfit(row, column) }
    let value = row.integer(column)
    let fits =
      switch type {
      case .int2: Int16(exactly: value) != nil
      case .int4: Int32(exactly: value) != nil
      case .oid: UInt32(exactly: value) != nil
      default: true
      }
    guard fits else { throw Misfit(found: "\(value)") }
    return value
  }

  private static func real(_ row: borrowing ResultRow, _ column: Int) throws(Misfit) -> Double {
    switch row.kind(column) {
    case .real: return row.real(column)
    case .integer:
      guard let exact = Double(exactly: row.integer(column)) else { throw misfit(row, column) }
      return exact
    default: throw misfit(row, column)
    }
  }

  private static func decimal(_ row: borrowing ResultRow, _ column: Int) throws(Misfit) -> String {
    if row.kind(column) == .integer { return String(row.integer(column)) }
    return floatText(try real(row, column))
  }

  private static func truth(_ row: borrowing ResultRow, _ column: Int) throws(Misfit) -> Bool {
    guard row.kind(column) == .integer, let bit = UInt8(exactly: row.integer(column)), bit < 2 else {
      throw misfit(row, column)
    }
    return bit == 1
  }

  private static func time(_ row: borrowing ResultRow, _ column: Int) throws(Misfit) -> Int64 {
    guard row.kind(column) == .text, let time = PostgresTime.parse(try characters(row, column)) else {
      throw misfit(row, column)
    }
    return time
  }

  private static func withBytes(
    _ row: borrowing ResultRow, _ column: Int, _ body: (UnsafeRawBufferPointer) -> Void
  ) throws(Misfit) {
    switch row.kind(column) {
    case .blob, .text: body(row.bytes(column))
    default: throw misfit(row, column)
    }
  }

  /// Numbers go as SQLite would print them; bytes that are no text do not go at all.
  private static func writeCharacters(_ row: borrowing ResultRow, _ column: Int, to out: inout ByteBuffer) throws(Misfit) {
    switch row.kind(column) {
    case .integer: out.writeString(String(row.integer(column)))
    case .real: out.writeString(floatText(row.real(column)))
    case .text:
      let bytes = row.bytes(column)
      guard TextBytes.isSQLText(bytes) else { throw Misfit(found: "a text that is not UTF-8 or has a NUL in it") }
      out.writeBytes(bytes)
    case .blob, .null: throw misfit(row, column)
    }
  }

  private static func characters(_ row: borrowing ResultRow, _ column: Int) throws(Misfit) -> String {
    var buffer = ByteBuffer()
    try writeCharacters(row, column, to: &buffer)
    return String(buffer: buffer)
  }

  private static func misfit(_ row: borrowing ResultRow, _ column: Int) -> Misfit {
    switch row.kind(column) {
    case .null: Misfit(found: "NULL")
    case .integer: Misfit(found: "the INTEGER \(row.integer(column))")
    case .real: Misfit(found: "the REAL \(row.real(column))")
    case .text: Misfit(found: "a TEXT")
    case .blob: Misfit(found: "a BLOB of \(row.bytes(column).count) bytes")
    }
  }

  /// The shortest text that reads as the same number.
  static func floatText(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Infinity" : "Infinity" }
    let text = "\(value)"
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }

  static let hexDigits = Array("0123456789abcdef".utf8)
}

extension Int {
  /// For `return` in front of a call whose result is of no use.
  func discard() {}
}

extension PostgresType {
  /// What a column without a declared type is, judging by its first value.
  init(firstValue row: borrowing ResultRow, _ column: Int) {
    switch row.kind(column) {
    case .integer: self = .int8
    case .real: self = .float8
    case .blob: self = .bytea
    case .text, .null: self = .text
    }
  }
}
