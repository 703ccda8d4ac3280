internal import SQLite

/// A span of time of fixed length, as `'1 minute'` or `'90s'` says it, and the windows that are that long.
struct TimeWidth: Hashable {
  /// Milliseconds; at least 1.
  let milliseconds: Int64

  private static let units: [(names: [String], milliseconds: Int64)] = [
    (["ms", "millisecond", "milliseconds"], 1), (["s", "sec", "secs", "second", "seconds"], 1000),
    (["m", "min", "mins", "minute", "minutes"], 60_000), (["h", "hour", "hours"], 3_600_000),
    (["d", "day", "days"], 86_400_000), (["w", "week", "weeks"], 604_800_000),
  ]

  /// A number and a unit, with or without a blank between them; a unit alone is one of it, and a number alone is milliseconds.
  init?(_ text: String) {
    let text = text.lowercased()
    let digits = text.drop { $0 == " " }.prefix { $0.isASCII && $0.isNumber }
    let unit = text.drop { $0 == " " }.dropFirst(digits.count).drop { $0 == " " }.reversed().drop { $0 == " " }.reversed()
    guard let count = digits.isEmpty ? 1 : Int64(digits), count > 0 else { return nil }
    let name = String(unit)
    if name.isEmpty {
      if digits.isEmpty { return nil }
      milliseconds = count
      return
    }
    guard let factor = Self.units.first(where: { $0.names.contains(name) })?.milliseconds else { return nil }
    let (product, overflow) = count.multipliedReportingOverflow(by: factor)
    if overflow { return nil }
    milliseconds = product
  }

  /// - Throws: what is wrong with it, in words for who wrote the statement.
  init(_ value: ArgumentValue, of function: String) throws(VirtualTableError) {
    switch value.kind {
    case .integer where value.int64 > 0: milliseconds = value.int64
    case .text:
      let text = value.withBytes { String(decoding: $0, as: UTF8.self) }
      guard let width = TimeWidth(text) else { fallthrough }
      self = width
    default:
      throw .failed(
        "\(function): a window is as long as '1 minute', '90 s', '2 hours', '1 day' or '1 week' says, or a number of milliseconds; "
          + "months and years differ in length: group by substr(time, 1, 7) or substr(time, 1, 4) for them")
    }
  }

  /// Where windows of whole weeks begin: Monday 1970-01-05. All others begin with 1970.
  private static let monday: Int64 = 4 * 86_400_000

  /// The start of the window that holds `time`; nil if that is before the first Int64.
  func start(of time: Int64, origin: Int64? = nil) -> Int64? {
    let origin = origin ?? (milliseconds % 604_800_000 == 0 ? Self.monday : 0)
    let (distance, overflow) = time.subtractingReportingOverflow(origin % milliseconds)
    if overflow { return nil }
    let remainder = distance % milliseconds
    let (start, below) = time.subtractingReportingOverflow(remainder < 0 ? remainder + milliseconds : remainder)
    return below ? nil : start
  }
}

extension ArgumentValue {
  /// A time of SQL as milliseconds: a number as it is, a text as `TimeText` reads it; nil for anything else.
  var milliseconds: Int64? {
    switch kind {
    case .integer: int64
    case .real: Int64(exactly: double.rounded(.down))
    case .text: withBytes { TimeText.parse(String(decoding: $0, as: UTF8.self), roundsUp: false) }
    case .blob, .null: nil
    }
  }
}
