/// Names, calls, and what Postgres writes in words.
extension SQLLevel {
  static let schemas: Set<String> = ["pg_catalog", "public"]

  /// A name with dots in it, and the call that it may be.
  mutating func name() throws(PostgresError) {
    let place = source
    var parts: [(name: String, isQuoted: Bool)] = []
    var isStar = false
    while let node = node(0), let name = node.name {
      parts.append((name, node.word == nil))
      index += 1
      guard self.node(0)?.isDot == true else { break }
      if self.node(1)?.symbol == "*" {
        isStar = true
        index += 2
        break
      }
      guard self.node(1)?.name != nil else {
        throw translator.failure(.syntaxError, "syntax error at or near \".\"", at: self.node(0)?.start ?? place)
      }
      index += 1
    }
    if parts.count > 2, parts[0].name == PostgresSettings.database,
      Self.schemas.contains(parts[1].name) || parts[1].name == "information_schema"
    {
      parts.removeFirst()
    }
    if let arguments = node(0)?.parenthesized, !isStar, isCall(parts) {
      if parts.count > 1 { parts.removeFirst(parts.count - 1) }
      return try call(parts[0].name, arguments, at: place)
    }
    if parts.count > 1, Self.schemas.contains(parts[0].name) {
      parts.removeFirst()
    } else if parts.count > 1, parts[0].name == "information_schema" {
      let table = parts[1].name
      parts.removeFirst(2)
      if parts.isEmpty && !isStar {
        let alias = hasAlias ? "" : " AS \(SQLTranslator.quoted(table))"
        return push([SQLPiece(text: SQLTranslator.quoted("information_schema.\(table)") + alias, source: place)], .other)
      }
      parts.insert((table, true), at: 0)
    }
    if parts.count == 1, !parts[0].isQuoted, parts[0].name == "user", translator.userIsFunction {
      return push([SQLPiece(text: "current_user()", source: place)], .other)
    }
    if parts.count == 1, !parts[0].isQuoted, !isStar, let call = SQLWords.bareFunctions[parts[0].name] {
      return push([SQLPiece(text: call, source: place)], .other)
    }
    if !isStar, let column = translator.column(ofTableFunction: parts.map(\.name)) {
      return push([SQLPiece(text: column, source: place)], .other)
    }
    let words = parts.map { $0.isQuoted ? SQLTranslator.quoted($0.name) : $0.name } + (isStar ? ["*"] : [])
    push([SQLPiece(text: words.joined(separator: "."), source: place)], isStar ? .other : .column(parts.last?.name ?? ""))
  }

  /// A table's name is followed by one that stands for it.
  private var hasAlias: Bool {
    guard let next = node(0) else { return false }
    if let word = next.word { return word == "as" || !SQLWords.reserved.contains(word) }
    return next.name != nil
  }

  /// `(SELECT …) AS t(a, b)`, behind the parentheses; nil where no columns are named.
  func columnAliases(
    behind group: SQLNode.Group
  ) throws(PostgresError) -> (table: String, columns: [String], next: Int)? {
    guard isInFrom, ["select", "values", "with"].contains(group.nodes.first?.word),
      let (table, next) = SQLTranslator.alias(in: nodes, at: index), nodes.indices.contains(next),
      let inside = nodes[next].parenthesized
    else { return nil }
    var columns: [String] = []
    for part in SQLNode.split(inside) {
      guard part.count == 1, let name = part[0].name else {
        throw translator.failure(.featureNotSupported, "columns of a subquery are named without types", at: nodes[next].start)
      }
      columns.append(name)
    }
    return (table, columns, next + 1)
  }

  /// Behind AS, a name with parentheses is an alias with columns, or a common table expression's.
  private func isCall(_ parts: [(name: String, isQuoted: Bool)]) -> Bool {
    let before = index - 2 * parts.count
    let previous = before >= 0 ? nodes[before].word : nil
    if previous == "as" || previous == "with" || previous == "recursive" { return false }
    // `name (columns) AS (…)`.
    return !(node(1)?.word == "as" && (node(2)?.parenthesized != nil || node(2)?.word == "materialized"))
  }

