/// What the text of a select list tells of the columns to come: their names as Postgres gives them, and types of casts and known
/// functions.
struct SelectList {
  let text: [UInt8]

  /// Items from behind SELECT to the end of the list, with the end of each among `nodes`.
  func items(_ nodes: ArraySlice<SQLNode>) -> [(item: SelectItem, end: Int)] {
    var rest = nodes
    if let word = rest.first?.word, word == "distinct" || word == "all" { rest.removeFirst() }
    var items: [(SelectItem, Int)] = []
    var start = rest.startIndex
    var caseDepth = 0
    for index in rest.indices {
      let node = rest[index]
      if node.word == "case" { caseDepth += 1 }
      if node.word == "end", caseDepth > 0 { caseDepth -= 1 }
      let ends = node.word.map { SQLWords.clauses.contains($0) } ?? false
      guard node.isComma || (ends && !isColumn(rest, at: index)) else { continue }
      if index > start { items.append((describe(rest[start..<index]), index)) }
      if ends { return items }
      start = index + 1
    }
    if start < rest.endIndex { items.append((describe(rest[start...]), rest.endIndex)) }
    return items
  }

  /// Behind a dot or AS a word is a name, whatever it means elsewhere.
  private func isColumn(_ nodes: ArraySlice<SQLNode>, at index: Int) -> Bool {
    index > nodes.startIndex && (nodes[index - 1].isDot || nodes[index - 1].word == "as")
  }

  func describe(_ nodes: ArraySlice<SQLNode>) -> SelectItem {
    var item = SelectItem()
    if nodes.last?.symbol == "*", nodes.count == 1 || nodes.dropLast().last?.isDot == true {
      item.isStar = true
      return item
    }
    var expression = nodes
    var alias: String?
    if nodes.count >= 3, nodes.dropLast().last?.word == "as", let name = nodes.last?.name {
      alias = name
      expression = nodes.dropLast(2)
    } else if let name = trailingAlias(nodes) {
      alias = name
      expression = nodes.dropLast()
    }
    let (name, type, source) = meaning(expression)
    item.name = alias ?? name
    item.type = type
    item.typedAs = source
    if expression.count == 1 { item.parameter = expression.first?.parameter }
    if let first = expression.first, let last = expression.last { item.range = first.start..<end(of: last) }
    return item
  }

  /// `expression name`, without AS.
  private func trailingAlias(_ nodes: ArraySlice<SQLNode>) -> String? {
    guard nodes.count >= 2, let last = nodes.last, let name = last.name else { return nil }
    if let word = last.word, SQLWords.reserved.contains(word) { return nil }
    let before = nodes[nodes.endIndex - 2]
    if before.isDot || before.symbol != nil || before.isComma { return nil }
    if let word = before.word, word != "end", SQLWords.reserved.contains(word) { return nil }
    // `x::double precision` has no alias.
    if let cast = nodes.lastIndex(where: { $0.symbol == "::" }) {
      if let (_, count) = try? TypeName.read(nodes[(cast + 1)...], in: text), cast + 1 + count == nodes.endIndex { return nil }
    }
    return name
  }

  typealias Meaning = (name: String?, type: PostgresType?, source: Range<Int>?)
  private static let anonymous = "?column?"

  private func meaning(_ nodes: ArraySlice<SQLNode>) -> Meaning {
    if let cast = nodes.lastIndex(where: { $0.symbol == "::" }),
      let (type, count) = try? TypeName.read(nodes[(cast + 1)...], in: text), cast + 1 + count == nodes.endIndex,
      isPrimary(nodes[..<cast])
    {
      let inner = nodes[..<cast]
      let name = isName(inner) ? inner.last?.name : meaning(inner).name
      return (name == Self.anonymous ? type.reference ?? type.type.catalogName : name, type.resultType, nil)
    }
    guard let first = nodes.first else { return (nil, nil, nil) }
    if nodes.count == 1 { return single(first) }
    if let call = call(nodes) { return call }
    if let inside = first.parenthesized, nodes.count == 3, nodes[nodes.startIndex + 1].isDot, let field = nodes.last?.name {
      _ = inside
      return (field, nil, nil)
    }
    if isName(nodes) { return (nil, nil, nil) }
    if first.word == "case", nodes.last?.word == "end" { return ("case", nil, nil) }
    if first.word == "array" { return ("array", .textArray, nil) }
    if first.word == "interval" { return ("interval", .text, nil) }
    return (Self.anonymous, typeOfOperators(nodes), nil)
  }

  private func single(_ node: SQLNode) -> Meaning {
    if let inside = node.parenthesized {
      if inside.first?.word == "select" {
        let first = items(inside.dropFirst()[...]).first?.item
        return (first?.name ?? lastName(inside), first?.type, first?.typedAs)
      }
      return meaning(inside[...])
    }
    guard case .token(let token) = node else { return (nil, nil, nil) }
    switch token.kind {
    case .string: return (Self.anonymous, .text, nil)
    case .blob: return (Self.anonymous, .bytea, nil)
    case .number(let text): return (Self.anonymous, Int64(text) == nil ? .float8 : .int8, nil)
    case .parameter: return (Self.anonymous, nil, nil)
    case .word("true"), .word("false"): return ("bool", .bool, nil)
    case .word("null"): return (Self.anonymous, .text, nil)
    case .word(let word) where SQLWords.bareFunctions[word] != nil: return (word, SQLWords.functionTypes[word], nil)
    default: return (nil, nil, nil)
    }
  }

