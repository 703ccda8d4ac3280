/// Points in time as the command line writes them: ISO 8601, or a distance from now.
enum Instant {
  /// Reads `2025-03-09`, `2025-03-09T14:30`, `2025-03-09T14:30:05.250`, each with `Z` or `+02:00` behind a time or nothing, which
  /// means UTC; a space may stand for the `T`.
  ///
  /// - Returns: milliseconds since 1970; nil if the text is nothing of the kind.
  static func parse(iso text: String) -> Int64? {
    var digits = Scanner(Array(text.utf8))
    guard let year = digits.number(4), digits.take("-"), let month = digits.number(2), (1...12).contains(month),
      digits.take("-"), let day = digits.number(2), day >= 1, day <= daysInMonth(year, month)
    else { return nil }
    var milliseconds = daysSinceEpoch(year, month, day) * 86_400_000
    if digits.isAtEnd { return milliseconds }
    guard digits.take("T") || digits.take(" ") || digits.take("t"), let hour = digits.number(2), hour < 24, digits.take(":"),
      let minute = digits.number(2), minute < 60
    else { return nil }
    milliseconds += (hour * 60 + minute) * 60_000
    if digits.take(":") {
      guard let second = digits.number(2), second < 60 else { return nil }
      milliseconds += second * 1000
      if digits.take(".") {
        guard let fraction = digits.milliseconds() else { return nil }
        milliseconds += fraction
      }
    }
    if digits.isAtEnd || (digits.take("Z") || digits.take("z")) && digits.isAtEnd { return milliseconds }
    let isAhead = digits.take("+")
    guard isAhead || digits.take("-"), let hours = digits.number(2), hours < 24 else { return nil }
    _ = digits.take(":")
    guard let minutes = digits.isAtEnd ? 0 : digits.number(2), minutes < 60, digits.isAtEnd else { return nil }
    let zone = (hours * 60 + minutes) * 60_000
    return isAhead ? milliseconds - zone : milliseconds + zone
  }

  /// Reads `-10m`: a count and `ms`, `s`, `m`, `h` or `d` before `now`, in milliseconds since 1970.
  static func parse(relative text: String, now: Int64) -> Int64? {
    guard text.hasPrefix("-") else { return nil }
    let count = text.dropFirst().prefix { $0.isASCII && $0.isNumber }
    guard let value = Int64(count) else { return nil }
    let unit: Int64
    switch text.dropFirst(1 + count.count) {
    case "ms": unit = 1
    case "s": unit = 1000
    case "m": unit = 60_000
    case "h": unit = 3_600_000
    case "d": unit = 86_400_000
    default: return nil
    }
    let (distance, overflow) = value.multipliedReportingOverflow(by: unit)
    return overflow || distance > now ? 0 : now - distance
  }

  /// `2025-03-09T14:30:05.250Z`.
  static func format(_ milliseconds: Int64) -> String {
    let days = milliseconds >= 0 ? milliseconds / 86_400_000 : -((86_399_999 - milliseconds) / 86_400_000)
    let rest = milliseconds - days * 86_400_000
    let (year, month, day) = date(daysSinceEpoch: days)
    func pad(_ value: Int64, _ width: Int) -> String {
      let text = String(value)
      return String(repeating: "0", count: max(0, width - text.count)) + text
    }
    return "\(pad(year, 4))-\(pad(month, 2))-\(pad(day, 2))T\(pad(rest / 3_600_000, 2)):\(pad(rest / 60_000 % 60, 2))"
      + ":\(pad(rest / 1000 % 60, 2)).\(pad(rest % 1000, 3))Z"
  }

  private static func daysInMonth(_ year: Int64, _ month: Int64) -> Int64 {
    switch month {
    case 2: (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  /// Days from 1970-01-01 in the proleptic Gregorian calendar, counted in years that begin in March so that the leap day is last.
  private static func daysSinceEpoch(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
    let y = month <= 2 ? year - 1 : year
    let era = (y >= 0 ? y : y - 399) / 400
    let yearOfEra = y - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }

  private static func date(daysSinceEpoch days: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let shifted = days + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let m = (5 * dayOfYear + 2) / 153
    let month = m < 10 ? m + 3 : m - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * m + 2) / 5 + 1)
  }

  private struct Scanner {
    private let bytes: [UInt8]
    private var position = 0
    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { position == bytes.count }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
      guard position < bytes.count, bytes[position] == UInt8(ascii: character) else { return false }
      position += 1
      return true
    }

    /// Exactly `count` digits.
    mutating func number(_ count: Int) -> Int64? {
      guard position + count <= bytes.count else { return nil }
      var value: Int64 = 0
      for byte in bytes[position..<position + count] {
        guard byte >= 0x30, byte <= 0x39 else { return nil }
        value = value * 10 + Int64(byte - 0x30)
      }
      position += count
      return value
    }

    /// One to nine digits behind the point, cut to milliseconds.
    mutating func milliseconds() -> Int64? {
      let start = position
      var value: Int64 = 0
      while position < bytes.count, bytes[position] >= 0x30, bytes[position] <= 0x39 {
        if position - start < 3 { value = value * 10 + Int64(bytes[position] - 0x30) }
        position += 1
      }
      let count = position - start
      guard (1...9).contains(count) else { return nil }
      for _ in count..<max(3, count) { value *= 10 }
      return value
    }
  }
}
