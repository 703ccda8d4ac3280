internal import Model

/// The columns that every topic has as a table, for doors that describe tables.
public struct TopicTableColumns: Sendable {
  public var name: String
  /// The words it is declared with; empty for keys and values, which are what their bytes are.
  public var declaredType: String
  public var isNotNull: Bool
  public var isHidden: Bool

  public static let all: [TopicTableColumns] = [
    .init(name: "topic", declaredType: "TEXT", isNotNull: true, isHidden: false),
    .init(name: "partition", declaredType: "INTEGER", isNotNull: true, isHidden: false),
    .init(name: "offset", declaredType: "INTEGER", isNotNull: true, isHidden: false),
    .init(name: "timestamp", declaredType: "INTEGER", isNotNull: true, isHidden: false),
    .init(name: "time", declaredType: "TIMESTAMPTZ TEXT", isNotNull: false, isHidden: false),
    .init(name: "key", declaredType: "", isNotNull: false, isHidden: false),
    .init(name: "value", declaredType: "", isNotNull: false, isHidden: false),
    .init(name: "headers", declaredType: "JSON TEXT", isNotNull: true, isHidden: false),
    .init(name: "producer_id", declaredType: "INTEGER", isNotNull: false, isHidden: true),
    .init(name: "leader_epoch", declaredType: "INTEGER", isNotNull: false, isHidden: true),
    .init(name: "compression", declaredType: "TEXT", isNotNull: false, isHidden: true),
    .init(name: "batch_offset", declaredType: "INTEGER", isNotNull: false, isHidden: true),
  ]

  /// Those of one topic: with the columns that are declared for it.
  public static func all(of topic: String, in catalog: any HistoryCatalog) -> [TopicTableColumns] {
    all
      + catalog.columns(of: topic).compactMap { column in
        column.definition.map {
          TopicTableColumns(name: column.name, declaredType: $0.type.declaration, isNotNull: false, isHidden: false)
        }
      }
  }
}

/// Under which names topics are tables.
public enum TopicTableNames {
  /// - Parameter taken: names in lower case that a door's own tables have.
  public static func names(of topics: [String], taken: Set<String>) -> [(name: String, topic: String)] {
    TopicCatalog(topics, taken: SQLSession.takenNames.union(taken)).tables.map { ($0.name, $0.topic) }
  }
}