  /// The column's own name in `SELECT t.name FROM …`.
  private func lastName(_ nodes: [SQLNode]) -> String? {
    let list = nodes.dropFirst().prefix { node in !(node.word.map { SQLWords.clauses.contains($0) } ?? false) }
    return list.last?.name
  }

  /// `name(…)`, with FILTER and OVER behind it.
  private func call(_ nodes: ArraySlice<SQLNode>) -> Meaning? {
    guard let groupIndex = nodes.firstIndex(where: { $0.parenthesized != nil }), groupIndex > nodes.startIndex,
      isName(nodes[..<groupIndex]), let name = nodes[groupIndex - 1].name, isCallTail(nodes[(groupIndex + 1)...]),
      let arguments = nodes[groupIndex].parenthesized
    else { return nil }
    if name == "cast", let place = arguments.lastIndex(where: { $0.word == "as" }),
      let (type, _) = try? TypeName.read(arguments[(place + 1)...], in: text)
    {
      let inner = meaning(arguments[..<place]).name
      let isColumn = isName(arguments[..<place])
      return (
        isColumn ? arguments[place - 1].name : inner == Self.anonymous ? type.type.catalogName : inner, type.resultType, nil
      )
    }
    if let word = nodes[groupIndex - 1].word, word != "exists", word != "left", word != "right",
      SQLWords.reserved.contains(word)
    {
      return nil
    }
    if SQLWords.transparent.contains(name), let argument = SQLNode.split(arguments).first, let first = argument.first,
      let last = argument.last
    {
      let inner = meaning(argument[...])
      return (name, inner.type, inner.type == nil ? inner.source ?? first.start..<end(of: last) : nil)
    }
    return (name == "extract" ? "extract" : name, SQLWords.functionTypes[name], nil)
  }

  private func end(of node: SQLNode) -> Int {
    switch node {
    case .token(let token): token.range.upperBound
    case .group(let group): group.range.upperBound
    }
  }

  private func isCallTail(_ nodes: ArraySlice<SQLNode>) -> Bool {
    var rest = nodes
    while let word = rest.popFirst()?.word {
      guard word == "filter" || word == "over", rest.first?.parenthesized != nil || rest.first?.name != nil else {
        return false
      }
      rest.removeFirst()
      if rest.isEmpty { return true }
    }
    return nodes.isEmpty
  }

  /// `a`, `a.b`, `a.b.c`.
  private func isName(_ nodes: ArraySlice<SQLNode>) -> Bool {
    guard nodes.count % 2 == 1 else { return false }
    return nodes.enumerated().allSatisfy { $0.offset % 2 == 0 ? $0.element.name != nil : $0.element.isDot }
  }

  private func isPrimary(_ nodes: ArraySlice<SQLNode>) -> Bool {
    if nodes.count == 1 { return nodes.first?.symbol == nil }
    if let cast = nodes.lastIndex(where: { $0.symbol == "::" }) { return cast > nodes.startIndex && isPrimary(nodes[..<cast]) }
    if nodes.last?.bracketed != nil { return nodes.first?.word == "array" || isPrimary(nodes.dropLast()) }
    return isName(nodes) || call(nodes) != nil || (nodes.first?.word == "case" && nodes.last?.word == "end")
  }

  /// `… + interval '1 hour'`, or a time and a parameter.
  private func isTimePlus(_ nodes: ArraySlice<SQLNode>, at index: Int) -> Bool {
    let rest = nodes[(index + 1)...]
    if rest.contains(where: { $0.word == "interval" }) { return true }
    return rest.first?.parameter != nil && meaning(nodes[..<index]).type == .timestamptz
  }

  /// What the operator that binds least gives.
  private func typeOfOperators(_ nodes: ArraySlice<SQLNode>) -> PostgresType? {
    var isText = false
    var depth = 0
    for (index, node) in zip(nodes.indices, nodes) {
      if node.word == "case" { depth += 1 }
      if node.word == "end" { depth -= 1 }
      guard depth == 0 else { continue }
      if let word = node.word,
        ["and", "or", "not", "is", "in", "like", "ilike", "between", "exists", "isnull", "notnull"].contains(word)
      {
        return .bool
      }
      if let symbol = node.symbol {
        if SQLWords.comparisons.contains(symbol) || SQLWords.matching[symbol] != nil { return .bool }
        if symbol == "||" { isText = true }
        let isSum = symbol == "+" || symbol == "-"
        if isSum, index > nodes.startIndex, isTimePlus(nodes, at: index) { return .timestamptz }
      }
    }
    return isText ? .text : typeOfArithmetic(nodes)
  }

  /// Numbers of known types, calculated with: SQLite gives whole numbers for whole ones. (Where it does not, past 64 bits, that is a
  /// misfit.)
  private func typeOfArithmetic(_ nodes: ArraySlice<SQLNode>) -> PostgresType? {
    let parts = nodes.split(omittingEmptySubsequences: false) { $0.symbol.map(SQLWords.arithmetic.contains) ?? false }
    guard parts.count > 1 else { return nil }
    var isWhole = true
    for part in parts where !part.isEmpty {
      switch meaning(part).type {
      case .int2, .int4, .int8: break
      case .float4, .float8: isWhole = false
      default: return nil
      }
    }
    return isWhole ? .int8 : .float8
  }
}