  mutating func call(_ name: String, _ arguments: [SQLNode], at place: Int) throws(PostgresError) {
    index += 1
    var pieces: [SQLPiece]
    if let order = arguments.firstIndex(where: { $0.word == "order" }), arguments.dropFirst(order + 1).first?.word == "by" {
      pieces = try orderedAggregate(name, arguments, order: order, at: place)
    } else {
      pieces = [SQLPiece(text: (SQLWords.renamed[name] ?? name) + "(", source: place)] + (try translator.rewrite(arguments))
    }
    pieces.append(SQLPiece(text: ")", source: place))
    let isOneRow = isInFrom && SQLWords.valueFunctions.contains(name)
    if isOneRow {
      pieces.insert(SQLPiece(text: "(SELECT", source: place), at: 0)
      pieces.append(SQLPiece(text: "AS value)", source: place))
    }
    if isInFrom, isOneRow || SQLWords.tableFunctions.contains(name),
      let (alias, next) = SQLTranslator.alias(in: nodes, at: index)
    {
      pieces.append(SQLPiece(text: "AS \(SQLTranslator.quoted(alias))", source: source))
      // The column's name is looked up by the translator, which has read ahead.
      index = next < nodes.count && nodes[next].parenthesized != nil ? next + 1 : next
      return push(pieces, .other)
    }
    // What stands behind an aggregate belongs to it.
    while let word = node(0)?.word, word == "filter" || word == "over" {
      pieces.append(SQLPiece(text: word.uppercased(), source: source))
      index += 1
      if let inside = node(0)?.parenthesized {
        pieces.append(SQLPiece(text: "(", source: place))
        pieces += try translator.rewrite(inside)
        pieces.append(SQLPiece(text: ")", source: place))
      } else if let window = node(0)?.name {
        pieces.append(SQLPiece(text: SQLTranslator.quoted(window), source: place))
      }
      index += 1
    }
    let isTime =
      SQLWords.functionTypes[name] == .timestamptz
      || (SQLWords.transparent.contains(name) && isTime(SQLNode.split(arguments).first ?? []))
    push(pieces, isTime ? .typed(.timestamptz) : .other)
  }

  /// `array_agg(x ORDER BY y DESC)`: what to order by follows the arguments, behind a text that says which way.
  private func orderedAggregate(
    _ name: String, _ arguments: [SQLNode], order: Int, at place: Int
  ) throws(PostgresError) -> [SQLPiece] {
    guard name == "array_agg" || name == "string_agg" else {
      throw translator.failure(.featureNotSupported, "ORDER BY in \(name) is not supported", at: arguments[order].start)
    }
    var pieces = [SQLPiece(text: "pg_ordered_\(name)(", source: place)]
    pieces += try translator.rewrite(Array(arguments[..<order]))
    var directions = ""
    var terms: [SQLPiece] = []
    for var term in SQLNode.split(Array(arguments[(order + 2)...])) {
      let last = term.last?.word
      if last == "asc" || last == "desc" { term.removeLast() }
      directions += last == "desc" ? "d" : "a"
      terms.append(SQLPiece(text: ",", source: place))
      terms += try translator.rewrite(term)
    }
    pieces.append(SQLPiece(text: ", '\(directions)'", source: place))
    return pieces + terms
  }

