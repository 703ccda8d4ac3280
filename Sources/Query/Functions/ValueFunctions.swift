internal import SQLite

/// Functions of keys, values and headers: `header`, `base64`, `uuid`.
enum ValueFunctions {
  static func register(on connection: Connection) throws(SQLiteError) {
    try connection.registerFunction("header", argumentCount: 2) { (arguments, result) throws(VirtualTableError) in
      guard arguments[0].kind == .text, arguments[1].kind == .text else { return result.setNull() }
      arguments[0].withBytes { headers in
        arguments[1].withBytes { name in HeaderSearch.set(headers, name, in: result) }
      }
    }
    // As SQLite's own extension has it: a blob becomes text, and a text the blob it stands for.
    try connection.registerFunction("base64", argumentCount: 1) { (arguments, result) throws(VirtualTableError) in
      switch arguments[0].kind {
      case .null: result.setNull()
      case .blob:
        var text: [UInt8] = []
        arguments[0].withBytes { JSONText.append(base64: $0, to: &text) }
        text.withUnsafeBytes { result.setText($0) }
      default:
        let bytes = arguments[0].withBytes { Base64.decode($0) }
        guard let bytes else { throw .failed("base64: the text is none of base64") }
        bytes.withUnsafeBytes { result.setBlob($0) }
      }
    }
    try connection.registerFunction("uuid", argumentCount: 0, isDeterministic: false) {
      (_, result) throws(VirtualTableError) in
      var random = SystemRandomNumberGenerator()
      var bytes = [UInt8](repeating: 0, count: 16)
      bytes.withUnsafeMutableBytes {
        $0.storeBytes(of: random.next(), as: UInt64.self)
        $0.storeBytes(of: random.next(), toByteOffset: 8, as: UInt64.self)
      }
      // Version 4 (random), variant 10 (RFC 9562 §5.4).
      bytes[6] = bytes[6] & 0x0F | 0x40
      bytes[8] = bytes[8] & 0x3F | 0x80
      result.setText(UUIDText.text(of: bytes))
    }
    try connection.registerFunction("uuid", argumentCount: 1) { (arguments, result) throws(VirtualTableError) in
      let bytes = arguments[0].withBytes { uuidBytes($0, isText: arguments[0].kind == .text) }
      guard let bytes else { return result.setNull() }
      result.setText(UUIDText.text(of: bytes))
    }
  }

  /// 16 bytes, or a text of 32 hexadecimal digits, with dashes and braces anywhere.
  private static func uuidBytes(_ value: UnsafeRawBufferPointer, isText: Bool) -> [UInt8]? {
    if !isText { return value.count == 16 ? Array(value) : nil }
    guard value.count <= 64 else { return nil }
    var digits: [UInt8] = []
    for byte in value {
      switch byte {
      case 0x30...0x39: digits.append(byte - 0x30)
      case 0x41...0x46: digits.append(byte - 0x41 + 10)
      case 0x61...0x66: digits.append(byte - 0x61 + 10)
      case UInt8(ascii: "-"), UInt8(ascii: "{"), UInt8(ascii: "}"): break
      default: return nil
      }
    }
    guard digits.count == 32 else { return nil }
    return stride(from: 0, to: 32, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
  }
}

enum Base64 {
  /// Reads base64 (RFC 4648 §4 or §5), white space between and padding at its end allowed; nil if it is none.
  static func decode(_ text: UnsafeRawBufferPointer) -> [UInt8]? {
    var out: [UInt8] = []
    out.reserveCapacity(text.count / 4 * 3)
    var group: UInt32 = 0
    var bits = 0
    var isPadded = false
    for byte in text {
      let value: UInt8
      switch byte {
      case 0x41...0x5A: value = byte - 0x41
      case 0x61...0x7A: value = byte - 0x61 + 26
      case 0x30...0x39: value = byte - 0x30 + 52
      case UInt8(ascii: "+"), UInt8(ascii: "-"): value = 62
      case UInt8(ascii: "/"), UInt8(ascii: "_"): value = 63
      case UInt8(ascii: "="):
        isPadded = true
        continue
      case 0x20, 0x09, 0x0A, 0x0D: continue
      default: return nil
      }
      if isPadded { return nil }
      group = group << 6 | UInt32(value)
      bits += 6
      if bits >= 8 {
        bits -= 8
        out.append(UInt8(truncatingIfNeeded: group >> UInt32(bits)))
      }
    }
    // A single digit of a group says less than a byte.
    return bits == 6 ? nil : out
  }
}
