import Query

/// Times and intervals. A time in SQL here is the text that the column `time` has.
extension PostgresFunctions {
  static let noNumber = "a time is no number"
  static let times: [RowFunction] = [
    RowFunction("pg_timestamptz", argumentCount: 1) { (values) throws(Failure) in
      if values[0] == .null { return .null }
      guard let text = text(values[0]), let time = PostgresTime.parse(text).flatMap(PostgresTime.sqlText) else {
        throw Failure("invalid input syntax for type timestamp with time zone: \"\(text(values[0]) ?? "")\"")
      }
      return .text(time)
    },
    // Beside a column of times: what is no time stays as it is, and SQL compares texts.
    RowFunction("pg_time", argumentCount: 1) { values in
      guard case .text(let text) = values[0] else { return values[0] }
      return .text(PostgresTime.parse(text).flatMap(PostgresTime.sqlText) ?? text)
    },
    RowFunction("pg_date", argumentCount: 1) { (values) throws(Failure) in
      if values[0] == .null { return .null }
      guard let text = text(values[0]), let time = PostgresTime.parse(text).flatMap(PostgresTime.sqlText) else {
        throw Failure("invalid input syntax for type date: \"\(text(values[0]) ?? "")\"")
      }
      return .text(String(time.prefix(10)))
    },
    RowFunction("pg_interval", argumentCount: 1) { (values) throws(Failure) in
      guard let text = text(values[0]) else { return .null }
      _ = try interval(text)
      return .text(text)
    },
    RowFunction("pg_add_interval", argumentCount: 3) { (values) throws(Failure) in
      guard let time = milliseconds(values[0]), let sign = number(values[1]), let text = text(values[2]) else { return .null }
      let interval = try interval(text)
      let factor: Int64 = sign < 0 ? -1 : 1
      return result(
        try CivilTime(time).adding(months: Int(factor) * interval.months).adding(interval.milliseconds * factor))
    },
    RowFunction("pg_scaled_interval", argumentCount: 2) { (values) throws(Failure) in
      guard let text = text(values[0]) else { return .null }
      let factor: Double
      switch values[1] {
      case .integer(let number): factor = Double(number)
      case .real(let number): factor = number
      case .text(let text):
        guard let number = Double(text) else { throw Failure("invalid input syntax for type double precision: \"\(text)\"") }
        factor = number
      default: return .null
      }
      let interval = try interval(text)
      guard let months = Int(exactly: Double(interval.months) * factor),
        let milliseconds = Int64(exactly: (Double(interval.milliseconds) * factor).rounded())
      else { throw Failure("interval out of range") }
      return .text("\(months) mons \(milliseconds) ms")
    },
    // In front of an arithmetic operator.
    RowFunction("pg_number", argumentCount: 1) { (values) throws(Failure) in
      if case .text(let text) = values[0], text.utf8.count >= 10, PostgresTime.parse(text) != nil {
        throw Failure("\(noNumber): add an interval, or calculate with the column timestamp, which has milliseconds")
      }
      return values[0]
    },
    RowFunction("pg_at_time_zone", argumentCount: 2) { (values) throws(Failure) in
      guard let zone = text(values[1]) else { return .null }
      guard ["utc", "z", "gmt", "etc/utc", "+00", "+00:00", "zulu"].contains(zone.lowercased()) else {
        throw Failure("time zone \"\(zone)\" is not supported: times are in UTC here")
      }
      return values[0]
    },
    RowFunction("now", argumentCount: 0, isDeterministic: false) { _ in result(PostgresTime.now()) },
    RowFunction("clock_timestamp", argumentCount: 0, isDeterministic: false) { _ in result(PostgresTime.now()) },
    RowFunction("statement_timestamp", argumentCount: 0, isDeterministic: false) { _ in result(PostgresTime.now()) },
    RowFunction("transaction_timestamp", argumentCount: 0, isDeterministic: false) { _ in result(PostgresTime.now()) },
    RowFunction("to_timestamp", argumentCount: 1) { (values) throws(Failure) in
      switch values[0] {
      case .integer(let seconds):
        let (milliseconds, overflow) = seconds.multipliedReportingOverflow(by: 1000)
        if overflow { throw Failure("timestamp out of range") }
        return result(milliseconds)
      case .real(let seconds):
        guard let milliseconds = Int64(exactly: (seconds * 1000).rounded()) else { throw Failure("timestamp out of range") }
        return result(milliseconds)
      default: return .null
      }
    },
    RowFunction("date_trunc", argumentCount: nil) { (values) throws(Failure) in
      guard values.count > 1, let unit = text(values[0]), let time = milliseconds(values[1]) else { return .null }
      guard let truncated = CivilTime(time).truncated(to: unit.lowercased()) else {
        throw Failure("unit \"\(unit)\" not recognized for type timestamp with time zone")
      }
      return result(truncated)
    },
    RowFunction("date_part", argumentCount: 2) { (values) throws(Failure) in
      guard let unit = text(values[0]), let time = milliseconds(values[1]) else { return .null }
      guard let part = CivilTime(time).part(unit.lowercased()) else {
        throw Failure("unit \"\(unit)\" not recognized for type timestamp with time zone")
      }
      return .real(part)
    },
    RowFunction("date_bin", argumentCount: 3) { (values) throws(Failure) in
      guard let text = text(values[0]), let time = milliseconds(values[1]), let origin = milliseconds(values[2]) else {
        return .null
      }
      let width = try interval(text)
      guard width.months == 0, width.milliseconds > 0 else { throw Failure("the stride of date_bin is out of range") }
      let distance = time - origin
      let rest = ((distance % width.milliseconds) + width.milliseconds) % width.milliseconds
      return result(time - rest)
    },
  ]

