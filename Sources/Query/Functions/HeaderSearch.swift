internal import SQLite

/// Finds a header in the JSON that `headers` is: `[["name","value"],…]`.
///
/// Reads what `HeadersText` writes. Any other text has no header of any name.
enum HeaderSearch {
  /// The value of the last header of that name, as consumers of Kafka take it: TEXT, BLOB (`{"base64":…}`), or NULL if it is null or
  /// there is none.
  static func set(_ headers: UnsafeRawBufferPointer, _ name: UnsafeRawBufferPointer, in result: ResultContext) {
    var reader = Reader(bytes: headers)
    var found: Value?
    guard reader.take("[") else { return result.setNull() }
    while reader.take("[") {
      guard let key = reader.value(), reader.take(","), let value = reader.value(), reader.take("]") else {
        return result.setNull()
      }
      if case .text(let text) = key, text.elementsEqual(name) { found = value }
      if !reader.take(",") { break }
    }
    switch found {
    case .text(let text): text.withUnsafeBytes { result.setText($0) }
    case .blob(let bytes): bytes.withUnsafeBytes { result.setBlob($0) }
    case .null, nil: result.setNull()
    }
  }

  private enum Value {
    case null
    case text([UInt8])
    case blob([UInt8])
  }

  private struct Reader {
    let bytes: UnsafeRawBufferPointer
    var position = 0

    mutating func take(_ text: StaticString) -> Bool {
      guard bytes.count - position >= text.utf8CodeUnitCount else { return false }
      for i in 0..<text.utf8CodeUnitCount where bytes[position + i] != text.utf8Start[i] { return false }
      position += text.utf8CodeUnitCount
      return true
    }

    mutating func value() -> Value? {
      if take("null") { return .null }
      if take("{\"base64\":") {
        guard let text = string(), take("}"), let bytes = text.withUnsafeBytes({ Base64.decode($0) }) else { return nil }
        return .blob(bytes)
      }
      return string().map { .text($0) }
    }

    mutating func string() -> [UInt8]? {
      guard take("\"") else { return nil }
      var out: [UInt8] = []
      while position < bytes.count {
        let byte = bytes[position]
        position += 1
        switch byte {
        case UInt8(ascii: "\""): return out
        case UInt8(ascii: "\\"):
          guard position < bytes.count else { return nil }
          let escape = bytes[position]
          position += 1
          switch escape {
          case UInt8(ascii: "n"): out.append(0x0A)
          case UInt8(ascii: "r"): out.append(0x0D)
          case UInt8(ascii: "t"): out.append(0x09)
          case UInt8(ascii: "b"): out.append(0x08)
          case UInt8(ascii: "f"): out.append(0x0C)
          case UInt8(ascii: "u"):
            // Control characters only: everything else stands as it is.
            guard bytes.count - position >= 4,
              let code = UInt8(String(decoding: bytes[position..<position + 4], as: UTF8.self), radix: 16), code < 0x80
            else { return nil }
            position += 4
            out.append(code)
          default: out.append(escape)
          }
        default: out.append(byte)
        }
      }
      return nil
    }
  }
}
