internal import Indexes

/// The columns of each system table, for doors that describe tables.
public struct SystemTableColumns: Sendable {
  public var table: String
  public var columns: [SystemTable.Column]

  /// As a node has them.
  public static let all: [SystemTableColumns] = {
    let nothing = HistoryError(.unavailable, "only the tables' columns are known here")
    let storage = StorageTables(
      snapshot: { (_) throws(HistoryError) in throw nothing }, cut: { [:] },
      producers: { (_) throws(HistoryError) in throw nothing })
    let groups = GroupTables(groups: { () throws(HistoryError) in throw nothing }, storage: storage, now: { 0 })
    let indexes = IndexTables(
      storage: storage, topics: { [] }, columns: { _ in [] }, files: IndexFiles(confirmsOnce: false))
    return (storage.tables + indexes.tables + groups.tables + NodeTables.tables(nil, nil)).map {
      SystemTableColumns(table: $0.name, columns: $0.columns)
    }
  }()
}
