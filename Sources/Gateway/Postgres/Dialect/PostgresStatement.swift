/// A statement as the door understands it.
enum PostgresStatement: Sendable {
  case query(QueryText)
  case copyOut(QueryText, CopyFormat)
  case declare(cursor: String, QueryText)
  /// FETCH, or MOVE, which passes over rows without sending them; nil is all that are left.
  case fetch(cursor: String, count: Int?, isMove: Bool)
  case closeCursor(String?)
  case begin(tag: String)
  case commit
  case rollback
  /// SAVEPOINT and its like: with nothing to write, there is nothing to go back to.
  case savepoint(tag: String, recovers: Bool)
  /// An empty list of values is DEFAULT.
  case set(name: String, values: [String])
  case reset(String?)
  case show(String)
  case deallocate(String?)
  case discard(isAll: Bool)
  /// Accepted, without anything to do.
  case nothing(tag: String)

  /// SQL that gives rows.
  struct QueryText: Sendable {
    /// All that the client sent, which places are counted in.
    var text: [UInt8]
    var translated: TranslatedSQL
    /// `SELECT`, `EXPLAIN`: the word of its completion.
    var tag = "SELECT"
    var nodes: [SQLNode] = []

    /// The same with `user` as the function that Postgres has.
    func withUserFunction(_ columnType: @escaping (String) -> PostgresType?) -> QueryText? {
      guard !nodes.isEmpty,
        let translated = try? SQLTranslator(text: text, columnType: columnType, userIsFunction: true).translate(nodes)
      else { return nil }
      return QueryText(text: text, translated: translated, tag: tag)
    }
  }

  var isTransactionEnd: Bool {
    switch self {
    case .commit, .rollback: true
    case .savepoint(_, let recovers): recovers
    default: false
    }
  }
}

/// Cuts what a client sent into statements and says what each is.
struct PostgresScript {
  private let text: [UInt8]
  private let columnType: (String) -> PostgresType?

  static func parse(
    _ text: String, columnType: @escaping (String) -> PostgresType?
  ) throws(PostgresError) -> [PostgresStatement] {
    let script = PostgresScript(text: Array(text.utf8), columnType: columnType)
    var statements: [PostgresStatement] = []
    for tokens in try SQLLexer.tokens(text).split(whereSeparator: { $0.kind == .semicolon }) {
      statements.append(try script.statement(tokens))
    }
    return statements
  }

  private func statement(_ tokens: ArraySlice<SQLToken>) throws(PostgresError) -> PostgresStatement {
    let nodes = try SQLNode.nodes(tokens, in: text)
    let words = nodes.prefix(4).map { $0.word ?? "" }
    let second = words.count > 1 ? words[1] : ""
    switch words[0] {
    case "begin", "start": return .begin(tag: words[0] == "begin" ? "BEGIN" : "START TRANSACTION")
    case "commit", "end": return .commit
    case "rollback", "abort":
      let isSavepoint = nodes.contains { $0.word == "to" }
      return isSavepoint ? .savepoint(tag: "ROLLBACK", recovers: true) : .rollback
    case "savepoint": return .savepoint(tag: "SAVEPOINT", recovers: false)
    case "release": return .savepoint(tag: "RELEASE", recovers: false)
    case "set": return try set(nodes)
    case "reset": return .reset(second == "all" ? nil : settingName(nodes[1...]))
    case "show": return .show(second == "all" ? "all" : settingName(nodes[1...]))
    case "discard": return .discard(isAll: second == "all")
    case "deallocate":
      let name = nodes.last?.name ?? ""
      return .deallocate(nodes.last?.word == "all" ? nil : name)
    case "close": return .closeCursor(second == "all" ? nil : nodes.last?.name ?? "")
    case "declare": return try declare(nodes)
    case "fetch", "move": return try fetch(nodes, isMove: words[0] == "move")
    case "copy": return try copy(nodes)
    case "listen", "unlisten", "notify", "checkpoint", "analyze", "vacuum", "lock":
      return .nothing(tag: words[0].uppercased())
    case "select", "values", "with", "": return .query(try query(nodes, tag: "SELECT"))
    case "table" where nodes.count > 1:
      return .query(try query(self.words("select * from", at: nodes[0].start) + nodes[1...], tag: "SELECT"))
    case "explain": return .query(try explain(nodes))
    case let word where Self.writing.contains(word):
      throw PostgresError(
        .readOnlyTransaction, "cannot execute \(word.uppercased()) in a read-only transaction", position: position(nodes[0]))
    default:
      throw PostgresError(
        .syntaxError, "syntax error at or near \"\(near(nodes[0]))\"", position: position(nodes[0]))
    }
  }

  private static let writing: Set<String> = [
    "insert", "update", "delete", "merge", "create", "drop", "alter", "truncate", "grant", "revoke", "comment", "reindex",
    "cluster",
    "refresh", "import", "security", "reassign", "call", "do", "prepare", "execute", "replace", "attach", "detach", "pragma",
    "load",
  ]

  private func position(_ node: SQLNode) -> Int { SQLLexer.characters(before: node.start, in: text) + 1 }

  private func range(_ node: SQLNode) -> Range<Int> {
    switch node {
    case .token(let token): token.range
    case .group(let group): group.range
    }
  }

  private func near(_ node: SQLNode) -> String { String(decoding: text[range(node)].prefix(40), as: UTF8.self) }

  /// Words that the client did not write, standing at a place where it wrote something that means them.
  private func words(_ words: String, at place: Int) -> [SQLNode] {
    words.split(separator: " ").map { word in
      .token(SQLToken(kind: word == "*" ? .symbol("*") : .word(String(word)), range: place..<place))
    }
  }

