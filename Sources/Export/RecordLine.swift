internal import Model
internal import Query

/// A record as one line of JSON:
///
///     {"topic":"plays","partition":0,"offset":7,"timestamp":1714554000000,"timestamp_type":"CreateTime",
///      "key":"k","key_encoding":"utf8","value":"{\"song\":1}","value_encoding":"utf8","headers":[["trace","1"]]}
///
/// Keys and values are strings always, whatever they hold: JSON inside a value is not taken apart and written anew, so what comes
/// back is what was produced, byte for byte. `…_encoding` says how to get the bytes: `utf8` (the string's UTF-8), `base64`, or
/// `null`. Names, their order and the spelling of every character are fixed: the same records give the same bytes.
struct RecordLine {
  /// `{"topic":"…","partition":N,"offset":`
  private let start: [UInt8]

  init(topic: String, partition: Int32) {
    var start = Array(#"{"topic":"#.utf8)
    JSONText.append(string: topic, to: &start)
    start.append(contentsOf: #","partition":"#.utf8)
    JSONText.append(Int64(partition), to: &start)
    start.append(contentsOf: #","offset":"#.utf8)
    self.start = start
  }

  /// Appends the line of the record that `scan` stands on.
  func append(_ scan: RecordScan, to out: inout [UInt8]) {
    out.append(contentsOf: start)
    JSONText.append(scan.offset, to: &out)
    append(#","timestamp":"#, to: &out)
    JSONText.append(scan.timestamp, to: &out)
    append(
      scan.timestampType == .createTime
        ? #","timestamp_type":"CreateTime","key":"# : #","timestamp_type":"LogAppendTime","key":"#, to: &out)
    scan.withKey { Self.append($0, encodingName: #","key_encoding":"#, to: &out) }
    append(#","value":"#, to: &out)
    scan.withValue { Self.append($0, encodingName: #","value_encoding":"#, to: &out) }
    append(#","headers":"#, to: &out)
    scan.withHeaders { out.append(contentsOf: $0) }
    append("}\n", to: &out)
  }

  private static func append(_ bytes: UnsafeRawBufferPointer?, encodingName: StaticString, to out: inout [UInt8]) {
    let encoding: StaticString
    if let bytes {
      if TextBytes.isUTF8(bytes) {
        encoding = #""utf8""#
        JSONText.append(string: bytes, to: &out)
      } else {
        encoding = #""base64""#
        out.append(0x22)
        JSONText.append(base64: bytes, to: &out)
        out.append(0x22)
      }
    } else {
      encoding = #""null""#
      out.append(contentsOf: "null".utf8)
    }
    encodingName.withUTF8Buffer { out.append(contentsOf: $0) }
    encoding.withUTF8Buffer { out.append(contentsOf: $0) }
  }

  private func append(_ text: StaticString, to out: inout [UInt8]) {
    text.withUTF8Buffer { out.append(contentsOf: $0) }
  }
}
