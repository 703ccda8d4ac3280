/// A part of the statement that SQLite gets, and where in the client's text it comes from.
struct SQLPiece: Sendable {
  var text: String
  var source: Int
}

/// A statement in SQLite's words, with what its text alone tells about its answer.
struct TranslatedSQL: Sendable {
  var sql: String
  /// Where parts of `sql` begin, ascending, and the byte of the client's text each comes from.
  private var places: [(out: Int, source: Int)] = []
  /// By number: what casts and comparisons say of parameters.
  var parameterTypes: [Int: PostgresType]
  var parameterCount: Int
  /// What the select list says; nil where there is none.
  var items: [SelectItem]?

  init(_ pieces: [SQLPiece], parameterTypes: [Int: PostgresType], parameterCount: Int, items: [SelectItem]?) {
    sql = ""
    for piece in pieces {
      if !sql.isEmpty { sql += " " }
      places.append((sql.utf8.count, piece.source))
      sql += piece.text
    }
    self.parameterTypes = parameterTypes
    self.parameterCount = parameterCount
    self.items = items
  }

  /// Asks for the plan instead of the rows.
  mutating func explain() {
    let words = "EXPLAIN QUERY PLAN "
    sql = words + sql
    places = places.map { ($0.out + words.utf8.count, $0.source) }
    items = nil
  }

  /// The byte of the client's text that a byte of `sql` comes from.
  func source(of position: Int) -> Int? { places.last { $0.out <= position }?.source }
}

/// One item of a select list.
struct SelectItem: Hashable, Sendable {
  /// `*` or `t.*`: as many columns as there are.
  var isStar = false
  /// As Postgres would call the column; nil where it is the name that SQLite gives.
  var name: String?
  var type: PostgresType?
  /// The number of the parameter that it is.
  var parameter: Int?
  /// An argument whose type this item has: `max(time)` is what `time` is. Bytes of the client's text.
  var typedAs: Range<Int>?
  /// The item itself, without its alias.
  var range: Range<Int> = 0..<0
}
