internal import Model
internal import Query
internal import Records

/// One record as one line of JSON: the form in which `export` writes records, `consume` prints them and `produce` takes them back.
///
///     {"topic":"t","partition":0,"offset":7,"timestamp":1741530605250,"timestamp_type":"CreateTime",
///      "key":"k","key_encoding":"utf8","value":"…","value_encoding":"utf8","headers":[["name","value"]]}
///
/// Keys and values are strings: UTF-8 as it is (`utf8`), other bytes in Base64 (`base64`), and null (`null`). Header values that are
/// not UTF-8 are `{"base64":"…"}`.
enum RecordJSON {
  /// A record read back. What an export says about where it was stored (topic, offset) is not in it.
  struct Record: Equatable {
    var partition: Int32?
    var timestamp: Int64?
    var key: [UInt8]?
    var value: [UInt8]?
    var headers: [Header] = []
  }

  struct Header: Equatable {
    var name: String
    var value: [UInt8]?
  }

  struct Failure: Error, Equatable { var reason: String }

  static func read(_ line: UnsafeRawBufferPointer) throws(Failure) -> Record {
    let json: JSON
    do { json = try JSONReader.read(line) } catch {
      throw Failure(reason: "not JSON: \(error.reason) at byte \(error.position + 1)")
    }
    guard case .object(let members) = json else { throw Failure(reason: "a record is a JSON object") }
    var record = Record()
    var hasValue = false
    var encodings: (key: JSON?, value: JSON?)
    var texts: (key: JSON, value: JSON) = (.null, .null)
    for (name, json) in members {
      switch name {
      case "key": texts.key = json
      case "key_encoding": encodings.key = json
      case "value":
        texts.value = json
        hasValue = true
      case "value_encoding": encodings.value = json
      case "headers": record.headers = try headers(json)
      case "timestamp": record.timestamp = try integer(json, name)
      case "partition":
        guard let number = Int32(exactly: try integer(json, name)) else { throw Failure(reason: "'partition' is too large") }
        record.partition = number
      case "topic", "offset", "time", "timestamp_type": break
      default: throw Failure(reason: "unknown member '\(name)'")
      }
    }
    guard hasValue else { throw Failure(reason: "'value' is missing") }
    record.key = try bytes(texts.key, encoding: encodings.key, name: "key")
    record.value = try bytes(texts.value, encoding: encodings.value, name: "value")
    return record
  }

  private static func integer(_ json: JSON, _ name: String) throws(Failure) -> Int64 {
    guard case .number(let text) = json, let value = Int64(text) else {
      throw Failure(reason: "'\(name)' is not a whole number")
    }
    return value
  }

  private static func bytes(_ json: JSON, encoding: JSON?, name: String) throws(Failure) -> [UInt8]? {
    let encoding = encoding ?? .null
    switch (json, encoding) {
    case (.null, .null), (.null, .string("null")): return nil
    case (.string(let text), .null), (.string(let text), .string("utf8")): return Array(text.utf8)
    case (.string(let text), .string("base64")):
      guard let bytes = Base64.decode(text) else { throw Failure(reason: "'\(name)' is not Base64") }
      return bytes
    case (.string, .string(let other)), (.null, .string(let other)):
      throw Failure(reason: "'\(name)_encoding' \(other) does not fit its \(name) (utf8, base64 or null)")
    default: throw Failure(reason: "'\(name)' is a string or null; write JSON inside it as text")
    }
  }

  private static func headers(_ json: JSON) throws(Failure) -> [Header] {
    if json == .null { return [] }
    guard case .array(let pairs) = json else { throw Failure(reason: "'headers' is a list of [name, value]") }
    var headers: [Header] = []
    for pair in pairs {
      guard case .array(let parts) = pair, parts.count == 2, let name = parts[0].string else {
        throw Failure(reason: "'headers' is a list of [name, value]")
      }
      switch parts[1] {
      case .null: headers.append(Header(name: name, value: nil))
      case .string(let text): headers.append(Header(name: name, value: Array(text.utf8)))
      default:
        guard let text = parts[1]["base64"]?.string, let bytes = Base64.decode(text) else {
          throw Failure(reason: "the value of header '\(name)' is neither text nor {\"base64\":\"…\"}")
        }
        headers.append(Header(name: name, value: bytes))
      }
    }
    return headers
  }
}

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
