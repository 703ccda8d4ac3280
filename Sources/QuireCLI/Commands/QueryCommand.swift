internal import ArgumentParser
internal import Glibc
internal import Query

struct QueryCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "query",
    abstract: "Ask a question in SQL; every topic is a table.",
    discussion: """
      Columns: topic, partition, offset, timestamp (ms), time, key, value, headers. Names with dots or dashes are quoted.

        quire query 'SELECT partition, count(*) FROM plays GROUP BY 1'
        quire query -p user=ann 'SELECT time, value FROM plays WHERE value ->> '"'"'$.user'"'"' = :user ORDER BY offset DESC LIMIT 20'

      Without a statement it is a prompt (.help tells more), and where standard input is no terminal, statements are read from it, each \
      ended by a semicolon, and run one after the other up to the first that fails.

        quire query --follow 'SELECT time, value FROM plays WHERE value ->> '"'"'$.user'"'"' = '"'"'ann'"'"''

      prints the rows of records that come in from now on, each once, until Ctrl-C; --from beginning, an offset or a time goes back.
      """)

  /// The formats of rows, by the names that the query room has for them.
  enum RowFormat: String, ExpressibleByArgument, CaseIterable, Sendable {
    case table, json, jsonl, csv

    var outputFormat: OutputFormat {
      switch self {
      case .table: .table
      case .json: .json
      case .jsonl: .jsonl
      case .csv: .csv
      }
    }
  }

  @Argument(help: "One SQL statement; without it a prompt, or statements from standard input (also: -).")
  var sql: String?

  @Option(help: ArgumentHelp("table, json, jsonl or csv.", valueName: "format"))
  var format: RowFormat = .table

  @Option(
    name: .customShort("p"),
    help: ArgumentHelp(
      "Value for a parameter (:name) of the statement; a number is a number, '…' in quotes is text. Repeatable.",
      valueName: "name=value"))
  var parameters: [String] = []

  @Flag(help: "Go on with new rows as they come in, until Ctrl-C; for SELECT … FROM one topic, with or without WHERE.")
  var follow = false

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "Where following begins: end (default: what comes in from now on), beginning, an offset, a time, -10m.",
      valueName: "position"))
  var from: String?

  @OptionGroup var limits: LimitOptions

  @OptionGroup var history: HistoryOptions

  func validate() throws {
    _ = try named()
    if let from {
      if !follow { throw ValidationError("--from belongs to --follow; a range of a query stands in its WHERE") }
      do throws(RangeError) { _ = try RangeBound(from, now: 0) } catch { throw ValidationError(error.description) }
    }
    if follow, sql == nil || sql == "-" { throw ValidationError("--follow takes one statement") }
    if follow, history.dataDir != nil {
      throw ValidationError("--follow needs a running node: nothing tells of new records in a data directory")
    }
  }

  private func named() throws -> [String: SQLParameter] {
    var named: [String: SQLParameter] = [:]
    for text in parameters {
      guard let equals = text.firstIndex(of: "="), equals != text.startIndex else {
        throw ValidationError("'\(text)' is not NAME=VALUE (-p)")
      }
      var name = text[..<equals]
      if let sign = name.first, ":$@".contains(sign) { name.removeFirst() }
      named[String(name)] = SQLParameter(typed: String(text[text.index(after: equals)...]))
    }
    return named
  }

  func run() async throws {
    let source = try history.source()
    let question = Question(
      sql: "", parameters: try named(), format: format.outputFormat, limits: try limits.limits)
    guard let sql, sql != "-" else {
      let isTyped = sql == nil && isatty(STDIN_FILENO) == 1
      return try await isTyped ? Prompt.run(source, question) : StatementScript.run(source, question)
    }
    if sql.allSatisfy(\.isWhitespace) { throw ValidationError("the statement is empty") }
    var asked = question
    asked.sql = sql
    asked.followFrom = follow ? from ?? "end" : nil
    try await Self.print(asked, source)
  }

  /// Asks and prints the answer, until it ends, nobody reads it any more, or Ctrl-C.
  private static func print(_ question: Question, _ source: HistoryOptions.Source) async throws {
    try await Interruption.cancelling {
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await answer(question, source) }
        // Whoever waits for rows writes nothing, and would not find out.
        if question.followFrom != nil { group.addTask { try await OutputStream.waitUntilClosed(STDOUT_FILENO) } }
        defer { group.cancelAll() }
        try await group.next()
      }
    }
  }

  private static func answer(_ question: Question, _ source: HistoryOptions.Source) async throws {
    let output = OutputStream.standardOutput()
    try await source.ask(question) { bytes in
      try output.write(bytes)
      try output.flush()
    }
  }
}
