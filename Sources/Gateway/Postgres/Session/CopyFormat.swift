import NIOCore
import Query
import SQLite

/// How COPY writes rows: Postgres' text format, or CSV.
struct CopyFormat: Hashable, Sendable {
  var isCSV = false
  var hasHeader = false
  var delimiter = UInt8(ascii: "\t")
  var null: String = "\\N"
  var quote = UInt8(ascii: "\"")
  var escape: UInt8?

  init() {}

  /// Reads what stands behind `TO STDOUT`: `WITH (FORMAT csv, HEADER)`, or the older `CSV HEADER DELIMITER ','`.
  init(_ nodes: [SQLNode]) throws(PostgresError) {
    var nodes = nodes
    if nodes.first?.word == "with" { nodes.removeFirst() }
    if let inside = nodes.first?.parenthesized, nodes.count == 1 { nodes = inside }
    var options: [String: String] = [:]
    var index = 0
    while index < nodes.count {
      guard let name = nodes[index].name?.lowercased() else {
        index += 1
        continue
      }
      index += 1
      if index < nodes.count, nodes[index].word == "as" { index += 1 }
      switch name {
      case "csv", "text", "binary": options["format"] = name
      case "format", "delimiter", "null", "quote", "escape", "encoding":
        guard index < nodes.count, let value = nodes[index].string ?? nodes[index].name else {
          throw PostgresError(.syntaxError, "the option \(name) of COPY wants a value")
        }
        options[name] = value
        index += 1
      case "header":
        var value = "true"
        if index < nodes.count, let word = nodes[index].string ?? nodes[index].name,
          ["true", "false", "on", "off"].contains(word)
        {
          value = word
          index += 1
        }
        options[name] = value
      default: throw PostgresError(.featureNotSupported, "the option \(name) of COPY is not supported")
      }
    }
    try apply(options)
  }

  private mutating func apply(_ options: [String: String]) throws(PostgresError) {
    switch options["format"] ?? "text" {
    case "text": break
    case "csv":
      isCSV = true
      delimiter = UInt8(ascii: ",")
      null = ""
    default: throw PostgresError(.featureNotSupported, "COPY is done in the formats text and csv")
    }
    hasHeader = ["true", "on"].contains(options["header"] ?? "false")
    if let encoding = options["encoding"], !["utf8", "utf-8"].contains(encoding.lowercased()) {
      throw PostgresError(.featureNotSupported, "the encoding is UTF8")
    }
    if let text = options["null"] { null = text }
    if let text = options["delimiter"] { delimiter = try Self.byte(text, "delimiter") }
    if let text = options["quote"] { quote = try Self.byte(text, "quote") }
    if let text = options["escape"] { escape = try Self.byte(text, "escape") }
  }

  private static func byte(_ text: String, _ option: String) throws(PostgresError) -> UInt8 {
    guard text.utf8.count == 1, let byte = text.utf8.first, byte != 0x0A, byte != 0x0D else {
      throw PostgresError(.invalidParameterValue, "COPY \(option) must be a single one-byte character")
    }
    return byte
  }

  func writeHeader(_ columns: [ResultColumn], to out: inout ByteBuffer) {
    for (index, column) in columns.enumerated() {
      if index > 0 { out.writeInteger(delimiter) }
      writeField(ByteBuffer(string: column.name), to: &out)
    }
    out.writeInteger(UInt8(ascii: "\n"))
  }

  /// - Throws: the column whose value is not of its type.
  func write(
    _ row: borrowing ResultRow, _ columns: [ResultColumn], to out: inout ByteBuffer
  ) throws(RowStream.MisfitInColumn) {
    var field = ByteBuffer()
    for (index, column) in columns.enumerated() {
      if index > 0 { out.writeInteger(delimiter) }
      if row.kind(index) == .null {
        out.writeString(null)
        continue
      }
      field.clear()
      do throws(Misfit) { try ValueWriter.writeText(row, index, column.type, to: &field) } catch {
        throw RowStream.MisfitInColumn(column: index, misfit: error)
      }
      writeField(field, to: &out)
    }
    out.writeInteger(UInt8(ascii: "\n"))
  }

  private func writeField(_ field: ByteBuffer, to out: inout ByteBuffer) {
    let bytes = field.readableBytesView
    guard isCSV else { return writeEscaped(bytes, to: &out) }
    let needsQuotes =
      bytes.elementsEqual(null.utf8) || bytes.elementsEqual("\\.".utf8)
      || bytes.contains { $0 == delimiter || $0 == quote || $0 == 0x0A || $0 == 0x0D }
    guard needsQuotes else { return out.writeBytes(bytes).discard() }
    out.writeInteger(quote)
    for byte in bytes {
      if byte == quote || byte == escape { out.writeInteger(escape ?? quote) }
      out.writeInteger(byte)
    }
    out.writeInteger(quote)
  }

  private static let escapes: [UInt8: Character] = [
    0x08: "b", 0x0C: "f", 0x0A: "n", 0x0D: "r", 0x09: "t", 0x0B: "v", 0x5C: "\\",
  ]

  private func writeEscaped(_ bytes: ByteBufferView, to out: inout ByteBuffer) {
    guard bytes.contains(where: { $0 < 0x20 || $0 == 0x5C || $0 == delimiter }) else { return out.writeBytes(bytes).discard() }
    for byte in bytes {
      if let letter = Self.escapes[byte]?.asciiValue {
        out.writeMultipleIntegers(UInt8(ascii: "\\"), letter)
      } else {
        if byte == delimiter { out.writeInteger(UInt8(ascii: "\\")) }
        out.writeInteger(byte)
      }
    }
  }
}
