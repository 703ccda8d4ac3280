internal import Model
internal import Query

/// A record as one line of JSON:
///
///     {"topic":"plays","partition":0,"offset":7,"timestamp":1714554000000,"timestamp_type":"CreateTime",
///      "key":"k","key_encoding":"utf8","value":"{\"song\":1}","value_encoding":"utf8","headers":[["trace","1"]]}
///
/// Keys and values are strings always, whatever they hold: JSON inside a value is not taken apart and written anew, so what comes
/// back is what was produced, byte for byte. `…_encoding` says how to get the bytes: `utf8` (the string's UTF-8), `base64`, or
/// `null`. Declared columns follow as members of their names, with values as `quire query --format jsonl` writes them: numbers, strings,
/// null, and `{"base64":"…"}` for a BLOB. Names, their order and the spelling of every character are fixed: the same records give the
/// same bytes.
final class JSONLinesFormat: LineFormat {
  private let columns: ExportColumns
  /// `"name":` of each declared column.
  private let names: [[UInt8]]
  private var part: ExportPart?
  /// What the lines of a part begin with: `{"topic":"…","partition":N,"offset":`
  private var start: [UInt8] = []

  init(_ schema: ExportSchema) {
    columns = schema.fixed
    names = schema.fields.map { Array("\(JSONText.string($0.name)):".utf8) }
  }

  var head: [UInt8] { [] }

  func append(_ record: ExportRecord, to out: inout [UInt8]) {
    if part !== record.part { begin(record.part) }
    var isFirst = false
    if columns == .all { appendAll(record, to: &out) } else { isFirst = appendSome(record, to: &out) }
    for (name, value) in zip(names, record.values) {
      out.append(isFirst ? 0x7B : 0x2C)
      isFirst = false
      out.append(contentsOf: name)
      Self.append(value, to: &out)
    }
    out.append(text: "}\n")
  }

  private static func append(_ value: ColumnValue, to out: inout [UInt8]) {
    switch value {
    case .null: out.append(text: "null")
    case .integer(let value): JSONText.append(value, to: &out)
    case .real(let value): JSONText.append(value, to: &out)
    case .text(let bytes): JSONText.append(stringOrBase64: bytes, to: &out)
    case .blob(let bytes):
      out.append(text: #"{"base64":""#)
      JSONText.append(base64: bytes, to: &out)
      out.append(text: #""}"#)
    }
  }

  private func begin(_ part: ExportPart) {
    self.part = part
    start = Array(#"{"topic":"#.utf8)
    JSONText.append(string: part.topic, to: &start)
    start.append(text: #","partition":"#)
    JSONText.append(Int64(part.partition), to: &start)
    start.append(text: #","offset":"#)
  }

  private func appendAll(_ record: ExportRecord, to out: inout [UInt8]) {
    out.append(contentsOf: start)
    JSONText.append(record.offset, to: &out)
    out.append(text: #","timestamp":"#)
    JSONText.append(record.timestamp, to: &out)
    out.append(
      text: record.timestampType == .createTime
        ? #","timestamp_type":"CreateTime","key":"# : #","timestamp_type":"LogAppendTime","key":"#)
    Self.append(record.key, encodingName: #","key_encoding":"#, to: &out)
    out.append(text: #","value":"#)
    Self.append(record.value, encodingName: #","value_encoding":"#, to: &out)
    out.append(text: #","headers":"#)
    HeadersJSON.append(record.headers, to: &out)
  }

  /// - Returns: nothing was written.
  private func appendSome(_ record: ExportRecord, to out: inout [UInt8]) -> Bool {
    var isFirst = true
    func member(_ column: ExportColumns, _ name: StaticString, _ write: (inout [UInt8]) -> Void) {
      guard columns.contains(column) else { return }
      out.append(isFirst ? 0x7B : 0x2C)
      isFirst = false
      out.append(text: name)
      write(&out)
    }
    member(.topic, #""topic":"#) { JSONText.append(string: record.part.topic, to: &$0) }
    member(.partition, #""partition":"#) { JSONText.append(Int64(record.part.partition), to: &$0) }
    member(.offset, #""offset":"#) { JSONText.append(record.offset, to: &$0) }
    member(.timestamp, #""timestamp":"#) { JSONText.append(record.timestamp, to: &$0) }
    member(.timestampType, #""timestamp_type":"#) { JSONText.append(string: record.timestampType.rawValue, to: &$0) }
    member(.key, #""key":"#) { Self.append(record.key, encodingName: #","key_encoding":"#, to: &$0) }
    member(.value, #""value":"#) { Self.append(record.value, encodingName: #","value_encoding":"#, to: &$0) }
    member(.headers, #""headers":"#) { HeadersJSON.append(record.headers, to: &$0) }
    return isFirst
  }

  private static func append(_ bytes: UnsafeRawBufferPointer?, encodingName: StaticString, to out: inout [UInt8]) {
    let encoding = TextEncoding(bytes)
    switch (encoding, bytes) {
    case (.utf8, let bytes?): JSONText.append(string: bytes, to: &out)
    case (_, let bytes?):
      out.append(0x22)
      JSONText.append(base64: bytes, to: &out)
      out.append(0x22)
    case (_, nil): out.append(text: "null")
    }
    out.append(text: encodingName)
    out.append(0x22)
    out.append(text: encoding.name)
    out.append(0x22)
  }
}

/// Headers as JSON, `[["name","value"],…]`, in their order and with names that repeat.
///
/// A null value is null; bytes that are not UTF-8 are `{"base64":"…"}`.
enum HeadersJSON {
  static func append(_ headers: EncodedHeaders, to out: inout [UInt8]) {
    out.append(0x5B)
    var isFirst = true
    for header in headers {
      out.append(text: isFirst ? "[" : ",[")
      isFirst = false
      JSONText.append(stringOrBase64: header.name, to: &out)
      out.append(0x2C)
      if let value = header.value {
        JSONText.append(stringOrBase64: value, to: &out)
      } else {
        out.append(text: "null")
      }
      out.append(0x5D)
    }
    out.append(0x5D)
  }
}
