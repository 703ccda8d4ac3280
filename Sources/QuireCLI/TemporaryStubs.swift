internal import Query
internal import Storage
extension OfflineHistory {
  static func examine(dataDirectory: String) async throws { throw CommandFailure("later") }
}
enum OfflineStore { static func snapshot(dataDirectory: String) throws -> HistorySnapshot { throw CommandFailure("later") } }
struct SnapshotHistory: HistorySource { init(_ s: HistorySnapshot) {}; let partitions: [PartitionExtent] = []
 func openBatches(of index: Int) throws(HistoryError) -> any BatchSequence { throw HistoryError(.unavailable, "later") } }
