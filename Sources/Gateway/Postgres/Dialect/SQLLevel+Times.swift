/// Calculating with times and intervals, which are texts here: SQLite would take their first digits for numbers.
extension SQLLevel {
  /// What an arithmetic operator does behind a time or an interval; false if it is SQLite's to calculate.
  mutating func calculate(_ symbol: String, behind operand: Operand, at place: Int) throws(PostgresError) -> Bool {
    let type = typeOf(operand)
    if symbol == "+" || symbol == "-", try interval(symbol, behind: operand, isTime: type == .timestamptz) { return true }
    if type == .interval { throw lonelyInterval(at: place) }
    // The name of a time may stand for something else here, which is calculated with.
    if type == .timestamptz { wrap(operand, "pg_number(", ")") }
    return false
  }

  /// `time - interval '1 hour'`, `time + 3 * $1::interval`; false if what follows is no interval.
  private mutating func interval(_ sign: String, behind operand: Operand, isTime: Bool) throws(PostgresError) -> Bool {
    let place = source
    var pieces: [SQLPiece]
    if node(1)?.symbol == "*", let (interval, count) = intervalConstant(at: 2), let factor = factor(at: 0) {
      pieces = scaled(interval, factor)
      index += 2 + count
    } else if let (interval, count) = intervalConstant(at: 0) {
      pieces = [interval]
      index += count
      if node(0)?.symbol == "*", let factor = factor(at: 1) {
        pieces = scaled(interval, factor)
        index += 2
      }
    } else if isTime, let number = node(0)?.parameter, node(1)?.symbol != "::" {
      translator.parameter(number, is: .interval)
      pieces = [SQLPiece(text: "?\(number)", source: place)]
      index += 1
    } else {
      return false
    }
    if let symbol = node(0)?.symbol, symbol == "*" || symbol == "/" { throw lonelyInterval(at: source) }
    wrap(operand, "pg_add_interval(", sign == "-" ? ", -1," : ", 1,")
    out += pieces + [SQLPiece(text: ")", source: place)]
    self.operand = Operand(start: operand.start, kind: .typed(.timestamptz))
    return true
  }

  /// `interval '1 hour'`, `'1 hour'::interval` and `$1::interval`, with the number of nodes.
  private func intervalConstant(at offset: Int) -> (piece: SQLPiece, count: Int)? {
    guard let first = node(offset) else { return nil }
    if first.word == "interval", let literal = node(offset + 1)?.string {
      return (SQLPiece(text: SQLTranslator.literal(literal), source: first.start), 2)
    }
    guard node(offset + 1)?.symbol == "::", node(offset + 2)?.word == "interval" else { return nil }
    if let literal = first.string { return (SQLPiece(text: SQLTranslator.literal(literal), source: first.start), 3) }
    guard let number = first.parameter else { return nil }
    translator.parameter(number, is: .interval)
    return (SQLPiece(text: "?\(number)", source: first.start), 3)
  }

  private func factor(at offset: Int) -> SQLPiece? {
    guard case .token(let token)? = node(offset) else { return nil }
    switch token.kind {
    case .number(let text): return SQLPiece(text: text, source: token.range.lowerBound)
    case .parameter(let number) where node(offset + 1)?.symbol != "::":
      translator.parameter(number, is: .float8)
      return SQLPiece(text: "?\(number)", source: token.range.lowerBound)
    default: return nil
    }
  }

  private func scaled(_ interval: SQLPiece, _ factor: SQLPiece) -> [SQLPiece] {
    [
      SQLPiece(text: "pg_scaled_interval(", source: interval.source), interval, SQLPiece(text: ",", source: factor.source),
      factor, SQLPiece(text: ")", source: factor.source),
    ]
  }

  /// An interval that has been written may not stand behind an arithmetic operator: where that is possible, `interval` reads it.
  func admitInterval(behind start: Int, at place: Int) throws(PostgresError) {
    if start > 0, SQLWords.arithmetic.contains(out[start - 1].text) { throw lonelyInterval(at: place) }
  }

  private func lonelyInterval(at place: Int) -> PostgresError {
    PostgresError(
      .featureNotSupported, "an interval is added to a time or taken from it, and is nothing else to calculate with",
      hint: "time - interval '1 hour', time + 3 * interval '1 day'.",
      position: SQLLexer.characters(before: place, in: translator.text) + 1)
  }

  /// Whether an argument is a time: a column, or what a function gives.
  func isTime(_ argument: [SQLNode]) -> Bool {
    if argument.count == 2, let name = argument[0].name, let inside = argument[1].parenthesized {
      if SQLWords.functionTypes[name] == .timestamptz { return true }
      return SQLWords.transparent.contains(name) && isTime(SQLNode.split(inside).first ?? [])
    }
    let isName = argument.enumerated().allSatisfy { $0.offset % 2 == 0 ? $0.element.name != nil : $0.element.isDot }
    return isName && argument.last?.name.flatMap(translator.columnType) == .timestamptz
  }
}
