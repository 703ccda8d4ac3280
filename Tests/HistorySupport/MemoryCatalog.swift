public import Model
public import Query

/// A history in memory as what there is to ask.
public struct MemoryCatalog: HistoryCatalog {
  private let history: MemoryHistory
  private let columns: [String: [DeclaredColumn]]

  public init(_ history: MemoryHistory, columns: [String: [DeclaredColumn]] = [:]) {
    self.history = history
    self.columns = columns
  }

  public func columns(of topic: String) -> [DeclaredColumn] { columns[topic] ?? [] }

  public var topics: [String] { Array(Set(history.partitions.map(\.topic))).sorted() }

  public func prepare(_ topic: String) -> TopicSize? {
    let partitions = history.partitions.filter { $0.topic == topic }
    if partitions.isEmpty { return nil }
    return TopicSize(
      partitions: partitions.count, offsets: partitions.reduce(0) { $0 + $1.highWatermark - $1.logStartOffset })
  }

  public func cut(of topics: [String]) -> any HistorySource { history }
}
