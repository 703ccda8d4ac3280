internal import Query
internal import Storage
extension OfflineHistory {
  static func examine(dataDirectory: String) async throws { throw CommandFailure("later") }
}
enum OfflineStore { static func snapshot(dataDirectory: String) throws -> HistorySnapshot { throw CommandFailure("later") } }
