/// A regular expression that a topic's name has to match from end to end.
struct TopicPattern: Sendable {
  // Safe because: a compiled expression is only read.
  private nonisolated(unsafe) let regex: Regex<AnyRegexOutput>

  init(_ pattern: String) throws { regex = try Regex(pattern) }

  func matches(_ name: String) -> Bool { (try? regex.wholeMatch(in: name)) != nil }
}
