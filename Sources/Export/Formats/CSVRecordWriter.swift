internal import Model
internal import Query

/// Records as CSV (RFC 4180), with a header line and LF:
///
///     topic,partition,offset,timestamp,timestamp_type,key,key_encoding,value,value_encoding,headers
///
/// `key_encoding` and `value_encoding` say what the fields are: `utf8` (the bytes themselves), `base64`, or `null`, which tells a null
/// from an empty one. Headers are JSON, `[["name","value"],…]`, and empty where there are none. Fields are quoted only where they must be.
final class CSVRecordWriter: RecordWriter {
  private let output: ChunkedOutput
  private let columns: ExportColumns
  private var hasHead = false
  private var headers: [UInt8] = []

  init(_ columns: ExportColumns, _ sink: @escaping ([UInt8]) throws(ExportError) -> Void) {
    self.columns = columns
    output = ChunkedOutput(sink)
  }

  private func writeHead() {
    guard !hasHead else { return }
    hasHead = true
    var names: [String] = []
    for name in columns.list {
      names.append(name)
      if name == "key" || name == "value" { names.append("\(name)_encoding") }
    }
    output.bytes.append(contentsOf: names.joined(separator: ",").utf8)
    output.bytes.append(0x0A)
  }

  func write(_ record: ExportRecord) throws(ExportError) {
    writeHead()
    func field(_ column: ExportColumns, _ write: (inout [UInt8]) -> Void) {
      guard columns.contains(column) else { return }
      write(&output.bytes)
      output.bytes.append(0x2C)
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
    output.bytes[output.bytes.count - 1] = 0x0A
    try output.handOnIfFull()
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

  var bufferedBytes: Int { output.bytes.count }

  func checkpoint() throws(ExportError) -> [UInt8] {
    writeHead()
    try output.handOn()
    return []
  }

  func resume(_ state: [UInt8], bytes: Int64) { hasHead = bytes > 0 }

  func finish() throws(ExportError) {
    writeHead()
    try output.handOn()
  }
}
