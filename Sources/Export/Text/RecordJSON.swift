/// One record as one line of JSON: the form in which `export` writes records, `consume` prints them and `produce` takes them back.
///
///     {"topic":"t","partition":0,"offset":7,"timestamp":1741530605250,"timestamp_type":"CreateTime",
///      "key":"k","key_encoding":"utf8","value":"…","value_encoding":"utf8","headers":[["name","value"]]}
///
/// Keys and values are strings: UTF-8 as it is (`utf8`), other bytes in Base64 (`base64`), and null (`null`). Header values that are
/// not UTF-8 are `{"base64":"…"}`. What stands behind `value_encoding` besides are declared columns, which are computed of the record and
/// not taken; elsewhere a member of another name is an error.
public enum RecordJSON {
  public struct Failure: Error, Equatable {
    public var reason: String
    public init(reason: String) { self.reason = reason }
  }

  /// - Parameter leavingOut: called with the name of each member that is not taken.
  public static func read(
    _ line: UnsafeRawBufferPointer, leavingOut: (String) -> Void = { _ in }
  ) throws(Failure) -> ImportedRecord {
    let json: JSON
    do { json = try JSONReader.read(line) } catch {
      throw Failure(reason: "not JSON: \(error.reason) at byte \(error.position + 1)")
    }
    guard case .object(let members) = json else { throw Failure(reason: "a record is a JSON object") }
    var record = ImportedRecord()
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
      default:
        guard encodings.value != nil else { throw Failure(reason: "unknown member '\(name)'") }
        leavingOut(name)
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

  static func headers(_ json: JSON) throws(Failure) -> [ImportedRecord.Header] {
    if case .null = json { return [] }
    guard case .array(let pairs) = json else { throw Failure(reason: "'headers' is a list of [name, value]") }
    var headers: [ImportedRecord.Header] = []
    for pair in pairs {
      guard case .array(let parts) = pair, parts.count == 2, let name = parts[0].string else {
        throw Failure(reason: "'headers' is a list of [name, value]")
      }
      switch parts[1] {
      case .null: headers.append(ImportedRecord.Header(name: name, value: nil))
      case .string(let text): headers.append(ImportedRecord.Header(name: name, value: Array(text.utf8)))
      default:
        guard let text = parts[1]["base64"]?.string, let bytes = Base64.decode(text) else {
          throw Failure(reason: "the value of header '\(name)' is neither text nor {\"base64\":\"…\"}")
        }
        headers.append(ImportedRecord.Header(name: name, value: bytes))
      }
    }
    return headers
  }
}
