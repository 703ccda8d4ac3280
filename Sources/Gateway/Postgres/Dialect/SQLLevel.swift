/// The tokens between one pair of parentheses (or the whole statement) on their way into SQLite's words.
///
/// What has come out so far is `out`; the operand that was read last is remembered, because `::`, `[…]` and others stand behind the
/// operand that they are about, and go around it.
struct SQLLevel {
  /// An operand that has been written.
  struct Operand {
    enum Kind {
      case constant
      case parameter(Int)
      case column(String)
      /// A call or cast that is known to give this.
      case typed(PostgresType)
      case other

      /// Of casts, those to times and intervals are known for what they are.
      static func cast(to type: PostgresType) -> Kind {
        switch type {
        case .timestamptz, .timestamp: .typed(.timestamptz)
        case .interval: .typed(.interval)
        default: .other
        }
      }
    }
    /// Where it begins in `out`.
    var start: Int
    var kind: Kind

    var isConstant: Bool {
      switch kind {
      case .constant, .parameter: true
      default: false
      }
    }
  }

  let nodes: [SQLNode]
  let translator: SQLTranslator
  var index = 0
  var out: [SQLPiece] = []
  var operand: Operand?
  /// Where each CASE that is open began.
  private var cases: [Int] = []
  private var hasLimit = false
  var isInFrom = false
  /// What the next constant is compared with, and how many more of them after an AND (BETWEEN).
  var comparedType: PostgresType?
  private var betweenType: PostgresType?
  /// A constant in front of the comparison that was read last.
  private var comparedConstant: Operand?
  /// Names for items of select lists, by where the item ends.
  private var aliases: [Int: String] = [:]
  private let isTop: Bool
  /// In a list of constants all are compared with this.
  private let listType: PostgresType?

  init(nodes: [SQLNode], translator: SQLTranslator, isTop: Bool, comparedWith type: PostgresType?) {
    self.nodes = nodes
    self.translator = translator
    self.isTop = isTop
    listType = type
    comparedType = type
  }

  mutating func rewrite() throws(PostgresError) -> [SQLPiece] {
    while index < nodes.count {
      if let alias = aliases[index] { emit("AS \(SQLTranslator.quoted(alias))") }
      try step()
    }
    if let alias = aliases[index] { emit("AS \(SQLTranslator.quoted(alias))") }
    return out
  }

  // Writing

  var source: Int { index < nodes.count ? nodes[index].start : nodes.last?.start ?? 0 }
  func node(_ offset: Int) -> SQLNode? { index + offset < nodes.count ? nodes[index + offset] : nil }

  mutating func emit(_ text: String, at source: Int? = nil) {
    out.append(SQLPiece(text: text, source: source ?? self.source))
  }

  /// Writes a whole operand.
  mutating func push(_ pieces: [SQLPiece], _ kind: Operand.Kind) {
    let start = out.count
    out += pieces
    operand = Operand(start: start, kind: kind)
    switch kind {
    case .constant: compareConstant(parameter: nil)
    case .parameter(let number): compareConstant(parameter: number)
    case .column, .typed:
      if let constant = comparedConstant, let operand, let type = typeOf(operand) {
        if case .parameter(let number) = constant.kind { translator.parameter(number, is: type) }
        if type == .timestamptz { wrap(constant, "pg_time(", ")", upTo: constant.start + 1) }
      }
    case .other: break
    }
    comparedConstant = nil
    comparedType = listType
  }

  /// A constant beside a column of times is read as a time, as Postgres would: any spelling is compared as the moment it means.
  private mutating func compareConstant(parameter: Int?) {
    guard let type = comparedType, let operand else { return }
    if let parameter { translator.parameter(parameter, is: type) }
    if type == .timestamptz { wrap(operand, "pg_time(", ")", upTo: out.count) }
  }

  /// Puts text around an operand (or, with `upTo`, around one that is not the last).
  mutating func wrap(_ operand: Operand, _ before: String, _ after: String, upTo end: Int? = nil) {
    let end = end ?? out.count
    let source = out[operand.start].source
    out.insert(SQLPiece(text: after, source: source), at: end)
    out.insert(SQLPiece(text: before, source: source), at: operand.start)
  }