  static func result(_ milliseconds: Int64) -> SQLParameter {
    PostgresTime.sqlText(milliseconds).map { .text($0) } ?? .null
  }

  /// A time, whichever way it is spelled.
  static func milliseconds(_ value: SQLParameter) -> Int64? {
    if case .text(let text) = value { PostgresTime.parse(text) } else { nil }
  }

  /// `1 day 02:00:00`, `5 minutes`, `P1DT2H` is not known.
  static func interval(_ text: String) throws(Failure) -> (months: Int, milliseconds: Int64) {
    var months = 0.0
    var milliseconds = 0.0
    let words = text.lowercased().split(whereSeparator: { $0 == " " || $0 == "@" })
    var index = 0
    func failure() -> Failure { Failure("invalid input syntax for type interval: \"\(text)\"") }
    while index < words.count {
      let word = words[index]
      index += 1
      if word.contains(":") {
        let parts = word.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count <= 3, let hours = Double(parts[0]), let minutes = Double(parts[1]) else { throw failure() }
        let seconds = parts.count == 3 ? Double(parts[2]) : 0
        guard let seconds else { throw failure() }
        let sum = abs(hours) * 3600 + minutes * 60 + seconds
        milliseconds += (word.hasPrefix("-") ? -sum : sum) * 1000
        continue
      }
      let digits = word.prefix { "+-.0123456789".contains($0) }
      var unit = word.dropFirst(digits.count)
      guard let amount = Double(digits) else { throw failure() }
      if unit.isEmpty {
        unit = index < words.count ? words[index] : "s"
        index += 1
      }
      switch unit {
      case "ms", "msec", "msecs", "millisecond", "milliseconds": milliseconds += amount
      case "s", "sec", "secs", "second", "seconds": milliseconds += amount * 1000
      case "m", "min", "mins", "minute", "minutes": milliseconds += amount * 60_000
      case "h", "hr", "hrs", "hour", "hours": milliseconds += amount * 3_600_000
      case "d", "day", "days": milliseconds += amount * 86_400_000
      case "w", "week", "weeks": milliseconds += amount * 604_800_000
      case "mon", "mons", "month", "months": months += amount
      case "y", "yr", "yrs", "year", "years": months += amount * 12
      default: throw failure()
      }
    }
    guard let wholeMonths = Int(exactly: months), abs(wholeMonths) < 120_000,
      let whole = Int64(exactly: milliseconds.rounded()),
      abs(milliseconds) < 1e15, !words.isEmpty
    else { throw failure() }
    return (wholeMonths, whole)
  }
}

