import Cluster
import Metadata
import Model
import Query
import Storage

/// The topics of a cluster as one of its nodes can be asked for them. Of a topic that it does not have whole it answers what concerns the partitions
/// that it has; for the rest it says what is missing, and where that is, instead of answering with less.
struct ClusterCatalog: HistoryCatalog {
  let local: StoreCatalog
  let store: LogStore
  let cluster: any ClusterStore

  var topics: [String] { cluster.image.clientTopics.map(\.name) }

  func columns(of topic: String) -> [DeclaredColumn] {
    (try? DeclaredColumn.list(cluster.image.topics[topic]?.configuration.columns ?? "")) ?? []
  }

  func prepare(_ topic: String) throws(HistoryError) -> TopicSize? {
    let size = try local.prepare(topic)
    guard let absence = absence(of: topic) else { return size }
    return TopicSize(
      partitions: absence.topic.partitions.count, offsets: size?.offsets ?? 0, segments: size?.segments ?? 0)
  }

  func cut(of topics: [String]) throws(HistoryError) -> any HistorySource {
    let cut = try local.cut(of: topics)
    let absent = topics.compactMap { absence(of: $0) }
    return absent.isEmpty ? cut : PartialHistory(cut, absent)
  }

  func makeSystemTables(cut: @escaping () throws(HistoryError) -> [String: any HistorySource]) -> [SystemTable] {
    local.makeSystemTables(cut: cut)
  }

  func watch(_ topic: String) -> (any HistoryWatch)? { local.watch(topic) }

  /// - Returns: nil where nothing is missing.
  private func absence(of topic: String) -> TopicAbsence? {
    let image = cluster.image
    guard let known = image.topics[topic], !known.isInternal else { return nil }
    let missing = known.partitions.indices.filter { number in
      store.partition(TopicPartition(topic: topic, partition: Int32(number)))?.topicID != known.id
    }
    if missing.isEmpty { return nil }
    let places = Dictionary(grouping: missing) { Self.place(of: known.partitions[$0], in: image) }
    let words = places.sorted { $0.key < $1.key }.map { place, numbers in
      "\(numbers.count == 1 ? "partition" : "partitions") \(Self.list(numbers)) \(place)"
    }
    return TopicAbsence(
      topic: known, missing: missing,
      error: HistoryError(.unavailable, "this node does not have all of topic \(topic): \(words.joined(separator: "; "))"))
  }

  private static func place(of partition: PartitionImage, in image: ClusterImage) -> String {
    guard let leader = partition.leader else { return "of which no replica is there now" }
    guard let node = image.nodes[leader] else { return "on node \(leader), which is not there now" }
    return "on node \(leader) (Kafka on \(HostPort(host: node.host, port: Int(node.port))))"
  }

  private static func list(_ numbers: [Int]) -> String {
    let shown = numbers.prefix(10).map(String.init).joined(separator: ", ")
    return numbers.count > 10 ? "\(shown) and \(numbers.count - 10) more" : shown
  }
}