  // Reading

  private mutating func step() throws(PostgresError) {
    switch nodes[index] {
    case .group(let group):
      if group.isBracket { return try subscription(group) }
      let isList = nodes.indices.contains(index - 1) && nodes[index - 1].word == "in"
      let inner = try translator.rewrite(group.nodes, comparedWith: isList ? comparedType : nil)
      let source = group.range.lowerBound
      var pieces = [SQLPiece(text: "(", source: source)] + inner + [SQLPiece(text: ")", source: source)]
      index += 1
      if let (table, columns, next) = try columnAliases(behind: group) {
        // SQLite names columns of common table expressions only.
        let inside = SQLTranslator.quoted("pg@columns")
        let names = columns.map(SQLTranslator.quoted).joined(separator: ", ")
        pieces.insert(SQLPiece(text: "( WITH \(inside)(\(names)) AS", source: source), at: 0)
        pieces.append(SQLPiece(text: "SELECT * FROM \(inside) ) AS \(SQLTranslator.quoted(table))", source: self.source))
        index = next
        return push(pieces, .other)
      }
      push(pieces, .other)
      field()
    case .token(let token):
      try step(token)
    }
  }

  private mutating func step(_ token: SQLToken) throws(PostgresError) {
    switch token.kind {
    case .string(let text): constant(SQLTranslator.literal(text))
    case .number(let text): constant(text)
    case .blob(let digits): constant("X'\(digits)'")
    case .parameter(let number):
      translator.parameter(number, is: nil)
      let piece = SQLPiece(text: "?\(number)", source: source)
      index += 1
      push([piece], .parameter(number))
    case .comma:
      emit(",")
      index += 1
      operand = nil
      betweenType = nil
      comparedConstant = nil
      comparedType = listType
    case .symbol(let symbol):
      index += 1
      try self.symbol(symbol, at: token.range.lowerBound)
    case .word(let word): try self.word(word)
    case .quoted: try name()
    case .dot, .open, .close, .semicolon:
      throw translator.failure(.syntaxError, "syntax error at or near \".\"", at: token.range.lowerBound)
    }
  }

  private mutating func constant(_ text: String) {
    let piece = SQLPiece(text: text, source: source)
    index += 1
    push([piece], .constant)
  }

  /// `(…).field`.
  private mutating func field() {
    guard node(0)?.isDot == true, let name = node(1)?.name, let operand else { return }
    wrap(operand, "pg_field(", ", \(SQLTranslator.literal(name)))")
    index += 2
  }

  private mutating func subscription(_ group: SQLNode.Group) throws(PostgresError) {
    guard let operand else {
      throw translator.failure(.syntaxError, "syntax error at or near \"[\"", at: group.range.lowerBound)
    }
    let inner = try translator.rewrite(group.nodes)
    wrap(operand, "pg_subscript(", ",")
    out += inner
    emit(")")
    index += 1
    self.operand = Operand(start: operand.start, kind: .other)
  }

  // Operators

  mutating func symbol(_ symbol: String, at place: Int) throws(PostgresError) {
    if symbol == "::" { return try cast(at: place) }
    // SQLite would take it for a parameter, and a parameter that nobody gives for NULL.
    if symbol.contains("?") { throw translator.failure(.syntaxError, "syntax error at or near \"\(symbol)\"", at: place) }
    if SQLWords.comparisons.contains(symbol), let word = node(0)?.word, word == "any" || word == "some" || word == "all",
      let group = node(1)?.parenthesized
    {
      return try quantified(symbol, word, group, at: place)
    }
    if let operand, SQLWords.arithmetic.contains(symbol), try calculate(symbol, behind: operand, at: place) { return }
    if let matching = SQLWords.matching[symbol], operand != nil {
      emit(matching, at: place)
      operand = nil
      return
    }
    if SQLWords.comparisons.contains(symbol), let operand {
      comparedType = typeOf(operand)
      comparedConstant = operand.isConstant ? operand : nil
    } else {
      comparedType = listType
    }
    emit(symbol, at: place)
    operand = nil
  }

  func typeOf(_ operand: Operand) -> PostgresType? {
    switch operand.kind {
    case .column(let name): translator.columnType(name)
    case .typed(let type): type
    default: nil
    }
  }

