public import Model

/// Which columns of a topic's table are asked for.
public struct ColumnChoice: Sendable, Hashable {
  public var fixed: ExportColumns
  /// The names of declared columns; nil is all that there are.
  public var declared: [String]?

  public init(fixed: ExportColumns, declared: [String]?) {
    self.fixed = fixed
    self.declared = declared
  }

  public static let all = ColumnChoice(fixed: .all, declared: nil)

  /// - Parameter list: names that no topic has by itself are taken for those of declared columns; whether there are such is found out later.
  /// - Throws: `.refused` where there are none.
  public init(names list: some Sequence<some StringProtocol>) throws(ExportError) {
    fixed = []
    var others: [String] = []
    for name in list {
      if let known = ExportColumns.names.first(where: { $0.name == name }) {
        fixed.insert(known.column)
      } else {
        guard Self.mayBeDeclared(name) else { throw .refused("there is no column '\(name)' to export") }
        others.append(String(name))
      }
    }
    if fixed.isEmpty, others.isEmpty { throw .refused("no column is to be exported") }
    declared = others
  }

  private static func mayBeDeclared(_ name: some StringProtocol) -> Bool {
    let isLetter: (UInt8) -> Bool = { (0x41...0x5A).contains($0 & 0xDF) || $0 == 0x5F }
    guard let first = name.utf8.first, isLetter(first), !DeclaredColumn.fixedNames.contains(name.lowercased()) else {
      return false
    }
    return name.utf8.allSatisfy { isLetter($0) || (0x30...0x39).contains($0) }
  }

  /// The names that were asked for.
  public var list: [String] { fixed.list + (declared ?? []) }
}

/// A declared column as exports have it.
public struct ExportField: Sendable, Hashable {
  public var name: String
  public var type: DeclaredColumn.ColumnType
  /// Some topic has an index on its values.
  public var isIndexed: Bool
  /// What its values are computed by, for each topic that has it.
  public var expressions: [String: String]

  /// Values of both can stand in one file: not only their names and types are the same.
  func isSame(as other: ExportField) -> Bool {
    name == other.name && type == other.type && expressions == other.expressions
  }

  var json: JSON {
    .object([
      ("name", .string(name)), ("type", .string(type.rawValue)), ("indexed", .bool(isIndexed)),
      ("expressions", .object(expressions.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) })),
    ])
  }

  init(name: String, type: DeclaredColumn.ColumnType, isIndexed: Bool, expressions: [String: String]) {
    self.name = name
    self.type = type
    self.isIndexed = isIndexed
    self.expressions = expressions
  }

  /// Nil where it is none.
  init?(_ json: JSON) {
    guard let name = json["name"]?.string, let type = json["type"]?.string.flatMap(DeclaredColumn.ColumnType.init(rawValue:)),
      case .object(let members)? = json["expressions"]
    else { return nil }
    var expressions: [String: String] = [:]
    for (topic, expression) in members {
      guard let text = expression.string else { return nil }
      expressions[topic] = text
    }
    self.init(name: name, type: type, isIndexed: json["indexed"] == .bool(true), expressions: expressions)
  }
}

extension [ExportField] {
  func isSame(as other: [ExportField]) -> Bool { count == other.count && zip(self, other).allSatisfy { $0.isSame(as: $1) } }

  /// For people: `user TEXT, seconds INTEGER`.
  var words: String { isEmpty ? "none" : map { "\($0.name) \($0.type.rawValue)" }.joined(separator: ", ") }
}

/// The columns of an export, the same for all its records: first those that every topic has, behind them the declared ones.
public struct ExportSchema: Sendable, Hashable {
  public var fixed: ExportColumns
  public var fields: [ExportField]

  public init(fixed: ExportColumns, fields: [ExportField] = []) {
    self.fixed = fixed
    self.fields = fields
  }

  public static let all = ExportSchema(fixed: .all)

  /// Names that columns of a format have beside those of topics.
  private static let reserved: Set<String> = ["timestamp_type", "key_encoding", "value_encoding", "key_bytes", "value_bytes"]

  /// The columns that are asked for of some topics: the declared ones of all of them, each once.
  ///
  /// - Throws: `.refused` where a name is unknown, or means columns of several types.
  init(
    _ choice: ColumnChoice, topics: [String], columns: (String) -> [DeclaredColumn]
  ) throws(ExportError) {
    fixed = choice.fixed
    fields = []
    let wanted = choice.declared.map { Set($0.map { $0.lowercased() }) }
    var known: [String] = []
    var places: [String: Int] = [:]
    var owners: [String] = []
    for topic in topics {
      for column in columns(topic) {
        guard let definition = column.definition else { continue }
        // As SQL has it, names are the same whatever their case.
        let key = column.name.lowercased()
        if !known.contains(where: { $0.lowercased() == key }) { known.append(column.name) }
        if wanted?.contains(key) == false { continue }
        if let place = places[key] {
          guard fields[place].type == definition.type else {
            throw .refused(
              "the column \(column.name) is \(fields[place].type.rawValue) in topic '\(owners[place])' and "
                + "\(definition.type.rawValue) in topic '\(topic)': export them one by one, or choose other columns")
          }
          fields[place].expressions[topic] = definition.expression
          fields[place].isIndexed = fields[place].isIndexed || column.isIndexed
          continue
        }
        if Self.reserved.contains(key) {
          throw .refused(
            "the column \(column.name) of topic '\(topic)' has the name of a column that exports have beside it: choose other columns"
          )
        }
        places[key] = fields.count
        owners.append(topic)
        fields.append(
          ExportField(
            name: column.name, type: definition.type, isIndexed: column.isIndexed, expressions: [topic: definition.expression]))
      }
    }
    if let strange = choice.declared?.first(where: { places[$0.lowercased()] == nil }) {
      let names = (ExportColumns.names.map(\.name) + known).joined(separator: ", ")
      throw .refused("there is no column '\(strange)' to export; there are: \(names)")
    }
  }
}
