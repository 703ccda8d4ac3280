internal import Model

/// Cuts topics for the statements that read them.
protocol TopicCutting: AnyObject {
  /// What a cursor over the topic reads.
  func cut(of topic: String) throws(HistoryError) -> TopicTable.Cut
  /// About how large the topic is by now, where tables outlive statements; nil where what was known first will do.
  func currentSize(of topic: String) -> TopicSize?
  /// What a cursor would read, without any effect on what one will.
  func cutToExplain(_ topic: String) throws(HistoryError) -> TopicTable.Cut
}

extension TopicCutting {
  func cutToExplain(_ topic: String) throws(HistoryError) -> TopicTable.Cut { try cut(of: topic) }
}

/// The cuts of a session: one for all the topics that a statement is the first to name.
///
/// SQLite connects every table that a statement names while it prepares it, and opens none before it steps: between the two lies the
/// moment of the cut. What a session has read once it reads as it was then, also in later statements.
final class TopicCuts: TopicCutting {
  private let catalog: any HistoryCatalog
  private var prepared: [String] = []
  private var cuts: [String: TopicTable.Cut] = [:]

  init(_ catalog: any HistoryCatalog) { self.catalog = catalog }

  /// Gets a topic ready for the next cut.
  ///
  /// - Returns: nil if there is no such topic any more.
  func prepare(_ topic: String) throws(HistoryError) -> TopicSize? {
    let size = try catalog.prepare(topic)
    if size != nil, cuts[topic] == nil, !prepared.contains(topic) { prepared.append(topic) }
    return size
  }

  func columns(of topic: String) -> [DeclaredColumn] { catalog.columns(of: topic) }
  func currentSize(of topic: String) -> TopicSize? { nil }

  func cutToExplain(_ topic: String) throws(HistoryError) -> TopicTable.Cut {
    if let cut = cuts[topic] { return cut }
    let source = try catalog.cut(of: [topic])
    return TopicTable.Cut(
      source: source, partitions: source.partitions.indices.filter { source.partitions[$0].topic == topic })
  }

  /// Lets go of what was cut: who reads next sees a new cut of the same topics.
  func forget() {
    prepared += cuts.keys
    cuts = [:]
  }

  /// The topics that statements have named.
  var topics: [String] { prepared + cuts.keys }

  /// The topic's cut; taken now, with those of all others that have been prepared, if there is none yet.
  func cut(of topic: String) throws(HistoryError) -> TopicTable.Cut {
    if let cut = cuts[topic] { return cut }
    try cutPrepared()
    guard let cut = cuts[topic] else { throw HistoryError(.unavailable, "the topic \(topic) is gone") }
    return cut
  }

  /// What each topic that statements have named was cut from.
  func all() throws(HistoryError) -> [String: any HistorySource] {
    if !prepared.isEmpty { try cutPrepared() }
    return cuts.mapValues(\.source)
  }

  private func cutPrepared() throws(HistoryError) {
    let source = try catalog.cut(of: prepared)
    var positions: [String: [Int]] = [:]
    for (index, extent) in source.partitions.enumerated() { positions[extent.topic, default: []].append(index) }
    for name in prepared { cuts[name] = TopicTable.Cut(source: source, partitions: positions[name] ?? []) }
    prepared = []
  }
}
