/// Whether bytes are text, looked at eight at a time: nearly all keys and values are ASCII.
public enum TextBytes {
  /// Valid UTF-8 (no surrogates, no overlong forms); NUL counts as text.
  public static func isUTF8(_ bytes: UnsafeRawBufferPointer) -> Bool { scan(bytes, allowNUL: true) }

  /// Valid UTF-8 without NUL: what is TEXT in SQL. SQLite's functions end a text at a NUL, so bytes with one are a BLOB.
  public static func isSQLText(_ bytes: UnsafeRawBufferPointer) -> Bool { scan(bytes, allowNUL: false) }

  @inline(__always)
  private static func scan(_ bytes: UnsafeRawBufferPointer, allowNUL: Bool) -> Bool {
    guard let base = bytes.baseAddress else { return true }
    let count = bytes.count
    var i = 0
    while i < count {
      if count &- i >= 8 {
        let word = base.loadUnaligned(fromByteOffset: i, as: UInt64.self)
        let high: UInt64 = 0x8080_8080_8080_8080
        // The second term marks zero bytes (and, behind one, bytes of 1: then the slow way decides).
        let marks = word & high | (allowNUL ? 0 : (word &- 0x0101_0101_0101_0101) & ~word & high)
        if marks == 0 {
          i &+= 8
          continue
        }
      }
      let byte = base.load(fromByteOffset: i, as: UInt8.self)
      if byte < 0x80 {
        if byte == 0 && !allowNUL { return false }
        i &+= 1
        continue
      }
      let length = sequenceLength(base + i, available: count &- i)
      if length == 0 { return false }
      i &+= length
    }
    return true
  }

  /// Length of the well-formed multi-byte sequence that begins at `bytes`; 0 if there is none (Unicode 15, table 3-7).
  @inline(never)
  private static func sequenceLength(_ bytes: UnsafeRawPointer, available: Int) -> Int {
    func byte(_ i: Int) -> UInt8 { bytes.load(fromByteOffset: i, as: UInt8.self) }
    func isContinuation(_ i: Int) -> Bool { byte(i) & 0xC0 == 0x80 }
    let first = byte(0)
    switch first {
    case 0xC2...0xDF:
      return available >= 2 && isContinuation(1) ? 2 : 0
    case 0xE0...0xEF:
      guard available >= 3, isContinuation(1), isContinuation(2) else { return 0 }
      if first == 0xE0 && byte(1) < 0xA0 { return 0 }
      if first == 0xED && byte(1) > 0x9F { return 0 }
      return 3
    case 0xF0...0xF4:
      guard available >= 4, isContinuation(1), isContinuation(2), isContinuation(3) else { return 0 }
      if first == 0xF0 && byte(1) < 0x90 { return 0 }
      if first == 0xF4 && byte(1) > 0x8F { return 0 }
      return 4
    default:
      return 0
    }
  }
}
