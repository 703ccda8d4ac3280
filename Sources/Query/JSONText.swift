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
    var i = 0
    while i < count {
      // As much as may become six bytes for each.
      let piece = min(count &- i, 1 << 10)
      out.append(addingCapacity: 6 * piece + 8) { span in
        span.withUnsafeMutableBufferPointer { buffer, written in
          let end = escape(base + i, count: piece, to: UnsafeMutableRawPointer(buffer.baseAddress! + written))
          written = UnsafeRawPointer(buffer.baseAddress!).distance(to: end)
        }
      }
      i &+= piece
    }
  }

  /// - Parameter out: room for six bytes for each, and eight.
  /// - Returns: the end of what was written.
  @inline(__always)
  private static func escape(_ bytes: UnsafeRawPointer, count: Int, to out: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer
  {
    var out = out
    var i = 0
    while i < count {
      if count &- i >= 8 {
        let word = bytes.loadUnaligned(fromByteOffset: i, as: UInt64.self)
        if !mayNeedEscape(word) {
          out.storeBytes(of: word, as: UInt64.self)
          out += 8
          i &+= 8
          continue
        }
      }
      // Eight bytes one by one: one of them is likely to need it.
      for _ in 0..<min(8, count &- i) {
        let byte = bytes.load(fromByteOffset: i, as: UInt8.self)
        i &+= 1
        if byte >= 0x20 && byte != 0x22 && byte != 0x5C {
          out.storeBytes(of: byte, as: UInt8.self)
          out += 1
        } else {
          out.storeBytes(of: 0x5C, as: UInt8.self)
          out += 1 + escapeSequence(of: byte, to: out + 1)
        }
      }
    }
    return out
  }

  /// Writes what stands behind the backslash.
  @inline(__always)
  private static func escapeSequence(of byte: UInt8, to out: UnsafeMutableRawPointer) -> Int {
    let letter: UInt8
    switch byte {
    case 0x22, 0x5C: letter = byte
    case 0x08: letter = 0x62
    case 0x09: letter = 0x74
    case 0x0A: letter = 0x6E
    case 0x0C: letter = 0x66
    case 0x0D: letter = 0x72
    default:
      for (place, digit) in [0x75, 0x30, 0x30, hexDigits[Int(byte >> 4)], hexDigits[Int(byte & 15)]].enumerated() {
        out.storeBytes(of: digit, toByteOffset: place, as: UInt8.self)
      }
      return 5
    }
    out.storeBytes(of: letter, as: UInt8.self)
    return 1
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
