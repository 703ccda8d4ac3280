/// Says a statement of Postgres' spelling in SQLite's: token by token, by what each means where it stands, never by what the whole
/// looks like. Text without anything of Postgres' own comes out as it went in.
///
/// The structure is Postgres' as far as it matters for that: names with dots, calls, casts behind an operand, select lists. Whether a
/// statement is right is SQLite's to say.
final class SQLTranslator {
  let text: [UInt8]
  /// The type of a column by its name, where all tables agree.
  let columnType: (String) -> PostgresType?
  var parameterTypes: [Int: PostgresType] = [:]
  var parameterCount = 0
  /// Names of functions that stand where a table may, by level: such a name is also that of the function's one column.
  private var tableFunctions: [[String: String]] = []

  /// `user` without parentheses is Postgres' function. Here it is a good name for a column, and the function where there is none.
  let userIsFunction: Bool

  init(text: [UInt8], columnType: @escaping (String) -> PostgresType?, userIsFunction: Bool = false) {
    self.text = text
    self.columnType = columnType
    self.userIsFunction = userIsFunction
  }

  /// One statement, without semicolons.
  func translate(_ nodes: [SQLNode]) throws(PostgresError) -> TranslatedSQL {
    var items: [SelectItem]?
    if let select = nodes.firstIndex(where: { $0.word == "select" }), nodes[..<select].allSatisfy({ $0.word != "values" }) {
      items = SelectList(text: text).items(nodes[(select + 1)...]).map(\.item)
    }
    let pieces = try rewrite(nodes, isTop: true)
    return TranslatedSQL(pieces, parameterTypes: parameterTypes, parameterCount: parameterCount, items: items)
  }

  func rewrite(
    _ nodes: [SQLNode], isTop: Bool = false, comparedWith type: PostgresType? = nil
  ) throws(PostgresError) -> [SQLPiece] {
    tableFunctions.append(Self.tableFunctions(in: nodes))
    defer { tableFunctions.removeLast() }
    var level = SQLLevel(nodes: Self.limitFirst(nodes), translator: self, isTop: isTop, comparedWith: type)
    return try level.rewrite()
  }

  /// Postgres takes OFFSET before LIMIT as well. In `ORDER BY offset LIMIT 5` it is a column.
  private static func limitFirst(_ nodes: [SQLNode]) -> [SQLNode] {
    guard let offset = nodes.lastIndex(where: { $0.word == "offset" }), offset + 1 < nodes.count, nodes[offset + 1].isCount,
      let limit = nodes[offset...].firstIndex(where: { $0.word == "limit" || $0.word == "fetch" }), limit - offset <= 3
    else { return nodes }
    return Array(nodes[..<offset] + nodes[limit...] + nodes[offset..<limit])
  }

  /// `FROM unnest(x) AS a`, `FROM generate_series(1, 3) AS g(i)`: the function's name, and the column's where it has another.
  private static func tableFunctions(in nodes: [SQLNode]) -> [String: String] {
    var names: [String: String] = [:]
    var isInFrom = false
    for (index, node) in nodes.enumerated() {
      guard let word = node.word else { continue }
      isInFrom = SQLWords.isInFrom(after: word, was: isInFrom)
      guard isInFrom, SQLWords.tableFunctions.contains(word) || SQLWords.valueFunctions.contains(word), index + 1 < nodes.count,
        nodes[index + 1].parenthesized != nil
      else {
        continue
      }
      guard let (alias, next) = alias(in: nodes, at: index + 2) else {
        names[word] = word
        continue
      }
      names[alias] = alias
      if next < nodes.count, let column = nodes[next].parenthesized?.first?.name { names[column] = alias }
    }
    return names
  }

  /// `AS name` or `name`, with the place behind it.
  static func alias(in nodes: [SQLNode], at index: Int) -> (name: String, next: Int)? {
    let place = index < nodes.count && nodes[index].word == "as" ? index + 1 : index
    guard place < nodes.count, let name = nodes[place].name, nodes[place].word.map(SQLWords.reserved.contains) != true else {
      return nil
    }
    return (name, place + 1)
  }

  /// What a name means that is a table function's, or its column's.
  func column(ofTableFunction parts: [String]) -> String? {
    for level in tableFunctions.reversed() {
      guard let last = parts.last, let table = level[last] else { continue }
      if parts.count == 1 || (parts.count == 2 && parts[0] == table && last != table) { return "\(Self.quoted(table)).value" }
    }
    return nil
  }

  func failure(_ code: SQLState, _ message: String, at place: Int) -> PostgresError {
    PostgresError(code, message, position: SQLLexer.characters(before: place, in: text) + 1)
  }

  func parameter(_ number: Int, is type: PostgresType?) {
    parameterCount = max(parameterCount, number)
    if let type, parameterTypes[number] == nil { parameterTypes[number] = type }
  }

  static func quoted(_ name: String) -> String { "\"\(name.replacing("\"", with: "\"\""))\"" }
  static func literal(_ text: String) -> String { "'\(text.replacing("'", with: "''"))'" }
}
