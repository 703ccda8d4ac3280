/// A column that a topic's table has because somebody declared it, or an index on a column it has anyway (`quire.columns`).
public struct DeclaredColumn: Hashable, Sendable {
  /// What a column is declared as. The type gives its values SQLite's affinity, and doors the type that they tell clients.
  public enum ColumnType: String, Sendable, CaseIterable {
    case text = "TEXT"
    case integer = "INTEGER"
    case real = "REAL"
    case numeric = "NUMERIC"
    case boolean = "BOOLEAN"
    case blob = "BLOB"
    case json = "JSON"
    case timestamptz = "TIMESTAMPTZ"

    /// The words of the declaration in SQL: SQLite takes the affinity from them, doors the first.
    public var declaration: String {
      switch self {
      case .text, .integer, .real, .numeric, .boolean: rawValue
      case .blob: "BYTEA BLOB"
      case .json: "JSON TEXT"
      case .timestamptz: "TIMESTAMPTZ TEXT"
      }
    }

    private static let spellings: [String: ColumnType] = [
      "INT": .integer, "BIGINT": .integer, "SMALLINT": .integer, "INT8": .integer, "VARCHAR": .text, "CHAR": .text,
      "STRING": .text, "DOUBLE": .real, "DOUBLE PRECISION": .real, "FLOAT": .real, "FLOAT8": .real, "DECIMAL": .numeric,
      "BOOL": .boolean, "BYTEA": .blob,
    ]

    /// - Parameter text: a name of it, in any case, or one of those that other databases have.
    public init?(named text: String) {
      let name = text.uppercased()
      guard let type = ColumnType(rawValue: name) ?? Self.spellings[name] else { return nil }
      self = type
    }
  }

  public var name: String
  /// Nil for an index on one of the columns that every topic has.
  public var definition: Definition?
  /// Looked up by its value.
  public var isIndexed: Bool
  /// Looked up by its words (MATCH).
  public var isFullText: Bool

  public struct Definition: Hashable, Sendable {
    public var type: ColumnType
    /// SQL over the columns that every topic has.
    public var expression: String

    public init(type: ColumnType, expression: String) {
      self.type = type
      self.expression = expression
    }
  }

  public init(name: String, definition: Definition?, isIndexed: Bool, isFullText: Bool) {
    self.name = name
    self.definition = definition
    self.isIndexed = isIndexed
    self.isFullText = isFullText
  }

  /// The columns that every topic's table has, and names by which SQLite means others.
  public static let fixedNames: Set<String> = [
    "topic", "partition", "offset", "timestamp", "time", "key", "value", "headers", "producer_id", "leader_epoch",
    "compression", "batch_offset", "rowid", "oid", "_rowid_",
  ]
  /// Those of them that may be indexed; the others are found without.
  public static let indexableFixedNames: Set<String> = ["key", "value"]
}

extension DeclaredColumn {
  /// Reads the text of `quire.columns`: a JSON array of objects, or nothing.
  ///
  /// - Throws: a sentence that says what is wrong with which column. Expressions are not looked into.
  public static func list(_ text: String) throws(ColumnSyntaxError) -> [DeclaredColumn] {
    if text.isEmpty { return [] }
    guard text.utf8.count <= Limits.columnTextBytesMax else {
      throw ColumnSyntaxError("it is longer than \(Limits.columnTextBytesMax) bytes")
    }
    let objects = try FlatJSON.objects(text)
    guard objects.count <= Limits.columnsPerTopicMax else {
      throw ColumnSyntaxError("a topic has at most \(Limits.columnsPerTopicMax) of them")
    }
    var columns: [DeclaredColumn] = []
    var names: Set<String> = []
    for (index, object) in objects.enumerated() {
      let column = try DeclaredColumn(object, index + 1)
      guard names.insert(column.name.lowercased()).inserted else {
        throw ColumnSyntaxError("column \(column.name) is declared twice")
      }
      columns.append(column)
    }
    return columns
  }

