/// One setting of a topic or of the node: its name, type, default, meaning and rule.
///
/// A key is in the tables only if changing it changes what the node does; every other name is refused, so that nobody
/// relies on a setting that is silently ignored.
public struct ConfigurationKey: Sendable {
  /// What a value has to look like. The names follow the types a DescribeConfigs response can carry.
  public enum ValueType: Sendable {
    case boolean
    case int(ClosedRange<Int64>)
    case long(ClosedRange<Int64>)
    /// Any text, or one of the given words.
    case string(oneOf: [String]?)
    /// Comma-separated words out of the given ones.
    case list(of: [String])

    /// Kafka's number of the type in DescribeConfigs.
    public var wireNumber: Int8 {
      switch self {
      case .boolean: 1
      case .string: 2
      case .int: 3
      case .long: 5
      case .list: 7
      }
    }

    public var isList: Bool {
      if case .list = self { true } else { false }
    }
  }

  public var name: String
  /// Other spellings that are accepted on the command line, in the environment and in the file, but never reported.
  public var aliases: [String] = []
  public var type: ValueType
  /// The value when nothing is set, as text.
  public var defaultValue: String
  public var documentation: String
  /// The node's key that gives a topic's default (`log.retention.ms` for `retention.ms`); nil for node keys, and for what
  /// belongs to one topic.
  public var nodeKey: String?
  /// A node key that may be changed while the node runs.
  public var isDynamic = false
  /// A further rule over the text, returning what is wrong with it.
  var rule: (@Sendable (String) -> String?)?

  /// Nil if `value` is legal for this key, else a sentence saying why not.
  public func complaint(about value: String) -> String? {
    let text = Self.trimmed(value)
    func invalid(_ why: String) -> String { "invalid value '\(value)' for \(name): \(why)" }
    switch type {
    case .boolean:
      if !["true", "false"].contains(text.lowercased()) { return invalid("it must be true or false") }
    case .int(let range), .long(let range):
      guard let number = Int64(text) else { return invalid("it must be a whole number") }
      if number < range.lowerBound { return invalid("it must be at least \(range.lowerBound)") }
      if number > range.upperBound { return invalid("it must be at most \(range.upperBound)") }
    case .string(let words):
      if let words, !words.contains(text) { return invalid("it must be one of \(words.joined(separator: ", "))") }
    case .list(let words):
      let items = Self.listItems(text)
      if items.isEmpty { return invalid("it must not be empty") }
      if let strange = items.first(where: { !words.contains($0) }) {
        return invalid("'\(strange)' is not one of \(words.joined(separator: ", "))")
      }
    }
    if let why = rule?(text) { return invalid(why) }
    return nil
  }

  /// The words of a list value, without blanks and empty items.
  public static func listItems(_ value: String) -> [String] {
    value.split(separator: ",").map { trimmed(String($0)) }.filter { !$0.isEmpty }
  }

  /// A value as it is stored: without blanks around it.
  public static func normalized(_ value: String) -> String { trimmed(value) }

  static func trimmed(_ text: String) -> String {
    let isBlank: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D || $0 == 0x0A }
    let utf8 = text.utf8
    guard let first = utf8.firstIndex(where: { !isBlank($0) }), let last = utf8.lastIndex(where: { !isBlank($0) }) else {
      return ""
    }
    return String(text[first...last])
  }

  public static func topicKey(named name: String) -> ConfigurationKey? { topicKeysByName[name] }
  /// The node key with this name or alias.
  public static func nodeKey(named name: String) -> ConfigurationKey? { nodeKeysByName[name] }

  private static let topicKeysByName = Dictionary(uniqueKeysWithValues: topicKeys.map { ($0.name, $0) })
  private static let nodeKeysByName = Dictionary(
    uniqueKeysWithValues: nodeKeys.flatMap { key in ([key.name] + key.aliases).map { ($0, key) } })

  /// The sentence for a name that is in no table, with the nearest one that is.
  public static func unknownName(_ name: String, among keys: [ConfigurationKey], kind: String) -> String {
    let names = keys.flatMap { [$0.name] + $0.aliases }
    let nearest = names.map { ($0, editDistance(name, $0)) }.min { $0.1 < $1.1 }
    // Further than half the name away, a suggestion is a guess.
    if let nearest, nearest.1 <= max(2, name.utf8.count / 2) {
      return "unknown \(kind) configuration '\(name)' (did you mean '\(nearest.0)'?)"
    }
    return "unknown \(kind) configuration '\(name)'"
  }

  private static func editDistance(_ a: String, _ b: String) -> Int {
    // Names are short, but this one came from outside.
    let a = Array(a.utf8.prefix(80))
    let b = Array(b.utf8.prefix(80))
    var row = Array(0...b.count)
    for (i, x) in a.enumerated() {
      var diagonal = row[0]
      row[0] = i + 1
      for (j, y) in b.enumerated() {
        let substituted = diagonal + (x == y ? 0 : 1)
        diagonal = row[j + 1]
        row[j + 1] = min(substituted, row[j] + 1, diagonal + 1)
      }
    }
    return row[b.count]
  }
}
