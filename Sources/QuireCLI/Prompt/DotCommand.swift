internal import Glibc
internal import Query

/// What begins with a dot at a prompt or in a script.
enum DotCommand {
  static let help: [(usage: String, meaning: String)] = [
    (".explain SQL", "how a statement is read"),
    (".format table|json|jsonl|csv", "how rows are printed"),
    (".help", "this"),
    (".param set NAME VALUE", "the value of :NAME in statements; .param list, .param clear [NAME]"),
    (".quit", "leave; so does Ctrl-D"),
    (".read FILE", "run the statements of a file"),
    (".schema [TABLE]", "columns and their types"),
    (".tables [PATTERN]", "topics and system tables; * and ? stand for anything"),
    (".timer on|off", "how long statements take"),
  ]

  static var names: [String] { help.map { String($0.usage.prefix { $0 != " " }) } }

  static func run(_ line: String, _ dialogue: Dialogue) throws {
    let words = Self.words(line)
    let arguments = Array(words.dropFirst())
    switch (words.first ?? ".", arguments.count) {
    case (".help", _): try show(help.map { [$0.usage, $0.meaning] })
    case (".quit", _), (".exit", _): throw Dialogue.Quit()
    case (".tables", 0...1): try tables(arguments.first, dialogue)
    case (".schema", 0): for table in try allTables(dialogue) { try schema(table, dialogue) }
    case (".schema", 1): try schema(arguments[0], dialogue)
    case (".format", 0): try show([[dialogue.question.format.rawValue]])
    case (".format", 1):
      guard let format = OutputFormat(rawValue: arguments[0]) else { throw usage(".format") }
      dialogue.question.format = format
    case (".timer", 1):
      guard ["on", "off"].contains(arguments[0]) else { throw usage(".timer") }
      dialogue.isTimed = arguments[0] == "on"
    case (".param", _): try parameters(arguments, dialogue)
    case (".read", 1): try read(arguments[0], dialogue)
    case (".explain", 1...): try explain(line, dialogue)
    case (let name, _):
      guard names.contains(name) else {
        throw Dialogue.Failure(message: "there is no command \(name); .help shows those there are")
      }
      throw usage(name)
    }
  }

  /// Words between white space; quotes, single or double, keep theirs together.
  static func words(_ line: String) -> [String] {
    var words: [String] = []
    var quote: Character?
    var isWithin = false
    for character in line {
      if let end = quote {
        if character == end { quote = nil } else { words[words.count - 1].append(character) }
      } else if character.isWhitespace {
        isWithin = false
      } else {
        if !isWithin { words.append("") }
        isWithin = true
        if character == "'" || character == "\"" { quote = character } else { words[words.count - 1].append(character) }
      }
    }
    return words
  }

  private static func usage(_ name: String) -> Dialogue.Failure {
    Dialogue.Failure(message: "usage: \(help.first { $0.usage.hasPrefix(name) }?.usage ?? name)")
  }

  // Tables

  private static func allTables(_ dialogue: Dialogue) throws -> [String] {
    do {
      return try dialogue.tables.topicNames() + SystemTableColumns.all.map(\.table)
    } catch { throw Dialogue.failure(error, of: "") }
  }

  private static func tables(_ pattern: String?, _ dialogue: Dialogue) throws {
    let wildcard = pattern?.replacing("%", with: "*")
    let names = try allTables(dialogue).filter { name in
      wildcard.map { fnmatch($0, name, 1 << 4) == 0 } ?? true
    }
    try show(names.map { [$0] })
  }

