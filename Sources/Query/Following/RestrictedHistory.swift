internal import Model
internal import Synchronization

/// A cut of which each partition begins where a follower is.
struct RestrictedHistory: HistorySource {
  private let source: any HistorySource
  let partitions: [PartitionExtent]

  init(_ source: any HistorySource, from next: [Int32: Int64]) {
    self.source = source
    partitions = source.partitions.map { extent in
      var extent = extent
      extent.logStartOffset = min(max(extent.logStartOffset, next[extent.partition] ?? 0), extent.highWatermark)
      return extent
    }
  }

  func openBatches(of index: Int) throws(HistoryError) -> any BatchSequence { try source.openBatches(of: index) }
  func openIndexes(of index: Int) -> (any PartitionIndexes)? { source.openIndexes(of: index) }
}

/// The catalog of a session that follows: its cuts are those that the follower takes for it.
final class FollowedCatalog: HistoryCatalog {
  private let catalog: any HistoryCatalog
  private let current = Mutex<(any HistorySource)?>(nil)

  init(_ catalog: any HistoryCatalog) { self.catalog = catalog }

  func show(_ source: any HistorySource) { current.withLock { $0 = source } }

  var topics: [String] { catalog.topics }
  func columns(of topic: String) -> [DeclaredColumn] { catalog.columns(of: topic) }
  func prepare(_ topic: String) throws(HistoryError) -> TopicSize? { try catalog.prepare(topic) }
  func makeSystemTables(cut: @escaping () throws(HistoryError) -> [String: any HistorySource]) -> [SystemTable] {
    catalog.makeSystemTables(cut: cut)
  }

  func cut(of topics: [String]) throws(HistoryError) -> any HistorySource {
    guard let source = current.withLock({ $0 }) else { throw HistoryError(.unavailable, "there is no cut yet") }
    return source
  }
}
