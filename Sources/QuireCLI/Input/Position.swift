internal import ArgumentParser
internal import Query

/// Positions in a topic as `--from` and `--to` take them.
enum Position {
  static let forms = "beginning, end, OFFSET, PARTITION:OFFSET, a time (2025-03-09T14:30, UTC) or -10m"

  /// - Throws: a usage error that names the option.
  static func parse(_ text: String, option: String) throws -> RangeBound {
    do {
      return try RangeBound(text, now: WallClock.milliseconds)
    } catch {
      throw ValidationError("\(option): \(error)")
    }
  }
}
