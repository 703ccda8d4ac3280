/// A type as it is written behind `::` or in CAST.
struct TypeName {
  var type: PostgresType
  /// `varchar(10)`, `numeric(10, 2)`.
  var modifiers: [Int] = []
  /// `regclass` and its like, whose text is a name and whose value a number.
  var reference: String?

  static let references: Set<String> = ["regclass", "regtype", "regproc", "regprocedure", "regnamespace", "regrole", "regoper"]
  /// Types of one dimension or without elements of their own that are kept as their text.
  private static let texts: Set<String> = [
    "uuid", "xml", "inet", "cidr", "macaddr", "tsvector", "tsquery", "jsonpath", "xid", "tid", "cid",
  ]

  /// Reads a type at the beginning of `nodes`.
  ///
  /// - Returns: nil if there is no type's name, with how many nodes it takes.
  /// - Throws: where the name means no type.
  static func read(_ nodes: ArraySlice<SQLNode>, in text: [UInt8]) throws(PostgresError) -> (TypeName, Int)? {
    var rest = nodes
    guard let start = rest.first?.start, var name = rest.popFirst()?.name else { return nil }
    while let dot = rest.first, dot.isDot, let next = rest.dropFirst().first?.name {
      rest.removeFirst(2)
      name = next
    }
    if let second = rest.first?.word {
      if name == "double", second == "precision" {
        name += " " + second
        rest.removeFirst()
      } else if name == "character", second == "varying" {
        name = "varchar"
        rest.removeFirst()
      }
    }
    var result = TypeName(type: .text)
    if let group = rest.first?.parenthesized {
      rest.removeFirst()
      result.modifiers = SQLNode.split(group).compactMap { part in
        if case .token(let token)? = part.first, case .number(let text) = token.kind { Int(text) } else { nil }
      }
    }
    if let word = rest.first?.word, word == "with" || word == "without", rest.dropFirst().first?.word == "time",
      rest.dropFirst(2).first?.word == "zone"
    {
      rest.removeFirst(3)
      if word == "with", name == "timestamp" { name = "timestamptz" }
    }
    if references.contains(name) {
      result.reference = name
      result.type = name == "regtype" ? .regtype : name == "regclass" ? .regclass : .regproc
    } else if let known = PostgresType(named: name) {
      result.type = known
    } else if !texts.contains(name) {
      throw PostgresError(
        .undefinedObject, "type \"\(name)\" does not exist", position: SQLLexer.characters(before: start, in: text) + 1)
    }
    while let brackets = rest.first?.bracketed, brackets.count <= 1 {
      rest.removeFirst()
      result.type = result.type.array ?? .textArray
    }
    return (result, nodes.count - rest.count)
  }

  /// The pieces around an operand that make it one of this type.
  ///
  /// - Parameter isConstant: the operand is a constant or a parameter, whose text is the type's own spelling.
  func around(isConstant: Bool) -> (before: String, after: String) {
    if reference != nil, type.element == nil { return ("pg_\(reference ?? "")(", ")") }
    switch type {
    case .int2, .int4, .int8: return ("pg_\(type)(", ")")
    case .oid: return ("pg_int8(", ")")
    case .float4, .float8: return ("pg_float8(", ")")
    case .numeric: return modifiers.count == 2 ? ("round(pg_float8(", "), \(modifiers[1]))") : ("pg_numeric(", ")")
    case .bool: return ("pg_bool(", ")")
    case .bytea: return isConstant ? ("pg_bytea(", ")") : ("CAST(", " AS BLOB)")
    case .json, .jsonb: return ("json(", ")")
    case .timestamptz, .timestamp: return ("pg_timestamptz(", ")")
    case .date: return ("pg_date(", ")")
    case .interval: return ("pg_interval(", ")")
    case .varchar, .bpchar:
      return modifiers.isEmpty ? ("CAST(", " AS TEXT)") : ("substr(CAST(", " AS TEXT), 1, \(modifiers[0]))")
    default: return ("CAST(", " AS TEXT)")
    }
  }

  /// What the value is to a client.
  var resultType: PostgresType {
    switch type {
    case .regclass, .regtype, .regproc: .text
    case .date, .time, .interval, .unknown, .bpchar, .uuid: .text
    case .dateArray, .numericArray, .uuidArray: .textArray
    case .numeric: .float8
    default: type
    }
  }

  /// SQLite reads these in CAST as it always does, so that a statement means the same at every door.
  static let nativeInCast: Set<PostgresType> = [
    .int2, .int4, .int8, .text, .varchar, .bpchar, .float4, .float8, .bytea, .numeric,
  ]
  /// The same in SQLite's words.
  var nativeName: String {
    switch type {
    case .int2, .int4, .int8: "INTEGER"
    case .float4, .float8: "REAL"
    case .bytea: "BLOB"
    case .numeric: "NUMERIC"
    default: "TEXT"
    }
  }
}
