internal import ArgumentParser
internal import Export
internal import KafkaClient
internal import Model

struct ColumnCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "column", abstract: "Give a topic's table columns of its own, and indexes.",
    discussion: """
      A column is an expression of SQL over topic, partition, offset, timestamp, time, key, value and headers. With an index, questions
      about its values (=, IN, <, >, BETWEEN) or its words (MATCH) read only the batches that have an answer.

        quire column add plays user TEXT "value ->> '$.user'" --indexed
        quire column add plays key --indexed
        quire column add plays value --fulltext
      """,
    subcommands: [Add.self, Drop.self, List.self])

  private static let key = "quire.columns"

  static func columns(of topic: String, _ client: KafkaClient) async throws -> [DeclaredColumn] {
    let settings = try await client.describeConfiguration(ofTopic: topic, keys: [key])
    let text = settings.first { $0.key == key }?.value ?? ""
    do throws(ColumnSyntaxError) { return try DeclaredColumn.list(text) } catch {
      throw CommandFailure("the columns of topic '\(topic)' are not understood: \(error)")
    }
  }

  static func set(_ columns: [DeclaredColumn], of topic: String, _ client: KafkaClient) async throws {
    try await client.alterConfiguration(ofTopic: topic, [(key, columns.isEmpty ? nil : DeclaredColumn.text(columns))])
  }

  struct Add: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Declare a column, or index one that is there.",
      discussion: """
        TYPE is TEXT, INTEGER, REAL, NUMERIC, BOOLEAN, BLOB, JSON or TIMESTAMPTZ. The columns key and value are there: they take
        no type and no expression. Indexes of what is in the topic already are built in the background.

          quire column add plays user TEXT "value ->> '$.user'" --indexed
        """)

    @Argument(help: "Name of the topic.")
    var topic: String

    @Argument(help: "Name of the column.")
    var name: String

    @Argument(help: "Type of its values.")
    var type: String?

    @Argument(help: "Expression of SQL that gives a record's value.")
    var expression: String?

    @Flag(help: "Find records by its values without reading the others.")
    var indexed = false

    @Flag(help: "Find records by its words (MATCH) without reading the others.")
    var fulltext = false

    @OptionGroup var client: ClientOptions

    func validate() throws { _ = try column() }

    private func column() throws -> DeclaredColumn {
      var definition: DeclaredColumn.Definition?
      if let type {
        guard let known = DeclaredColumn.ColumnType(named: type) else {
          throw ValidationError(
            "'\(type)' is no type: \(DeclaredColumn.ColumnType.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        guard let expression else { throw ValidationError("the column's expression is missing") }
        definition = .init(type: known, expression: expression)
      } else if !DeclaredColumn.indexableFixedNames.contains(name) {
        throw ValidationError("a column needs a type and an expression; only key and value are there already")
      }
      let column = DeclaredColumn(name: name, definition: definition, isIndexed: indexed, isFullText: fulltext)
      do { _ = try DeclaredColumn.list(DeclaredColumn.text([column])) } catch { throw ValidationError("\(error)") }
      return column
    }

    func run() async throws {
      let column = try column()
      try await client.withClient { [topic] client in
        var columns = try await ColumnCommand.columns(of: topic, client)
        if let known = columns.firstIndex(where: { $0.name.lowercased() == column.name.lowercased() }) {
          // The kinds of index on a column that is there are added one by one.
          guard column.definition == nil else {
            throw CommandFailure("topic '\(topic)' has a column \(columns[known].name): drop it first")
          }
          columns[known].isIndexed = columns[known].isIndexed || column.isIndexed
          columns[known].isFullText = columns[known].isFullText || column.isFullText
        } else {
          columns.append(column)
        }
        try await ColumnCommand.set(columns, of: topic, client)
        say(column.definition == nil ? "indexed \(column.name) of '\(topic)'" : "added column \(column.name) to '\(topic)'")
      }
    }
  }

  struct Drop: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Drop a declared column and its indexes; of key and value the indexes.",
      discussion: "  quire column drop plays user")

    @Argument(help: "Name of the topic.")
    var topic: String

    @Argument(help: "Name of the column.")
    var name: String

    @OptionGroup var client: ClientOptions

    func run() async throws {
      try await client.withClient { [topic, name] client in
        var columns = try await ColumnCommand.columns(of: topic, client)
        guard let index = columns.firstIndex(where: { $0.name.lowercased() == name.lowercased() }) else {
          throw CommandFailure("topic '\(topic)' has no declared column or index '\(name)'")
        }
        columns.remove(at: index)
        try await ColumnCommand.set(columns, of: topic, client)
        say("dropped \(name) of '\(topic)'")
      }
    }
  }

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "List a topic's declared columns and indexes.", discussion: "  quire column list plays --format json")

    @Argument(help: "Name of the topic.")
    var topic: String

    @Option(help: ArgumentHelp("table or json.", valueName: "format"))
    var format: ListFormat = .table

    @OptionGroup var client: ClientOptions

    func run() async throws {
      let columns = try await client.withClient { [topic] client in try await ColumnCommand.columns(of: topic, client) }
      let output = OutputStream.standardOutput()
      switch format {
      case .table:
        var table = TextTable([("COLUMN", .left), ("TYPE", .left), ("INDEXES", .left), ("EXPRESSION", .left)])
        for column in columns {
          let indexes = [column.isIndexed ? "values" : nil, column.isFullText ? "words" : nil].compactMap(\.self)
          table.row(
            column.name, column.definition?.type.rawValue ?? "", indexes.joined(separator: ","),
            column.definition?.expression ?? "")
        }
        try output.write(table.text)
      case .json:
        try output.line(
          JSON.array(
            columns.map { column in
              .object([
                ("name", .string(column.name)), ("type", column.definition.map { .string($0.type.rawValue) } ?? .null),
                ("expression", column.definition.map { .string($0.expression) } ?? .null),
                ("indexed", .bool(column.isIndexed)), ("fulltext", .bool(column.isFullText)),
              ])
            }
          ).text)
      }
      try output.flush()
    }
  }
}