  private func query(_ nodes: [SQLNode], tag: String) throws(PostgresError) -> PostgresStatement.QueryText {
    let translated = try SQLTranslator(text: text, columnType: columnType).translate(nodes)
    return PostgresStatement.QueryText(text: text, translated: translated, tag: tag, nodes: nodes)
  }

  private func explain(_ nodes: [SQLNode]) throws(PostgresError) -> PostgresStatement.QueryText {
    var rest = nodes[1...]
    if rest.first?.parenthesized != nil { rest.removeFirst() }
    while let word = rest.first?.word, ["analyze", "verbose", "query", "plan"].contains(word) { rest.removeFirst() }
    guard !rest.isEmpty else { throw PostgresError(.syntaxError, "syntax error at end of input", position: position(nodes[0])) }
    var translated = try query(Array(rest), tag: "EXPLAIN")
    translated.translated.explain()
    return translated
  }

  private func declare(_ nodes: [SQLNode]) throws(PostgresError) -> PostgresStatement {
    guard nodes.count > 3, let cursor = nodes[1].name, let separator = nodes.firstIndex(where: { $0.word == "for" }),
      separator + 1 < nodes.count
    else { throw PostgresError(.syntaxError, "syntax error in DECLARE", position: position(nodes[0])) }
    return .declare(cursor: cursor, try query(Array(nodes[(separator + 1)...]), tag: "SELECT"))
  }

  /// `FETCH [NEXT | n | ALL | FORWARD [n | ALL]] [FROM | IN] cursor`, and the same of MOVE. Rows are not kept, so nothing goes back.
  private func fetch(_ nodes: [SQLNode], isMove: Bool) throws(PostgresError) -> PostgresStatement {
    guard nodes.count > 1, let cursor = nodes.last?.name else {
      throw PostgresError(.syntaxError, "syntax error in \(isMove ? "MOVE" : "FETCH")", position: position(nodes[0]))
    }
    var rest = nodes[1...].dropLast()
    if let word = rest.last?.word, word == "from" || word == "in" { rest.removeLast() }
    if rest.first?.word == "forward" || (rest.first?.word == "next" && rest.count == 1) { rest.removeFirst() }
    guard let first = rest.first else { return .fetch(cursor: cursor, count: 1, isMove: isMove) }
    if rest.count == 1 {
      if first.word == "all" { return .fetch(cursor: cursor, count: nil, isMove: isMove) }
      if case .token(let token) = first, case .number(let text) = token.kind, let count = Int(text) {
        return .fetch(cursor: cursor, count: count, isMove: isMove)
      }
    }
    throw PostgresError(
      .objectNotInPrerequisiteState, "cursor can only scan forward",
      hint: "FETCH and MOVE take NEXT, a number, ALL or FORWARD here.", position: position(first))
  }

  private func copy(_ nodes: [SQLNode]) throws(PostgresError) -> PostgresStatement {
    guard let to = nodes.firstIndex(where: { $0.word == "to" }), to + 1 < nodes.count, to > 1 else {
      throw PostgresError(
        .readOnlyTransaction, "cannot execute COPY FROM in a read-only transaction", position: position(nodes[0]))
    }
    guard nodes[to + 1].word == "stdout" else {
      throw PostgresError(.featureNotSupported, "COPY goes to STDOUT only", position: position(nodes[to + 1]))
    }
    let format = try CopyFormat(Array(nodes[(to + 2)...]))
    if let inside = nodes[1].parenthesized, to == 2 { return .copyOut(try query(inside, tag: "COPY"), format) }
    // `COPY table (columns) TO STDOUT`.
    var table = Array(nodes[1..<to])
    var columns = words("*", at: nodes[0].start)
    if let list = table.last?.parenthesized {
      columns = list
      table.removeLast()
    }
    let select = words("select", at: nodes[0].start) + columns + words("from", at: nodes[0].start) + table
    return .copyOut(try query(select, tag: "COPY"), format)
  }

  // Settings

  private func settingName(_ nodes: ArraySlice<SQLNode>) -> String {
    let words = nodes.compactMap(\.name)
    switch words.first {
    case "time" where words.count == 2: return "timezone"
    case "transaction" where words.dropFirst().first == "isolation": return "transaction_isolation"
    case "session" where words.dropFirst().first == "authorization": return "session_authorization"
    default: return words.joined(separator: ".").lowercased()
    }
  }

  private func set(_ nodes: [SQLNode]) throws(PostgresError) -> PostgresStatement {
    var rest = nodes[1...]
    if let word = rest.first?.word, word == "session" || word == "local", rest.count > 1, rest.dropFirst().first?.symbol == nil
    {
      rest.removeFirst()
    }
    switch rest.first?.word {
    case "transaction", "characteristics", "authorization", "role", "constraints": return .nothing(tag: "SET")
    case "time" where rest.dropFirst().first?.word == "zone": return .set(name: "timezone", values: values(rest.dropFirst(2)))
    case "names": return .set(name: "client_encoding", values: values(rest.dropFirst()))
    default: break
    }
    guard let separator = rest.firstIndex(where: { $0.word == "to" || $0.symbol == "=" }), separator > rest.startIndex else {
      throw PostgresError(.syntaxError, "syntax error in SET", position: position(nodes[0]))
    }
    return .set(name: settingName(rest[..<separator]), values: values(rest[(separator + 1)...]))
  }

  private func values(_ nodes: ArraySlice<SQLNode>) -> [String] {
    if nodes.count == 1, nodes.first?.word == "default" { return [] }
    return SQLNode.split(Array(nodes)).map { part in
      part.map { node in node.string ?? node.name ?? near(node) }.joined()
    }
  }
}
