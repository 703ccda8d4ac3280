import Model
import Query
import Synchronization

/// pg_catalog and information_schema as tables over the topics there are: made when a statement reads them, joinable with each other
/// and with topics.
enum PostgresCatalog {
  typealias Row = [SQLParameter]

  /// Numbers of things that Postgres gives the same number everywhere.
  enum Number {
    static let pgCatalog: Int64 = 11
    static let publicSchema: Int64 = 2200
    static let informationSchema: Int64 = 13_207
    static let owner: Int64 = 10
    static let database: Int64 = 5
    static let heap: Int64 = 2
    static let tablespace: Int64 = 1663
    static let defaultCollation: Int64 = 100
    static let classes: Int64 = 1259
  }

  static func additions(
    _ catalog: any HistoryCatalog, settings: PostgresSettings, identity: PostgresIdentity, cursors: [String] = [],
    statements: [String] = []
  ) -> SQLAdditions {
    let relations = CatalogRelations(catalog)
    let context = CatalogContext(
      relations: relations, settings: settings, identity: identity, cursors: cursors, statements: statements)
    let tables = CatalogSchema.tables.map { schema in
      let columns = columns(of: schema.columns)
      let content = contents[schema.name]
      return RowTable(name: schema.name, columns: columns.map { ($0.name, declaration($0.type)) }) { _ in
        guard let content else { return [] }
        return content(context).map { values in
          columns.map { values[$0.name] ?? empty($0.type) }
        }
      }
    }
    return SQLAdditions(
      tables: tables + PostgresFunctions.tables + [PostgresFunctions.keywords],
      functions: PostgresFunctions.all + CatalogFunctions.all(relations, settings: settings, identity: identity),
      aggregates: PostgresFunctions.aggregates)
  }

  /// Columns by `name:letter`.
  static func columns(of text: String) -> [(name: String, type: PostgresType)] {
    text.split(separator: " ").map { column in
      let parts = column.split(separator: ":")
      return (String(parts[0]), parts.last?.first.flatMap { CatalogSchema.letters[$0] } ?? .text)
    }
  }

  /// The type for clients, and a word that makes SQLite compare as it should.
  static func declaration(_ type: PostgresType) -> String {
    switch type {
    case .oid, .int2, .int4, .int8, .bool: "\(type) INTEGER"
    case .float4, .float8: "\(type) REAL"
    default: "\(type.catalogName) TEXT"
    }
  }

  /// What a column has where nothing is said: numbers and flags are never NULL in catalogues.
  private static func empty(_ type: PostgresType) -> SQLParameter {
    switch type {
    case .oid, .int2, .int4, .bool: .integer(0)
    case .char: .text("")
    default: .null
    }
  }

  /// The type of a column by its name, where all topics agree on it.
  static func columnType(_ name: String) -> PostgresType? { columnTypes[name.lowercased()] }
  private static let columnTypes: [String: PostgresType] = {
    var types: [String: PostgresType] = ["key": .text, "value": .text]
    for column in TopicTableColumns.all {
      if let type = PostgresType(declared: column.declaredType) { types[column.name] = type }
    }
    types["oid"] = .oid
    return types
  }()
}

/// What the rows of a catalogue are made of.
struct CatalogContext: Sendable {
  var relations: CatalogRelations
  var settings: PostgresSettings
  var identity: PostgresIdentity
  /// Names that the connection has given.
  var cursors: [String]
  var statements: [String]
}

/// The tables there are: topics, and the catalogues themselves.
final class CatalogRelations: Sendable {
  struct Relation: Sendable {
    struct Column: Sendable {
      var name: String
      var type: PostgresType
      var isNotNull: Bool
    }
    var oid: Int64
    var name: String
    var namespace: Int64
    var columns: [Column]
    var isTopic: Bool { namespace == PostgresCatalog.Number.publicSchema }
    var schema: String { PostgresCatalog.schemaName(namespace) }
    var kind: String { namespace == PostgresCatalog.Number.informationSchema ? "v" : "r" }
  }

  private let catalog: any HistoryCatalog
  private let made = Mutex<[Relation]?>(nil)

  init(_ catalog: any HistoryCatalog) { self.catalog = catalog }

  var all: [Relation] {
    if let made = made.withLock({ $0 }) { return made }
    let relations = Self.systemRelations + topics()
    made.withLock { $0 = relations }
    return relations
  }

  func relation(_ oid: Int64) -> Relation? { all.first { $0.oid == oid } }

  /// `name`, `"Name"` or `schema.name`.
  func relation(named text: String) -> Relation? {
    guard let tokens = try? SQLLexer.tokens(text) else { return nil }
    let parts = tokens.compactMap { SQLNode.token($0).name }
    guard let name = parts.last else { return nil }
    let schema = parts.count > 1 ? parts[parts.count - 2] : nil
    let candidates = all.filter { $0.name == name && (schema == nil || $0.schema == schema) }
    return candidates.first { $0.schema == "pg_catalog" } ?? candidates.first { schema != nil || $0.isTopic }
  }

  /// A topic's number follows from its name, so that it is the same in every session; topics that would share one are told apart by
  /// their order.
  private func topics() -> [Relation] {
    var taken: Set<Int64> = []
    return TopicTableNames.names(of: catalog.topics, taken: Set(CatalogSchema.tables.map(\.name)))
      .sorted { $0.name < $1.name }.map { name, topic in
        var oid = Self.number(of: name)
        while !taken.insert(oid).inserted { oid += 1 }
        let columns = TopicTableColumns.all(of: topic, in: catalog).filter { !$0.isHidden }.map { column in
          Relation.Column(
            name: column.name, type: PostgresType(declared: column.declaredType) ?? .text, isNotNull: column.isNotNull)
        }
        return Relation(oid: oid, name: name, namespace: PostgresCatalog.Number.publicSchema, columns: columns)
      }
  }

  /// FNV-1a, above the numbers that Postgres keeps for itself and within a signed integer.
  private static func number(of name: String) -> Int64 {
    let hash = name.utf8.reduce(2_166_136_261 as UInt32) { ($0 ^ UInt32($1)) &* 16_777_619 }
    return Int64(hash & 0x3FFF_FFFF) + 100_000
  }

  private static let systemRelations: [Relation] = CatalogSchema.tables.enumerated().map { index, schema in
    let isInformation = schema.name.hasPrefix("information_schema.")
    let known: [String: Int64] = [
      "pg_class": 1259, "pg_type": 1247, "pg_attribute": 1249, "pg_proc": 1255, "pg_namespace": 2615, "pg_database": 1262,
      "pg_constraint": 2606, "pg_index": 2610, "pg_description": 2609, "pg_attrdef": 2604,
    ]
    return Relation(
      oid: known[schema.name] ?? Int64(12_000 + index),
      name: isInformation ? String(schema.name.dropFirst("information_schema.".count)) : schema.name,
      namespace: isInformation ? PostgresCatalog.Number.informationSchema : PostgresCatalog.Number.pgCatalog,
      columns: PostgresCatalog.columns(of: schema.columns).map { .init(name: $0.name, type: $0.type, isNotNull: false) })
  }
}

extension PostgresCatalog {
  static func schemaName(_ number: Int64) -> String {
    switch number {
    case Number.pgCatalog: "pg_catalog"
    case Number.informationSchema: "information_schema"
    default: "public"
    }
  }
}