/// A moment in UTC by calendar and clock.
struct CivilTime {
  let milliseconds: Int64
  private let text: [UInt8]

  /// Outside the years 0000 to 9999 it is the nearest moment in them.
  init(_ milliseconds: Int64) {
    self.milliseconds = min(max(milliseconds, TimeText.writable.lowerBound), TimeText.writable.upperBound)
    text = Array((PostgresTime.sqlText(self.milliseconds) ?? "").utf8)
  }

  private func number(_ range: Range<Int>) -> Int { Int(String(decoding: text[range], as: UTF8.self)) ?? 0 }
  var year: Int { number(0..<4) }
  var month: Int { number(5..<7) }
  var day: Int { number(8..<10) }

  private static func padded(_ number: Int, _ digits: Int) -> String {
    let text = String(number)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
  }

  private static func date(_ year: Int, _ month: Int, _ day: Int) -> Int64? {
    TimeText.parse("\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))")
  }

  private var ofDay: Int64 { ((milliseconds % 86_400_000) + 86_400_000) % 86_400_000 }
  /// 1 is Monday.
  private var weekday: Int { Int((((milliseconds - ofDay) / 86_400_000 + 3) % 7 + 7) % 7) + 1 }

  func truncated(to unit: String) -> Int64? {
    let startOfDay = milliseconds - ofDay
    switch unit {
    case "microseconds", "microsecond", "milliseconds", "millisecond": return milliseconds
    case "second", "seconds": return milliseconds - ofDay % 1000
    case "minute", "minutes": return milliseconds - ofDay % 60_000
    case "hour", "hours": return milliseconds - ofDay % 3_600_000
    case "day", "days": return startOfDay
    case "week", "weeks": return startOfDay - Int64(weekday - 1) * 86_400_000
    case "month", "months": return Self.date(year, month, 1)
    case "quarter": return Self.date(year, (month - 1) / 3 * 3 + 1, 1)
    case "year", "years": return Self.date(year, 1, 1)
    case "decade": return Self.date(year / 10 * 10, 1, 1)
    case "century": return Self.date((year - 1) / 100 * 100 + 1, 1, 1)
    default: return nil
    }
  }

  func part(_ unit: String) -> Double? {
    switch unit {
    case "epoch": return Double(milliseconds) / 1000
    case "year", "years": return Double(year)
    case "quarter": return Double((month - 1) / 3 + 1)
    case "month", "months": return Double(month)
    case "day", "days": return Double(day)
    case "dow": return Double(weekday % 7)
    case "isodow": return Double(weekday)
    case "doy": return truncated(to: "year").map { Double((milliseconds - ofDay - $0) / 86_400_000 + 1) }
    case "hour", "hours": return Double(ofDay / 3_600_000)
    case "minute", "minutes": return Double(ofDay / 60_000 % 60)
    case "second", "seconds": return Double(ofDay % 60_000) / 1000
    case "millisecond", "milliseconds": return Double(ofDay % 60_000)
    case "microsecond", "microseconds": return Double(ofDay % 60_000) * 1000
    case "week":
      // The week that has this week's Thursday in it.
      let thursday = CivilTime(milliseconds - ofDay + Int64(4 - weekday) * 86_400_000)
      return thursday.part("doy").map { (($0 - 1) / 7).rounded(.down) + 1 }
    default: return nil
    }
  }

  func adding(months: Int) throws(RowFunction.Failure) -> CivilTime {
    if months == 0 { return self }
    let count = year * 12 + month - 1 + months
    let (newYear, newMonth) = (Int((Double(count) / 12).rounded(.down)), ((count % 12) + 12) % 12 + 1)
    for newDay in stride(from: day, through: max(1, day - 3), by: -1) {
      if let date = (0...9999).contains(newYear) ? Self.date(newYear, newMonth, newDay) : nil { return CivilTime(date + ofDay) }
    }
    throw RowFunction.Failure("timestamp out of range")
  }

  func adding(_ more: Int64) throws(RowFunction.Failure) -> Int64 {
    let (sum, overflow) = milliseconds.addingReportingOverflow(more)
    guard !overflow, TimeText.writable.contains(sum) else { throw RowFunction.Failure("timestamp out of range") }
    return sum
  }
}
