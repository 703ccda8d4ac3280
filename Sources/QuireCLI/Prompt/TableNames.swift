internal import Dispatch
internal import Query
internal import Synchronization

/// The tables there are and their columns. For completion, which cannot wait, as they were known last; newer ones are asked for meanwhile.
/// Used by one thread.
final class TableNames {
  private enum Subject: Hashable {
    case topics
    case columns(of: String)
  }
  private struct Known {
    var names: [Subject: [String]] = [:]
    var asked: [Subject: ContinuousClock.Instant] = [:]
    var underWay: Set<Subject> = []
  }
  /// Answers come in on any thread.
  private final class Memory: Sendable {
    private let known = Mutex(Known())

    func names(of subject: Subject) -> [String] { known.withLock { $0.names[subject] ?? [] } }

    /// - Returns: whether newer names are to be asked for, by the caller.
    func begin(_ subject: Subject) -> Bool {
      known.withLock { known in
        if let asked = known.asked[subject], ContinuousClock.now - asked < TableNames.keptTime { return false }
        return known.underWay.insert(subject).inserted
      }
    }

    /// - Parameter names: nil where they could not be had: that is not tried again with each key either.
    func end(_ subject: Subject, _ names: [String]?) {
      known.withLock { known in
        known.underWay.remove(subject)
        known.asked[subject] = .now
        if let names { known.names[subject] = names }
      }
    }
  }

  private let source: HistoryOptions.Source
  private let running: RunningWork
  private let memory = Memory()
  private static let keptTime = Duration.seconds(10)
  /// For a question that is asked while somebody types.
  private static let timeMilliseconds = 2000
  /// A node that is well has answered by then, and nobody who types has noticed.
  private static let blinkMilliseconds = 150

  init(_ source: HistoryOptions.Source, _ running: RunningWork) {
    self.source = source
    self.running = running
  }

  /// Names of topics' tables, as the node or the directory has them.
  func topicNames() throws -> [String] {
    try ask(.topics)
  }

  /// The columns that `*` stands for.
  func columnNames(of table: String) throws -> [String] {
    try ask(.columns(of: table))
  }

  /// The names of topics that are known now; a moment later there may be more.
  var knownTopics: [String] { known(.topics) }
  func knownColumns(of table: String) -> [String] { known(.columns(of: table)) }

  private func known(_ subject: Subject) -> [String] {
    if memory.begin(subject) {
      let answered = DispatchSemaphore(value: 0)
      let (memory, source) = (memory, source)
      Task.detached {
        memory.end(subject, try? await TableNames.names(of: subject, source))
        answered.signal()
      }
      _ = answered.wait(timeout: .now() + .milliseconds(Self.blinkMilliseconds))
    }
    return memory.names(of: subject)
  }

  private static func names(of subject: Subject, _ source: HistoryOptions.Source) async throws -> [String] {
    names(subject, try await lines(sql(subject), [:], .csv, source))
  }

  private func ask(_ subject: Subject) throws -> [String] {
    let names = Self.names(subject, try lines(Self.sql(subject), [:], .csv))
    memory.end(subject, names)
    return names
  }

  private static func sql(_ subject: Subject) -> String {
    switch subject {
    case .topics: "SELECT topic FROM quire_topics ORDER BY topic"
    case .columns(let table): "SELECT * FROM \"\(table.replacing("\"", with: "\"\""))\" LIMIT 0"
    }
  }

  private static func names(_ subject: Subject, _ lines: [String]) -> [String] {
    switch subject {
    case .topics:
      TopicTableNames.names(of: Array(lines.dropFirst()), taken: Set(SystemTableColumns.all.map(\.table))).map(\.name).sorted()
    case .columns: fields(lines.first ?? "")
    }
  }

  /// The types of the columns that are declared for a topic, by name.
  func declaredTypes(of table: String) throws -> [String: String] {
    // A topic that cannot be a table by its name is `name@1`.
    let topic = String(table.prefix { $0 != "@" })
    let rows = try lines(
      "SELECT name, type FROM quire_columns WHERE topic = :topic AND type IS NOT NULL", ["topic": .text(topic)], .csv)
    return Dictionary(rows.dropFirst().map(Self.fields).map { ($0[0], $0.last ?? "") }) { first, _ in first }
  }

  func lines(_ sql: String, _ parameters: [String: SQLParameter], _ format: OutputFormat) throws -> [String] {
    let source = source
    return try running.wait { try await Self.lines(sql, parameters, format, source) }
  }

  private static func lines(
    _ sql: String, _ parameters: [String: SQLParameter], _ format: OutputFormat, _ source: HistoryOptions.Source
  ) async throws -> [String] {
    let question = Question(
      sql: sql, parameters: parameters, format: format, limits: QuestionLimits(timeMilliseconds: timeMilliseconds))
    let bytes = Mutex<[UInt8]>([])
    try await source.ask(question) { more in bytes.withLock { $0 += more } }
    return bytes.withLock { String(decoding: $0, as: UTF8.self) }.split(separator: "\n").map(String.init)
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