  private static func schema(_ table: String, _ dialogue: Dialogue) throws {
    let names: [String]
    let declared: [String: String]
    do {
      names = try dialogue.tables.columnNames(of: table)
      declared = try dialogue.tables.declaredTypes(of: table)
    } catch { throw Dialogue.failure(error, of: "") }
    let system = SystemTableColumns.all.first { $0.table == table.lowercased() }
    var lines = names.map { name -> String in
      let known = system.map { $0.columns.first { $0.name == name }.map { ($0.kind.rawValue, false) } }
      let type =
        known ?? TopicTableColumns.all.first { $0.name == name && !$0.isHidden }.map { ($0.declaredType, $0.isNotNull) }
        ?? declared[name].map { ($0, false) }
      return [name == "offset" ? "\"offset\"" : name, type?.0 ?? "", type?.1 == true ? "NOT NULL" : ""]
        .filter { !$0.isEmpty }.joined(separator: " ")
    }
    if system == nil {
      lines += TopicTableColumns.all.filter(\.isHidden).map { "\($0.name) \($0.declaredType) HIDDEN" }
    }
    let quoted = SQLNames.quoted(table)
    try show(
      [["CREATE TABLE \(quoted) ("]] + lines.indices.map { ["  " + lines[$0] + ($0 < lines.count - 1 ? "," : "")] } + [[");"]])
  }

  // Settings

  private static func parameters(_ arguments: [String], _ dialogue: Dialogue) throws {
    func name(_ text: String) -> String { text.first.map { ":$@".contains($0) } == true ? String(text.dropFirst()) : text }
    switch (arguments.first, arguments.count) {
    case ("set", 3): dialogue.question.parameters[name(arguments[1])] = SQLParameter(typed: arguments[2])
    case ("list", 1), (nil, 0):
      try show(dialogue.question.parameters.sorted { $0.key < $1.key }.map { [":\($0.key)", $0.value.typed] })
    case ("clear", 1): dialogue.question.parameters = [:]
    case ("clear", 2): dialogue.question.parameters[name(arguments[1])] = nil
    default: throw usage(".param")
    }
  }

  private static func explain(_ line: String, _ dialogue: Dialogue) throws {
    var splitter = StatementSplitter()
    let prefix = "EXPLAIN QUERY PLAN "
    let text = prefix + line.drop { !$0.isWhitespace }.drop { $0.isWhitespace }
    for statement in splitter.take(text.utf8) + [splitter.finish()].compactMap(\.self) { try dialogue.run(statement) }
  }

  private static func read(_ path: String, _ dialogue: Dialogue) throws {
    guard dialogue.depth < 10 else { throw Dialogue.Failure(message: "files that read files are too deep") }
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw Dialogue.Failure(message: "cannot read '\(path)': \(systemError())") }
    dialogue.depth += 1
    defer {
      dialogue.depth -= 1
      close(descriptor)
    }
    do { try StatementScript.run(PlainLines(descriptor), dialogue) } catch var failure as Dialogue.Failure {
      failure.message = "\(path): line \(failure.line ?? 0): \(failure.message)"
      throw failure
    }
  }

  private static func show(_ rows: [[String]]) throws {
    let width = rows.map { $0.count > 1 ? $0[0].count : 0 }.max() ?? 0
    let output = OutputStream.standardOutput()
    for row in rows {
      let first = row[0]
      try output.line(row.count > 1 ? first + String(repeating: " ", count: width - first.count + 2) + row[1] : first)
    }
    try output.flush()
  }
}

/// Names as SQL has them.
enum SQLNames {
  /// As it is where that is a name, else in double quotes.
  static func quoted(_ name: String) -> String {
    let isPlain =
      !name.isEmpty && !name.first!.isNumber
      && name.utf8.allSatisfy {
        $0 == 0x5F || (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0)
      }
    return isPlain && !Completer.keywords.contains(name.uppercased()) ? name : "\"\(name.replacing("\"", with: "\"\""))\""
  }
}

extension SQLParameter {
  /// As `.param set` and `-p` take it.
  var typed: String {
    switch self {
    case .null: "NULL"
    case .integer(let value): "\(value)"
    case .real(let value): "\(value)"
    case .text(let text): SQLParameter(typed: text) == self ? text : "'\(text.replacing("'", with: "''"))'"
    case .blob(let bytes): "\(bytes.count) bytes"
    }
  }
}