  private init(_ object: [(key: String, value: FlatJSON)], _ number: Int) throws(ColumnSyntaxError) {
    var texts: [String: String] = [:]
    var flags: [String: Bool] = [:]
    let place: String
    if case .text(let name) = object.first(where: { $0.key == "name" })?.value {
      place = "column \(name)"
    } else {
      place = "column number \(number)"
    }
    for (key, value) in object {
      guard texts[key] == nil, flags[key] == nil else { throw ColumnSyntaxError("\(place): \"\(key)\" stands there twice") }
      switch (key, value) {
      case ("name", .text(let text)), ("type", .text(let text)), ("expression", .text(let text)): texts[key] = text
      case ("indexed", .flag(let flag)), ("fulltext", .flag(let flag)): flags[key] = flag
      case ("name", _), ("type", _), ("expression", _): throw ColumnSyntaxError("\(place): \"\(key)\" is a text")
      case ("indexed", _), ("fulltext", _): throw ColumnSyntaxError("\(place): \"\(key)\" is true or false")
      default:
        throw ColumnSyntaxError("\(place): \"\(key)\" is none of name, type, expression, indexed, fulltext")
      }
    }
    guard let name = texts["name"] else { throw ColumnSyntaxError("\(place) has no \"name\"") }
    self.init(name: name, definition: nil, isIndexed: flags["indexed"] ?? false, isFullText: flags["fulltext"] ?? false)
    if Self.indexableFixedNames.contains(name) {
      guard texts["type"] == nil, texts["expression"] == nil else {
        throw ColumnSyntaxError("column \(name) is there already: it takes only \"indexed\" and \"fulltext\"")
      }
      guard isIndexed || isFullText else {
        throw ColumnSyntaxError("column \(name) is there already: index it or leave it out")
      }
      return
    }
    if let complaint = Self.complaint(aboutName: name) { throw ColumnSyntaxError("column \(name): \(complaint)") }
    guard let typeName = texts["type"] else { throw ColumnSyntaxError("column \(name) has no \"type\"") }
    guard let type = ColumnType(named: typeName) else {
      let names = ColumnType.allCases.map(\.rawValue).joined(separator: ", ")
      throw ColumnSyntaxError("column \(name): the type '\(typeName)' is none of \(names)")
    }
    guard let expression = texts["expression"], expression.contains(where: { !$0.isWhitespace }) else {
      throw ColumnSyntaxError("column \(name) has no \"expression\"")
    }
    guard expression.utf8.count <= Limits.columnExpressionBytesMax else {
      throw ColumnSyntaxError("column \(name): its expression is longer than \(Limits.columnExpressionBytesMax) bytes")
    }
    if isFullText, ![.text, .json, .timestamptz].contains(type) {
      throw ColumnSyntaxError("column \(name): only TEXT, JSON and TIMESTAMPTZ have words for \"fulltext\"")
    }
    definition = Definition(type: type, expression: expression)
  }

  private static func complaint(aboutName name: String) -> String? {
    let isLetter: (UInt8) -> Bool = { (0x41...0x5A).contains($0 & 0xDF) || $0 == 0x5F }
    let isDigit: (UInt8) -> Bool = { (0x30...0x39).contains($0) }
    if fixedNames.contains(name.lowercased()) { return "every topic has a column of that name" }
    guard let first = name.utf8.first, isLetter(first), name.utf8.allSatisfy({ isLetter($0) || isDigit($0) }) else {
      return "a name is letters, digits and _, and begins with no digit"
    }
    return name.utf8.count <= Limits.columnNameBytesMax ? nil : "a name has at most \(Limits.columnNameBytesMax) characters"
  }

  /// The text of `quire.columns` for these columns; empty for none.
  public static func text(_ columns: [DeclaredColumn]) -> String {
    if columns.isEmpty { return "" }
    return "[" + columns.map(\.json).joined(separator: ",") + "]"
  }

  private var json: String {
    var parts = ["\"name\":\(FlatJSON.quoted(name))"]
    if let definition {
      parts.append("\"type\":\"\(definition.type.rawValue)\"")
      parts.append("\"expression\":\(FlatJSON.quoted(definition.expression))")
    }
    if isIndexed { parts.append("\"indexed\":true") }
    if isFullText { parts.append("\"fulltext\":true") }
    return "{" + parts.joined(separator: ",") + "}"
  }
}

/// What is wrong with a text of declared columns, in a sentence.
public struct ColumnSyntaxError: Error, Hashable, Sendable, CustomStringConvertible {
  public var description: String
  init(_ description: String) { self.description = description }
}
