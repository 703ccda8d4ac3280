internal import Model
internal import Query

/// Records as CSV (RFC 4180), with a header line and LF:
///
///     topic,partition,offset,timestamp,timestamp_type,key,key_encoding,value,value_encoding,headers
///
/// `key_encoding` and `value_encoding` say what the fields are: `utf8` (the bytes themselves), `base64`, or `null`, which tells a null
/// from an empty one. Headers are JSON, `[["name","value"],…]`, and empty where there are none. Declared columns follow under their names,
/// as `quire query --format csv` writes them: NULL is an empty field, an empty text `""`, a BLOB `X'…'`. Fields are quoted only where they
/// must be.
final class CSVFormat: LineFormat {
  private let schema: ExportSchema
  private var headers: [UInt8] = []

  init(_ schema: ExportSchema) { self.schema = schema }

  var head: [UInt8] {
    var names: [String] = []
    for name in schema.fixed.list {
      names.append(name)
      if name == "key" || name == "value" { names.append("\(name)_encoding") }
    }
    return Array("\((names + schema.fields.map(\.name)).joined(separator: ","))\n".utf8)
  }

  func append(_ record: ExportRecord, to out: inout [UInt8]) {
    func field(_ column: ExportColumns, _ write: (inout [UInt8]) -> Void) {
      guard schema.fixed.contains(column) else { return }
      write(&out)
      out.append(0x2C)
    }
    // A topic's name has none of the characters that would have to be quoted.
    field(.topic) { $0.append(contentsOf: record.part.topic.utf8) }
    field(.partition) { JSONText.append(Int64(record.part.partition), to: &$0) }
    field(.offset) { JSONText.append(record.offset, to: &$0) }
    field(.timestamp) { JSONText.append(record.timestamp, to: &$0) }
    field(.timestampType) { $0.append(contentsOf: record.timestampType.rawValue.utf8) }
    field(.key) { Self.append(encoded: record.key, to: &$0) }
    field(.value) { Self.append(encoded: record.value, to: &$0) }
    field(.headers) { out in
      if record.headers.isEmpty { return }
      headers.removeAll(keepingCapacity: true)
      HeadersJSON.append(record.headers, to: &headers)
      headers.withUnsafeBytes { Self.append($0, to: &out) }
    }
    for value in record.values {
      append(value, to: &out)
      out.append(0x2C)
    }
    out[out.count - 1] = 0x0A
  }

  private func append(_ value: ColumnValue, to out: inout [UInt8]) {
    switch value {
    // A line with nothing on it would be no record to most readers.
    case .null: if schema.fixed.isEmpty, schema.fields.count == 1 { out.append(text: "\"\"") }
    case .integer(let value): JSONText.append(value, to: &out)
    case .real(let value): SQLText.append(value, to: &out)
    case .text(let bytes): if bytes.isEmpty { out.append(text: "\"\"") } else { Self.append(bytes, to: &out) }
    case .blob(let bytes): SQLText.append(blob: bytes, to: &out)
    }
  }

  private static func append(encoded bytes: UnsafeRawBufferPointer?, to out: inout [UInt8]) {
    let encoding = TextEncoding(bytes)
    if let bytes {
      if encoding == .utf8 { append(bytes, to: &out) } else { JSONText.append(base64: bytes, to: &out) }
    }
    out.append(0x2C)
    out.append(text: encoding.name)
  }

  private static func append(_ text: UnsafeRawBufferPointer, to out: inout [UInt8]) {
    if !needsQuotes(text) {
      out.append(contentsOf: text)
      return
    }
    out.append(0x22)
    var rest = text[...]
    while let quote = rest.firstIndex(of: 0x22) {
      out.append(contentsOf: UnsafeRawBufferPointer(rebasing: text[rest.startIndex...quote]))
      out.append(0x22)
      rest = text[(quote + 1)...]
    }
    out.append(contentsOf: UnsafeRawBufferPointer(rebasing: rest))
    out.append(0x22)
  }

  private static func needsQuotes(_ text: UnsafeRawBufferPointer) -> Bool {
    for byte in text where byte == 0x2C || byte == 0x22 || byte == 0x0A || byte == 0x0D { return true }
    return false
  }
}
