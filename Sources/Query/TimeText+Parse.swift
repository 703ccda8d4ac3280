extension TimeText {
  /// Reads a time: `2024-05-01`, with `T09:00`, `:00` and a fraction if wanted, and `Z` or an offset like `+02:00`; a blank may stand
  /// for the T. Without a zone it is UTC.
  ///
  /// - Parameter roundsUp: fractions below a millisecond count up to the next one, so that "not before" stays true of a bound. A moment that
  ///   something happened at is in the millisecond that has begun.
  /// - Returns: milliseconds; nil if the text is not such a time, or there is no such day or hour.
  public static func parse(_ text: String, roundsUp: Bool = true) -> Int64? {
    var reader = DigitReader(Array(text.utf8))
    guard let year = reader.number(digits: 4), reader.take("-"), let month = reader.number(digits: 2), reader.take("-"),
      let day = reader.number(digits: 2), let days = days(year: year, month: month, day: day)
    else { return nil }
    var milliseconds = Int64(days) * 86_400_000
    if reader.isAtEnd { return milliseconds }
    guard reader.take("T") || reader.take("t") || reader.take(" ") else { return nil }
    guard let hour = reader.number(digits: 2), hour < 24, reader.take(":"), let minute = reader.number(digits: 2), minute < 60
    else { return nil }
    milliseconds += Int64(hour * 60 + minute) * 60_000
    if reader.take(":") {
      guard let second = reader.number(digits: 2), second < 60 else { return nil }
      milliseconds += Int64(second) * 1000
      if reader.take(".") {
        guard let fraction = reader.fraction(roundsUp: roundsUp) else { return nil }
        milliseconds += fraction
      }
    }
    if reader.isAtEnd || ((reader.take("Z") || reader.take("z")) && reader.isAtEnd) { return milliseconds }
    let isWest = reader.take("-")
    guard isWest || reader.take("+"), let hours = reader.number(digits: 2), hours < 24 else { return nil }
    var offset = Int64(hours) * 60
    if !reader.isAtEnd {
      _ = reader.take(":")
      guard let minutes = reader.number(digits: 2), minutes < 60 else { return nil }
      offset += Int64(minutes)
    }
    guard reader.isAtEnd else { return nil }
    return milliseconds - (isWest ? -offset : offset) * 60_000
  }

  private struct DigitReader {
    private let bytes: [UInt8]
    private var position = 0
    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { position == bytes.count }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
      guard position < bytes.count, bytes[position] == UInt8(ascii: character) else { return false }
      position += 1
      return true
    }

    private mutating func digit() -> Int? {
      guard position < bytes.count, (0x30...0x39).contains(bytes[position]) else { return nil }
      defer { position += 1 }
      return Int(bytes[position] - 0x30)
    }

    mutating func number(digits: Int) -> Int? {
      var value = 0
      for _ in 0..<digits {
        guard let digit = digit() else { return nil }
        value = value * 10 + digit
      }
      return value
    }

    /// Digits behind a decimal point as milliseconds.
    mutating func fraction(roundsUp: Bool) -> Int64? {
      guard let first = digit() else { return nil }
      var milliseconds = Int64(first * 100)
      var scale: Int64 = 10
      var isBeyond = false
      while let digit = digit() {
        if scale > 0 { milliseconds += Int64(digit) * scale } else if digit > 0 { isBeyond = true }
        scale /= 10
      }
      return milliseconds + (isBeyond && roundsUp ? 1 : 0)
    }
  }
}