  /// `x::type`.
  private mutating func cast(at place: Int) throws(PostgresError) {
    guard let operand, let (type, count) = try TypeName.read(nodes[index...], in: translator.text) else {
      throw translator.failure(.syntaxError, "syntax error at or near \"::\"", at: place)
    }
    index += count
    if case .parameter(let number) = operand.kind { translator.parameter(number, is: type.type) }
    let (before, after) = type.around(isConstant: operand.isConstant)
    wrap(operand, before, after)
    self.operand = Operand(start: operand.start, kind: .cast(to: type.type))
    if type.type == .interval { try admitInterval(behind: operand.start, at: place) }
  }

  /// `x = ANY (…)`, `x <> ALL (…)`.
  private mutating func quantified(
    _ symbol: String, _ word: String, _ group: [SQLNode], at place: Int
  ) throws(PostgresError) {
    let isMember = symbol == "=" || symbol == "=="
    guard operand != nil, isMember ? word != "all" : (word == "all" && (symbol == "<>" || symbol == "!=")) else {
      throw translator.failure(.featureNotSupported, "\(symbol) \(word.uppercased()) is not supported", at: place)
    }
    let type = operand.flatMap(typeOf)
    emit(isMember ? "IN (" : "NOT IN (", at: place)
    if let first = group.first?.word, first == "select" || first == "with" || first == "values" {
      out += try translator.rewrite(group)
    } else if group.first?.word == "array", let items = group.dropFirst().first?.bracketed,
      group.count == 2 || (group[2].symbol == "::" && group.count > 3)
    {
      out += try translator.rewrite(items, comparedWith: type)
    } else {
      if let number = group.first?.parameter, group.count == 1 {
        translator.parameter(number, is: type?.array ?? .textArray)
      }
      emit("SELECT value FROM json_each(pg_array_json(", at: place)
      out += try translator.rewrite(group)
      emit("))", at: place)
    }
    emit(")", at: place)
    index += 2
    operand = Operand(start: max(0, out.count - 1), kind: .other)
  }

  // Words

  private mutating func keyword(_ text: String) {
    emit(text)
    index += 1
    operand = nil
    comparedConstant = nil
    comparedType = listType
  }

  private mutating func word(_ word: String) throws(PostgresError) {
    isInFrom = SQLWords.isInFrom(after: word, was: isInFrom)
    switch word {
    case "select":
      if node(1)?.word == "distinct", node(2)?.word == "on", node(3)?.parenthesized != nil {
        throw PostgresError(
          .featureNotSupported, "SELECT DISTINCT ON is not supported",
          hint: "row_number() OVER (PARTITION BY … ORDER BY …) = 1 in a query around it gives the same rows.",
          position: SQLLexer.characters(before: nodes[index + 1].start, in: translator.text) + 1)
      }
      nameItems()
      keyword("SELECT")
    case "case":
      cases.append(out.count)
      keyword("CASE")
    case "end" where !cases.isEmpty:
      emit("END")
      index += 1
      operand = Operand(start: cases.removeLast(), kind: .other)
    case "limit": try limit()
    case "offset" where isOffsetClause: offset()
    case "fetch" where node(1)?.word == "first" || node(1)?.word == "next": fetch()
    case "between":
      let type = operand.flatMap(typeOf)
      keyword("BETWEEN")
      comparedType = type
      betweenType = type
    case "and":
      let type = betweenType
      betweenType = nil
      keyword("AND")
      if let type { comparedType = type }
    case "in":
      let type = operand.flatMap(typeOf)
      keyword("IN")
      comparedType = type
    case "ilike": keyword("LIKE")
    case "like" where escapesPattern:
      keyword("LIKE")
      try step()
      emit("ESCAPE '\\'")
    case "collate": collation()
    case "lateral": index += 1
    case "with" where node(1)?.word == "ordinality":
      throw translator.failure(.featureNotSupported, "WITH ORDINALITY is not supported", at: source)
    case "at" where node(1)?.word == "time" && node(2)?.word == "zone" && operand != nil: try timeZone()
    case "operator" where node(1)?.parenthesized != nil:
      guard let symbol = node(1)?.parenthesized?.last?.symbol else { fallthrough }
      let place = source
      index += 2
      try self.symbol(symbol, at: place)
    default:
      if let special = try special(word) { return push(special.0, special.1) }
      if SQLWords.reserved.contains(word), !(node(1)?.parenthesized != nil && (word == "left" || word == "right")) {
        return keyword(word.uppercased())
      }
      try name()
    }
  }

