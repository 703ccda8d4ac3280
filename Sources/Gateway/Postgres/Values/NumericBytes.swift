import NIOCore

/// Decimal numbers in binary: groups of four digits, how many of them are in front of the point, and a sign.
enum NumericBytes {
  private static let groupUnits: [Int16] = [1000, 100, 10, 1]
  private static let zero = UInt8(ascii: "0")

  /// - Returns: as text, without a point where it is whole; nil for bytes that are no number.
  static func text(_ buffer: inout ByteBuffer) -> String? {
    guard let count = buffer.readInteger(as: Int16.self), let weight = buffer.readInteger(as: Int16.self),
      let sign = buffer.readInteger(as: UInt16.self), let scale = buffer.readInteger(as: UInt16.self), scale <= 0x3FFF,
      count >= 0, buffer.readableBytes == Int(count) * 2
    else { return nil }
    switch sign {
    case 0, 0x4000: break
    case 0xC000: return "nan"
    case 0xD000: return "infinity"
    case 0xF000: return "-infinity"
    default: return nil
    }
    var digits: [UInt8] = []
    while let group = buffer.readInteger(as: Int16.self) {
      guard 0..<10_000 ~= group else { return nil }
      digits += groupUnits.map { zero + UInt8(group / $0 % 10) }
    }
    var exponent = 4 * (Int(weight) - Int(count) + 1)
    while digits.last == zero {
      digits.removeLast()
      exponent += 1
    }
    if digits.isEmpty { return "0" }
    // As many as a whole number of 64 bits may have; past that it is a float in any case.
    if 0...19 ~= exponent {
      digits += [UInt8](repeating: zero, count: exponent)
      exponent = 0
    }
    let number = String(decoding: digits, as: UTF8.self)
    return (sign == 0 ? "" : "-") + number + (exponent == 0 ? "" : "e\(exponent)")
  }

  /// Writes a number that has this text.
  static func write(_ text: String, to out: inout ByteBuffer) {
    func write(_ groups: [Int16] = [], weight: Int = 0, sign: UInt16, scale: Int = 0) {
      out.writeMultipleIntegers(Int16(groups.count), Int16(weight), sign, UInt16(scale))
      for group in groups { out.writeInteger(group) }
    }
    let isNegative = text.hasPrefix("-")
    switch text.lowercased() {
    case "nan": return write(sign: 0xC000)
    case "infinity": return write(sign: 0xD000)
    case "-infinity": return write(sign: 0xF000)
    default: break
    }
    let parts = text.utf8.drop { $0 == UInt8(ascii: "-") }.split(separator: UInt8(ascii: "e"))
    let mantissa = parts.first?.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false) ?? []
    let exponent = parts.count > 1 ? Int(String(decoding: parts[1], as: UTF8.self)) ?? 0 : 0
    /// The number is 0.digits, times ten this many times.
    var point = (mantissa.first?.count ?? 0) + exponent
    var digits = mantissa.joined().map { Int16($0) - Int16(zero) }
    while digits.first == 0 {
      digits.removeFirst()
      point -= 1
    }
    while digits.last == 0 { digits.removeLast() }
    if digits.isEmpty { return write(sign: 0) }
    let scale = max(0, digits.count - point)
    // Groups are counted from the point.
    let weight = Int((Double(point - 1) / 4).rounded(.down))
    digits.insert(contentsOf: [Int16](repeating: 0, count: 4 * (weight + 1) - point), at: 0)
    digits += [Int16](repeating: 0, count: (4 - digits.count % 4) % 4)
    let groups = stride(from: 0, to: digits.count, by: 4).map { start in
      zip(digits[start...], groupUnits).reduce(0) { $0 + $1.0 * $1.1 }
    }
    write(groups, weight: weight, sign: isNegative ? 0x4000 : 0, scale: scale)
  }
}
