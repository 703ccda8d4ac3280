internal import Query

/// What can be typed next: tables after FROM and JOIN, else columns of the tables that the statement names, functions and keywords.
struct Completer {
  private let tables: TableNames

  init(_ tables: TableNames) { self.tables = tables }

  /// - Parameters:
  ///   - statement: everything typed of it so far.
  ///   - line: its last line.
  ///   - cursor: a byte of the line.
  func complete(_ statement: String, line: String, cursor: Int) -> LineEditor.Completion {
    let before = String(decoding: Array(line.utf8).prefix(cursor), as: UTF8.self)
    let word = String(before.reversed().prefix { Self.isWord($0) }.reversed())
    let isQuoted = word.hasPrefix("\"")
    let plain = isQuoted ? String(word.dropFirst()) : word
    let candidates: [String]
    let earlier = before.dropLast(word.count)
    if before.hasPrefix(".") {
      candidates = Self.afterDot(earlier, tables)
    } else {
      let last = Self.words(String(earlier)).last?.uppercased() ?? Self.words(statement).dropLast().last?.uppercased()
      if isQuoted || last == "FROM" || last == "JOIN" {
        candidates = tableNames.map { isQuoted ? $0 : SQLNames.quoted($0) }
      } else {
        candidates = columns(of: statement) + tableNames.map { SQLNames.quoted($0) } + Self.functions + Self.keywords
      }
    }
    return Self.choose(plain, candidates, closing: isQuoted ? "\"" : "")
  }

  private static func choose(_ word: String, _ candidates: [String], closing: String) -> LineEditor.Completion {
    let lowered = word.lowercased()
    var seen: Set<String> = []
    let matching = candidates.filter { $0.lowercased().hasPrefix(lowered) && seen.insert($0.lowercased()).inserted }
    guard let first = matching.first else { return LineEditor.Completion() }
    // A keyword goes on in the case it was begun in.
    let isLower = !word.isEmpty && word == lowered
    func spelled(_ candidate: String) -> String { isLower && keywords.contains(candidate) ? candidate.lowercased() : candidate }
    if matching.count == 1 {
      let isCall = first.hasSuffix("(")
      return LineEditor.Completion(typed: spelled(first).dropFirst(word.count) + closing + (isCall ? "" : " "))
    }
    let common = matching.dropFirst().reduce(spelled(first)) { common, next in
      String(zip(common, spelled(next)).prefix { $0.lowercased() == $1.lowercased() }.map(\.0))
    }
    if common.count > word.count { return LineEditor.Completion(typed: String(common.dropFirst(word.count))) }
    return LineEditor.Completion(shown: Array(matching.prefix(200)).map(spelled))
  }

  /// All that are known.
  private var tableNames: [String] { tables.knownTopics + SystemTableColumns.all.map(\.table) }

  private func columns(of statement: String) -> [String] {
    let mentioned = Set(Self.words(statement).map { $0.replacing("\"", with: "").lowercased() })
    let named = tableNames.filter { mentioned.contains($0.lowercased()) }
    if named.isEmpty { return TopicTableColumns.all.map(\.name) }
    return named.prefix(4).flatMap { name in
      let known = tables.knownColumns(of: name)
      if name.hasPrefix("quire_") { return known }
      return known.isEmpty
        ? TopicTableColumns.all.map(\.name) : known + TopicTableColumns.all.filter(\.isHidden).map(\.name)
    }
  }

  private static func afterDot(_ earlier: Substring, _ tables: TableNames) -> [String] {
    let words = words(String(earlier))
    switch words.first {
    case nil: return DotCommand.names
    case ".format": return OutputFormat.allCases.map(\.rawValue)
    case ".timer": return ["on", "off"]
    case ".param" where words.count == 1: return ["set", "list", "clear"]
    case ".schema", ".tables": return tables.knownTopics + SystemTableColumns.all.map(\.table)
    default: return []
    }
  }

  private static func words(_ text: String) -> [String] {
    text.split { !isWord($0) }.map(String.init)
  }

  private static func isWord(_ character: Character) -> Bool {
    character.isLetter || character.isNumber || character == "_" || character == "\"" || character == "." || character == "-"
  }

  static let keywords: Set<String> = [
    "ALL", "AND", "AS", "ASC", "BETWEEN", "BY", "CASE", "CAST", "COLLATE", "CROSS", "DESC", "DISTINCT", "ELSE", "END", "ESCAPE",
    "EXCEPT", "EXISTS", "EXPLAIN", "FILTER", "FROM", "GLOB", "GROUP", "HAVING", "IN", "INNER", "INTERSECT", "IS", "ISNULL",
    "JOIN", "LEFT", "LIKE", "LIMIT", "MATCH", "MATERIALIZED", "NATURAL", "NOT", "NOTNULL", "NULL", "NULLS", "OFFSET", "ON",
    "OR",
    "ORDER", "OUTER", "OVER", "PARTITION", "PLAN", "PRECEDING", "QUERY", "RANGE", "RECURSIVE", "REGEXP", "RIGHT", "ROWS",
    "SELECT", "THEN", "UNBOUNDED", "UNION", "USING", "VALUES", "WHEN", "WHERE", "WINDOW", "WITH",
  ]

  static let functions = [
    "abs(", "avg(", "base64(", "coalesce(", "count(", "date(", "datetime(", "dense_rank(", "first_value(", "from_iso(",
    "group_concat(", "header(", "hex(", "hop(", "ifnull(", "iif(", "instr(", "json(", "json_array(", "json_each(",
    "json_extract(", "json_group_array(", "json_group_object(", "json_object(", "json_tree(", "json_type(", "json_valid(",
    "lag(",
    "last_value(", "lead(", "length(", "lower(", "max(", "median(", "min(", "nullif(", "percentile(", "printf(", "quote(",
    "rank(", "regexp(", "replace(", "round(", "row_number(", "strftime(", "substr(", "sum(", "time_bucket(", "to_iso(",
    "total(",
    "trim(", "tumble(", "typeof(", "unixepoch(", "upper(", "uuid(",
  ]
}
