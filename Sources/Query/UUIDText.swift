/// UUIDs as people read them.
public enum UUIDText {
  /// Lower-case digits in groups of 8, 4, 4, 4 and 12 (RFC 9562 §4), of 16 bytes.
  public static func text(of bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".unicodeScalars)
    var text = String.UnicodeScalarView()
    for (i, byte) in bytes.enumerated() {
      if [4, 6, 8, 10].contains(i) { text.append("-") }
      text.append(digits[Int(byte >> 4)])
      text.append(digits[Int(byte & 15)])
    }
    return String(text)
  }
}
