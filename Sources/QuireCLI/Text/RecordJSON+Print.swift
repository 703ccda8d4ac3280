internal import Export
internal import Model
internal import Query
internal import Records

extension RecordJSON {
  /// Appends a record as one line, LF included.
  static func append(
    topic: String, partition: Int32, offset: Int64, timestamp: Int64, timestampType: TimestampType,
    key: UnsafeRawBufferPointer?,
    value: UnsafeRawBufferPointer?, headers: RecordHeaders, to line: inout [UInt8]
  ) {
    line.append(contentsOf: #"{"topic":"#.utf8)
    JSONText.append(string: topic, to: &line)
    line.append(contentsOf: #","partition":\#(partition),"offset":\#(offset),"timestamp":\#(timestamp)"#.utf8)
    line.append(contentsOf: #","timestamp_type":"\#(timestampType.rawValue)","key":"#.utf8)
    append(key, name: "key", to: &line)
    line.append(contentsOf: #","value":"#.utf8)
    append(value, name: "value", to: &line)
    line.append(contentsOf: #","headers":"#.utf8)
    HeadersText.append(headers, to: &line)
    line.append(contentsOf: "}\n".utf8)
  }

  private static func append(_ bytes: UnsafeRawBufferPointer?, name: String, to line: inout [UInt8]) {
    let encoding: String
    if let bytes {
      if TextBytes.isUTF8(bytes) {
        JSONText.append(string: bytes, to: &line)
        encoding = "utf8"
      } else {
        line.append(UInt8(ascii: "\""))
        JSONText.append(base64: bytes, to: &line)
        line.append(UInt8(ascii: "\""))
        encoding = "base64"
      }
    } else {
      line.append(contentsOf: "null".utf8)
      encoding = "null"
    }
    line.append(contentsOf: ",\"\(name)_encoding\":\"\(encoding)\"".utf8)
  }
}
