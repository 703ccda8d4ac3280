import Model

/// Tokens with what is in parentheses and brackets taken together.
indirect enum SQLNode: Sendable {
  case token(SQLToken)
  case group(Group)

  struct Group: Sendable {
    var isBracket: Bool
    var nodes: [SQLNode]
    var range: Range<Int>
  }

  var start: Int {
    switch self {
    case .token(let token): token.range.lowerBound
    case .group(let group): group.range.lowerBound
    }
  }
  var word: String? { if case .token(let token) = self { token.word } else { nil } }
  var symbol: String? { if case .token(let token) = self { token.symbol } else { nil } }
  var isComma: Bool { if case .token(let token) = self { token.kind == .comma } else { false } }
  var isDot: Bool { if case .token(let token) = self { token.kind == .dot } else { false } }
  var string: String? { if case .token(let token) = self, case .string(let text) = token.kind { text } else { nil } }
  var parameter: Int? { if case .token(let token) = self, case .parameter(let number) = token.kind { number } else { nil } }
  /// What is in parentheses.
  var parenthesized: [SQLNode]? { if case .group(let group) = self, !group.isBracket { group.nodes } else { nil } }
  var bracketed: [SQLNode]? { if case .group(let group) = self, group.isBracket { group.nodes } else { nil } }
  /// A name, with or without quotes.
  var name: String? {
    guard case .token(let token) = self else { return nil }
    switch token.kind {
    case .word(let name), .quoted(let name): return name
    default: return nil
    }
  }

  /// - Throws: where parentheses do not match, or are too deep.
  static func nodes(_ tokens: ArraySlice<SQLToken>, in text: [UInt8]) throws(PostgresError) -> [SQLNode] {
    var open: [(token: SQLToken, nodes: [SQLNode])] = []
    var nodes: [SQLNode] = []
    func failure(_ token: SQLToken, _ message: String? = nil) -> PostgresError {
      let near = String(decoding: text[token.range], as: UTF8.self)
      return PostgresError(
        .syntaxError, message ?? "syntax error at or near \"\(near)\"",
        position: SQLLexer.characters(before: token.range.lowerBound, in: text) + 1)
    }
    for token in tokens {
      switch token.kind {
      case .open:
        guard open.count < Limits.postgresNestingMax else {
          throw PostgresError(.statementTooComplex, "parentheses are nested more than \(Limits.postgresNestingMax) deep")
        }
        open.append((token, nodes))
        nodes = []
      case .close(let letter):
        guard let (opening, before) = open.popLast() else { throw failure(token) }
        let isBracket = opening.kind == .open("[")
        guard isBracket == (letter == "]") else { throw failure(token) }
        let group = Group(
          isBracket: isBracket, nodes: nodes, range: opening.range.lowerBound..<token.range.upperBound)
        nodes = before
        nodes.append(.group(group))
      default: nodes.append(.token(token))
      }
    }
    guard open.isEmpty else {
      throw PostgresError(
        .syntaxError, "syntax error at end of input", position: SQLLexer.characters(before: text.count, in: text) + 1)
    }
    return nodes
  }

  /// The parts between commas.
  static func split(_ nodes: [SQLNode]) -> [[SQLNode]] {
    nodes.isEmpty ? [] : nodes.split(omittingEmptySubsequences: false, whereSeparator: \.isComma).map(Array.init)
  }
}
