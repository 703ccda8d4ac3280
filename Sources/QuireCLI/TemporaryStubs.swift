internal import Storage

/// Stands in for Storage's until that is there.
enum OfflineStore {
  static func snapshot(dataDirectory: String) throws -> HistorySnapshot {
    throw CommandFailure("reading a data directory without its node is not possible yet")
  }
}