  /// Constructs that begin with a word of their own; nil if this is none.
  mutating func special(_ word: String) throws(PostgresError) -> ([SQLPiece], Operand.Kind)? {
    let place = source
    func around(_ before: String, _ inner: [SQLPiece], _ after: String = ")") -> [SQLPiece] {
      [SQLPiece(text: before, source: place)] + inner + [SQLPiece(text: after, source: place)]
    }
    guard let inside = node(1)?.parenthesized else { return try specialWithoutParentheses(word, at: place) }
    switch word {
    case "cast":
      guard let separator = inside.lastIndex(where: { $0.word == "as" }),
        let (type, count) = try TypeName.read(inside[(separator + 1)...], in: translator.text),
        separator + 1 + count == inside.count
      else { return nil }
      if separator == 1, let number = inside[0].parameter { translator.parameter(number, is: type.type) }
      let operand = try translator.rewrite(Array(inside[..<separator]))
      index += 2
      if TypeName.nativeInCast.contains(type.type), type.modifiers.isEmpty, type.reference == nil {
        return (around("CAST(", operand, "AS \(type.nativeName))"), .other)
      }
      let isConstant = separator == 1 && (inside[0].string != nil || inside[0].parameter != nil)
      let (before, after) = type.around(isConstant: isConstant)
      return (around(before, operand, after), .cast(to: type.type))
    case "extract":
      guard let separator = inside.firstIndex(where: { $0.word == "from" }),
        let field = inside.first?.name ?? inside.first?.string
      else { return nil }
      index += 2
      let from = try translator.rewrite(Array(inside[(separator + 1)...]))
      return (around("date_part(\(SQLTranslator.literal(field)),", from), .other)
    case "position":
      guard let separator = inside.firstIndex(where: { $0.word == "in" }) else { return nil }
      index += 2
      let needle = try translator.rewrite(Array(inside[..<separator]))
      let text = try translator.rewrite(Array(inside[(separator + 1)...]))
      return (around("instr(", text + [SQLPiece(text: ",", source: place)] + needle), .other)
    case "substring":
      guard let from = inside.firstIndex(where: { $0.word == "from" || $0.word == "for" }) else { return nil }
      index += 2
      var pieces = try translator.rewrite(Array(inside[..<from]))
      let length = inside[from...].lastIndex { $0.word == "for" }
      let start = inside[from].word == "for" ? [] : Array(inside[(from + 1)..<(length ?? inside.count)])
      if start.count == 1, start[0].string != nil {
        throw PostgresError(
          .featureNotSupported, "substring with a pattern is not supported",
          hint: "regexp(pattern, text) tells whether it matches.")
      }
      pieces.append(SQLPiece(text: ",", source: place))
      pieces += start.isEmpty ? [SQLPiece(text: "1", source: place)] : try translator.rewrite(start)
      if let length {
        pieces.append(SQLPiece(text: ",", source: place))
        pieces += try translator.rewrite(Array(inside[(length + 1)...]))
      }
      return (around("substr(", pieces), .other)
    case "trim":
      guard let from = inside.firstIndex(where: { $0.word == "from" }) else { return nil }
      index += 2
      let names = ["leading": "ltrim(", "trailing": "rtrim(", "both": "trim("]
      let function = inside.first?.word.flatMap { names[$0] }
      let characters = Array(inside[(function == nil ? 0 : 1)..<from])
      var pieces = try translator.rewrite(Array(inside[(from + 1)...]))
      if !characters.isEmpty { pieces += [SQLPiece(text: ",", source: place)] + (try translator.rewrite(characters)) }
      return (around(function ?? "trim(", pieces), .other)
    case "array":
      // ARRAY(SELECT …): the subquery's one column, whatever it is called and in its order.
      index += 2
      let select = try translator.rewrite(inside)
      return (around("( WITH \"pg@array\"(v) AS (", select, ") SELECT array_agg(v) FROM \"pg@array\" )"), .other)
    default: return nil
    }
  }

  private mutating func specialWithoutParentheses(
    _ word: String, at place: Int
  ) throws(PostgresError) -> ([SQLPiece], Operand.Kind)? {
    if word == "array", let items = node(1)?.bracketed {
      index += 2
      let inner = try translator.rewrite(items)
      return (
        [SQLPiece(text: "pg_array(", source: place)] + inner + [SQLPiece(text: ")", source: place)], .other
      )
    }
    // `timestamp '2024-05-01'`: a type's name in front of a constant.
    let isTyped = ["date", "timestamp", "timestamptz", "interval", "json", "jsonb", "bool", "text", "bytea", "regclass"]
      .contains(word)
    guard isTyped, let (type, count) = try TypeName.read(nodes[index...], in: translator.text),
      let constant = node(count)?.string
    else { return nil }
    if type.type == .interval { try admitInterval(behind: out.count, at: place) }
    index += count + 1
    let (before, after) = type.around(isConstant: true)
    return (
      [
        SQLPiece(text: before, source: place), SQLPiece(text: SQLTranslator.literal(constant), source: place),
        SQLPiece(text: after, source: place),
      ], .cast(to: type.type)
    )
  }
}