  /// LIKE whose pattern may have a backslash in it, which is Postgres' escape and means nothing to SQLite.
  private var escapesPattern: Bool {
    guard let next = node(1), node(2)?.word != "escape", node(2)?.symbol == nil else { return false }
    return next.parameter != nil || next.string?.contains("\\") == true
  }

  /// OFFSET is a column here as well.
  private var isOffsetClause: Bool {
    guard let next = node(1), operand != nil || hasLimit else { return false }
    return next.isCount
  }

  private mutating func limit() throws(PostgresError) {
    keyword("LIMIT")
    hasLimit = true
    if node(0)?.word == "all" || node(0)?.word == "null" {
      emit("-1")
      index += 1
    } else if let number = node(0)?.parameter {
      translator.parameter(number, is: .int8)
    }
  }

  private mutating func offset() {
    keyword(hasLimit ? "OFFSET" : "LIMIT -1 OFFSET")
    hasLimit = true
    if let number = node(0)?.parameter { translator.parameter(number, is: .int8) }
    if let word = node(1)?.word, word == "row" || word == "rows", case .token(let token)? = node(0) {
      // Nothing else may follow that these words could belong to.
      emit(token.symbol ?? String(decoding: translator.text[token.range], as: UTF8.self).replacing("$", with: "?"))
      index += 2
    }
  }

  /// `FETCH FIRST n ROWS ONLY`.
  private mutating func fetch() {
    index += 2
    hasLimit = true
    emit("LIMIT")
    if let word = node(0)?.word, word == "row" || word == "rows" {
      emit("1")
    } else if case .token(let token)? = node(0) {
      emit(String(decoding: translator.text[token.range], as: UTF8.self).replacing("$", with: "?"))
      index += 1
    }
    while let word = node(0)?.word, word == "row" || word == "rows" || word == "only" { index += 1 }
    operand = nil
  }

  private mutating func collation() {
    index += 1
    var name = node(0)?.name ?? ""
    index += 1
    while node(0)?.isDot == true, let next = node(1)?.name {
      name = next
      index += 2
    }
    if SQLWords.keptCollations.contains(name.lowercased()) { emit("COLLATE \(name)") }
  }

  private mutating func timeZone() throws(PostgresError) {
    guard let operand else { return }
    let place = source
    index += 3
    wrap(operand, "pg_at_time_zone(", ",")
    if let zone = node(0)?.string {
      emit(SQLTranslator.literal(zone) + ")", at: place)
    } else if let number = node(0)?.parameter {
      translator.parameter(number, is: .text)
      emit("?\(number))", at: place)
    } else {
      throw translator.failure(.featureNotSupported, "AT TIME ZONE wants a constant", at: place)
    }
    index += 1
    self.operand = Operand(start: operand.start, kind: .typed(.timestamptz))
  }

  /// Items of this SELECT that have no name of their own get the one Postgres would give them, for the query around this one.
  private mutating func nameItems() {
    let list = SelectList(text: translator.text)
    var start = index + 1
    for (item, end) in list.items(nodes[start...]) {
      let parts = nodes[start..<end].compactMap(\.name)
      start = end + 1
      if item.isStar { continue }
      if item.name == nil, parts.count < 3, let name = parts.last, translator.column(ofTableFunction: parts) != nil {
        aliases[end] = name
      } else if !isTop, let name = item.name, name != "?column?", end > index + 2, nodes[end - 1].parenthesized != nil,
        nodes[end - 2].name != nil, nodes[end - 2].word != "cast"
      {
        aliases[end] = name
      }
    }
  }
}

extension SQLNode {
  /// What may follow OFFSET where that is the clause: a number, a parameter, or an expression in parentheses.
  var isCount: Bool {
    if parameter != nil || parenthesized != nil { return true }
    if case .token(let token) = self, case .number = token.kind { return true }
    return false
  }
}
