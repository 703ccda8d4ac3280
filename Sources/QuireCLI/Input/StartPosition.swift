internal import ArgumentParser

/// Where in a topic to begin: what stands behind `--from` and `--to`.
enum StartPosition: Equatable, Sendable {
  case beginning
  case end
  /// The same offset in every partition, or in one partition and nothing of the others.
  case offset(Int64, partition: Int32?)
  /// The first record at or after this time, in milliseconds since 1970.
  case time(Int64)

  static let forms = "beginning, end, OFFSET, PARTITION:OFFSET, an ISO 8601 time (UTC unless it has a zone) or -10m"

  /// - Parameter now: milliseconds since 1970, for distances such as `-10m`.
  static func parse(_ text: String, now: Int64) -> StartPosition? {
    switch text {
    case "beginning": return .beginning
    case "end": return .end
    default: break
    }
    if let offset = natural(text) { return .offset(offset, partition: nil) }
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    if parts.count == 2, let partition = natural(String(parts[0])).flatMap(Int32.init(exactly:)),
      let offset = natural(String(parts[1]))
    {
      return .offset(offset, partition: partition)
    }
    return (Instant.parse(relative: text, now: now) ?? Instant.parse(iso: text)).map(StartPosition.time)
  }

  private static func natural(_ text: String) -> Int64? {
    text.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 } ? Int64(text) : nil
  }
}
