import Query

/// Times as Postgres writes and counts them. In SQL here, a time is the text that the column `time` has.
enum PostgresTime {
  /// Milliseconds from 1970 to 2000, where Postgres begins to count.
  static let epochMilliseconds: Int64 = 946_684_800_000

  /// Milliseconds as the text of the column `time`; nil outside the years 0000 to 9999.
  static func sqlText(_ milliseconds: Int64) -> String? {
    guard TimeText.writable.contains(milliseconds) else { return nil }
    return String(unsafeUninitializedCapacity: TimeText.byteCount) { buffer in
      TimeText.write(milliseconds, to: UnsafeMutableRawBufferPointer(buffer))
      return TimeText.byteCount
    }
  }

  /// Any spelling of a time that Postgres or ISO 8601 has, as milliseconds; nil if it is none.
  static func parse(_ text: String) -> Int64? {
    // As the column `time` spells it, which is what most are.
    if let milliseconds = TimeText.parse(text) { return milliseconds }
    var text = text.trimmingBlanks()
    if text.lowercased() == "now" { return now() }
    if text.lowercased() == "epoch" { return 0 }
    if text.uppercased().hasSuffix(" UTC") { text = String(text.dropLast(4)) + "Z" }
    return TimeText.parse(text)
  }

  static func now() -> Int64 { WallClock.milliseconds }

  /// `2024-05-01T09:00:00.120Z` as `2024-05-01 09:00:00.12+00`: the fraction without its last zeroes.
  static func wireText(_ milliseconds: Int64, zone: Bool = true) -> String? {
    guard var bytes = sqlText(milliseconds).map({ Array($0.utf8) }), bytes.count == 24 else { return nil }
    bytes.removeLast()
    bytes[10] = UInt8(ascii: " ")
    while bytes.count > 19, bytes.last == UInt8(ascii: "0") || bytes.last == UInt8(ascii: ".") {
      let wasPoint = bytes.removeLast() == UInt8(ascii: ".")
      if wasPoint { break }
    }
    return String(decoding: bytes, as: UTF8.self) + (zone ? "+00" : "")
  }

  /// `2024-05-01`; nil where a date has no text.
  static func dateText(daysSince2000 days: Int32) -> String? {
    sqlText(epochMilliseconds + Int64(days) * 86_400_000).map { String($0.prefix(10)) }
  }

  /// `09:00:00`, with the fraction of the second where there is one.
  static func clockText(microseconds: Int64) -> String {
    func padded(_ number: UInt64, _ digits: Int) -> String {
      String(repeating: "0", count: max(0, digits - String(number).count)) + String(number)
    }
    let count = microseconds.magnitude
    let (seconds, fraction) = count.quotientAndRemainder(dividingBy: 1_000_000)
    return (microseconds < 0 ? "-" : "") + padded(seconds / 3600, 2) + ":" + padded(seconds / 60 % 60, 2) + ":"
      + padded(seconds % 60, 2) + (fraction == 0 ? "" : "." + padded(fraction, 6))
  }

  /// `1 mons 2 days -03:00:00`, which `pg_interval` reads.
  static func intervalText(months: Int32, days: Int32, microseconds: Int64) -> String {
    var parts: [String] = []
    if months != 0 { parts.append("\(months) mons") }
    if days != 0 { parts.append("\(days) days") }
    if microseconds != 0 || parts.isEmpty { parts.append(clockText(microseconds: microseconds)) }
    return parts.joined(separator: " ")
  }

  /// `microseconds` since 2000 as milliseconds since 1970; rounded up as texts are, and nil where a time has no text.
  static func milliseconds(microsecondsSince2000 microseconds: Int64) -> Int64? {
    let (quotient, rest) = microseconds.quotientAndRemainder(dividingBy: 1000)
    let (sum, overflow) = (quotient + (rest > 0 ? 1 : 0)).addingReportingOverflow(epochMilliseconds)
    return overflow || !TimeText.writable.contains(sum) ? nil : sum
  }
}

extension String {
  func trimmingBlanks() -> String {
    var bytes = Substring(self)
    while bytes.first?.isWhitespace == true { bytes.removeFirst() }
    while bytes.last?.isWhitespace == true { bytes.removeLast() }
    return String(bytes)
  }
}
