internal import Query
internal import Synchronization

/// The tables there are and their columns, asked when they are first wanted and kept for a while: for completion, which cannot wait.
final class TableNames {
  private let source: HistoryOptions.Source
  private let running: RunningWork
  private var topics: (names: [String], asked: ContinuousClock.Instant)?
  private var columns: [String: [String]] = [:]
  private static let keptTime = Duration.seconds(10)
  /// For a question that is asked while somebody types.
  private static let timeMilliseconds = 2000

  init(_ source: HistoryOptions.Source, _ running: RunningWork) {
    self.source = source
    self.running = running
  }

  /// Names of topics, as the node or the directory has them.
  func topicNames() throws -> [String] {
    if let topics, ContinuousClock.now - topics.asked < Self.keptTime { return topics.names }
    let names = try lines("SELECT topic FROM quire_topics ORDER BY topic", [:], .csv).dropFirst().map { $0 }
    topics = (names, .now)
    columns = [:]
    return names
  }

  /// The columns that `*` stands for.
  func columnNames(of table: String) throws -> [String] {
    if let known = columns[table] { return known }
    let quoted = table.replacing("\"", with: "\"\"")
    let header = try lines("SELECT * FROM \"\(quoted)\" LIMIT 0", [:], .csv).first ?? ""
    let names = Self.fields(header)
    columns[table] = names
    return names
  }

  /// The types of the columns that are declared for a topic, by name.
  func declaredTypes(of topic: String) throws -> [String: String] {
    let rows = try lines(
      "SELECT name, type FROM quire_columns WHERE topic = :topic AND type IS NOT NULL", ["topic": .text(topic)], .csv)
    return Dictionary(rows.dropFirst().map(Self.fields).map { ($0[0], $0.last ?? "") }) { first, _ in first }
  }

  func lines(_ sql: String, _ parameters: [String: SQLParameter], _ format: OutputFormat) throws -> [String] {
    let question = Question(
      sql: sql, parameters: parameters, format: format, limits: QuestionLimits(timeMilliseconds: Self.timeMilliseconds))
    let source = source
    let bytes = try running.wait {
      let bytes = Mutex<[UInt8]>([])
      try await source.ask(question) { more in bytes.withLock { $0 += more } }
      return bytes.withLock { $0 }
    }
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
  }

  /// The fields of one line of CSV.
  private static func fields(_ line: String) -> [String] {
    var fields = [""]
    var isQuoted = false
    for character in line {
      switch character {
      case "\"": isQuoted.toggle()
      case "," where !isQuoted: fields.append("")
      default: fields[fields.count - 1].append(character)
      }
    }
    return fields
  }
}
