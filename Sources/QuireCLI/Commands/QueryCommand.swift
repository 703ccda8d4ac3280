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

  @OptionGroup var limits: LimitOptions

  @OptionGroup var history: HistoryOptions

  func validate() throws { _ = try named() }

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
    try await Interruption.cancelling {
      var question = question
      question.sql = sql
      let output = OutputStream.standardOutput()
      try await source.ask(question) { bytes in
        try output.write(bytes)
        try output.flush()
      }
    }
  }
}
