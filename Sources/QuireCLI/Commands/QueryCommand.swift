internal import ArgumentParser
internal import Export
internal import NIOCore
internal import Query

struct QueryCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "query",
    abstract: "Ask a question in SQL; every topic is a table.",
    discussion: """
      Columns: topic, partition, offset, timestamp (ms), time, key, value, headers. Names with dots or dashes are quoted.

        quire query 'SELECT partition, count(*) FROM plays GROUP BY 1'
        quire query -p user=ann 'SELECT time, value FROM plays WHERE value ->> '"'"'$.user'"'"' = :user ORDER BY offset DESC LIMIT 20'
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

  @Argument(help: "One SQL statement, or - to read it from standard input.")
  var sql: String

  @Option(help: ArgumentHelp("table, json, jsonl or csv.", valueName: "format"))
  var format: RowFormat = .table

  @Option(
    name: .customShort("p"),
    help: ArgumentHelp(
      "Value for a parameter (:name) of the statement; a number is a number, '…' in quotes is text. Repeatable.",
      valueName: "name=value"))
  var parameters: [String] = []

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
    let statement = sql == "-" ? try await Self.standardInput() : sql
    if statement.allSatisfy(\.isWhitespace) { throw ValidationError("the statement is empty") }
    let parameters = try named()
    switch try history.source() {
    case .server(let server):
      try await Interruption.cancelling { [format] in
        let output = OutputStream.standardOutput()
        let body = JSON.object([
          ("sql", .string(statement)),
          ("parameters", .object(parameters.sorted { $0.key < $1.key }.map { ($0.key, $0.value.json) })),
          ("format", .string(format.rawValue)),
        ])
        try await HTTPDoor(server: server).post("/v1/query", body) { bytes in
          try bytes.withUnsafeReadableBytes { try output.write($0) }
          try output.flush()
        }
        try output.flush()
      }
    case .directory(let path):
      try await Interruption.cancelling { [format] in
        try await OfflineHistory.query(statement, parameters, format.outputFormat, dataDirectory: path)
      }
    }
  }

  private static func standardInput() async throws -> String {
    let input = try InputChunks(path: nil)
    var bytes: [UInt8] = []
    while let chunk = try await input.next() { bytes += chunk }
    guard let text = String(validating: bytes, as: UTF8.self) else { throw CommandFailure("the statement is not UTF-8") }
    return text
  }
}

extension SQLParameter {
  var json: JSON {
    switch self {
    case .null: .null
    case .integer(let value): .number(value)
    case .real(let value): .number("\(value)")
    case .text(let text): .string(text)
    // Nothing typed on a command line is a BLOB.
    case .blob(let bytes): .string(String(decoding: bytes, as: UTF8.self))
    }
  }
}
