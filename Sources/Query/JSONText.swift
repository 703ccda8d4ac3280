/// Writes JSON as bytes.
public enum JSONText {
  private static let hexDigits = Array("0123456789abcdef".utf8)
  private static let base64Digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

  /// Appends `utf8` as a JSON string: quote, backslash and control characters escaped, everything else as it is (RFC 8259 §7).
  /// - Precondition: `utf8` is valid UTF-8.
  public static func append(string utf8: UnsafeRawBufferPointer, to out: inout [UInt8]) {
    out.append(0x22)
    appendEscaped(utf8, to: &out)
    out.append(0x22)
  }

  public static func append(string text: String, to out: inout [UInt8]) {
    var text = text
    text.withUTF8 { append(string: UnsafeRawBufferPointer($0), to: &out) }
  }

  /// `text` as a JSON string, quotes included.
  public static func string(_ text: String) -> String {
    var out: [UInt8] = []
    append(string: text, to: &out)
    return String(decoding: out, as: UTF8.self)
  }

  private static func appendEscaped(_ utf8: UnsafeRawBufferPointer, to out: inout [UInt8]) {
    guard let base = utf8.baseAddress else { return }
    let count = utf8.count
    var clean = 0  // start of the run that can be copied
    var i = 0
    while i < count {
      if count &- i >= 8 {
        let word = base.loadUnaligned(fromByteOffset: i, as: UInt64.self)
        if !mayNeedEscape(word) {
          i &+= 8
          continue
        }
      }
      let byte = base.load(fromByteOffset: i, as: UInt8.self)
      i &+= 1
      guard byte < 0x20 || byte == 0x22 || byte == 0x5C else { continue }
      out.append(contentsOf: UnsafeRawBufferPointer(rebasing: utf8[clean..<i - 1]))
      clean = i
      switch byte {
      case 0x22, 0x5C:
        out.append(0x5C)
        out.append(byte)
      case 0x08: out.append(contentsOf: [0x5C, 0x62])
      case 0x09: out.append(contentsOf: [0x5C, 0x74])
      case 0x0A: out.append(contentsOf: [0x5C, 0x6E])
      case 0x0C: out.append(contentsOf: [0x5C, 0x66])
      case 0x0D: out.append(contentsOf: [0x5C, 0x72])
      default:
        out.append(contentsOf: [0x5C, 0x75, 0x30, 0x30, hexDigits[Int(byte >> 4)], hexDigits[Int(byte & 15)]])
      }
    }
    out.append(contentsOf: UnsafeRawBufferPointer(rebasing: utf8[clean..<count]))
  }

  /// Whether one of eight bytes is below 0x20, a quote or a backslash; bytes beyond ASCII may raise false alarms.
  @inline(__always)
  private static func mayNeedEscape(_ word: UInt64) -> Bool {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let high: UInt64 = 0x8080_8080_8080_8080
    let control = (word &- ones &* 0x20) & ~word
    let quote = word ^ ones &* 0x22
    let backslash = word ^ ones &* 0x5C
    return (control | (quote &- ones) & ~quote | (backslash &- ones) & ~backslash) & high != 0
  }

  /// Appends the bytes as base64 with padding (RFC 4648 §4), without quotes.
  public static func append(base64 bytes: UnsafeRawBufferPointer, to out: inout [UInt8]) {
    out.reserveCapacity(out.count + (bytes.count + 2) / 3 * 4)
    base64Digits.withUnsafeBufferPointer { digits in
      var i = 0
      while i &+ 2 < bytes.count {
        let group = Int(bytes[i]) << 16 | Int(bytes[i + 1]) << 8 | Int(bytes[i + 2])
        out.append(digits[group >> 18])
        out.append(digits[group >> 12 & 63])
        out.append(digits[group >> 6 & 63])
        out.append(digits[group & 63])
        i &+= 3
      }
      switch bytes.count - i {
      case 1:
        let group = Int(bytes[i]) << 16
        out.append(digits[group >> 18])
        out.append(digits[group >> 12 & 63])
        out.append(contentsOf: [0x3D, 0x3D])
      case 2:
        let group = Int(bytes[i]) << 16 | Int(bytes[i + 1]) << 8
        out.append(digits[group >> 18])
        out.append(digits[group >> 12 & 63])
        out.append(digits[group >> 6 & 63])
        out.append(0x3D)
      default: break
      }
    }
  }

  /// Appends a JSON string if the bytes are UTF-8, otherwise `{"base64":"…"}`.
  public static func append(stringOrBase64 bytes: UnsafeRawBufferPointer, to out: inout [UInt8]) {
    if TextBytes.isUTF8(bytes) {
      append(string: bytes, to: &out)
    } else {
      out.append(contentsOf: #"{"base64":""#.utf8)
      append(base64: bytes, to: &out)
      out.append(contentsOf: #""}"#.utf8)
    }
  }

  public static func append(_ integer: Int64, to out: inout [UInt8]) {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
      var rest = integer.magnitude
      var i = 20
      repeat {
        i -= 1
        let (quotient, remainder) = rest.quotientAndRemainder(dividingBy: 10)
        digits.initializeElement(at: i, to: UInt8(0x30 + remainder))
        rest = quotient
      } while rest > 0
      if integer < 0 { out.append(0x2D) }
      out.append(contentsOf: UnsafeBufferPointer(rebasing: digits[i..<20]))
    }
  }

  /// Appends the shortest decimal number that reads back as `real`. Infinity, which JSON cannot say, is 9e999: what readers take for
  /// infinity, and what SQLite reads as such. There is no NaN in SQL.
  public static func append(_ real: Double, to out: inout [UInt8]) {
    if real.isFinite {
      out.append(contentsOf: real.description.utf8)
    } else if real.isNaN {
      out.append(contentsOf: "null".utf8)
    } else {
      out.append(contentsOf: (real < 0 ? "-9e999" : "9e999").utf8)
    }
  }
}
