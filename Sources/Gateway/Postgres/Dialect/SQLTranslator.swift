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

  init(text: [UInt8], columnType: @escaping (String) -> PostgresType?) {
    self.text = text
    self.columnType = columnType
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
    var level = SQLLevel(nodes: Self.limitFirst(nodes), translator: self, isTop: isTop, comparedWith: type)
    return try level.rewrite()
  }

  /// Postgres takes OFFSET before LIMIT as well.
  private static func limitFirst(_ nodes: [SQLNode]) -> [SQLNode] {
    guard let offset = nodes.lastIndex(where: { $0.word == "offset" }), offset + 1 < nodes.count,
      let limit = nodes[offset...].firstIndex(where: { $0.word == "limit" || $0.word == "fetch" }), limit - offset <= 3
    else { return nodes }
    return Array(nodes[..<offset] + nodes[limit...] + nodes[offset..<limit])
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
