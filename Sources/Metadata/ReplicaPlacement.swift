public import Model

/// Which nodes keep which partition of a topic.
///
/// Kafka's rule: leaders go round the nodes from a random one on, and each round of followers is shifted by one more than the last, so that the
/// partitions that one node leads have their followers on different nodes. With racks, the nodes are taken rack by rack in turn, and a partition
/// has no second replica in a rack as long as there is a rack without one.
public struct ReplicaPlacement: Sendable {
  private let nodes: [NodeImage]
  private let start: Int
  private let shift: Int
  private let rackCount: Int

  /// - Parameters:
  ///   - nodes: those that may keep partitions; at least one.
  ///   - random: where to begin and how far apart replicas are at first.
  public init(nodes: some Collection<NodeImage>, random: UInt64) {
    precondition(!nodes.isEmpty, "no node to place replicas on")
    self.nodes = Self.rackAlternated(nodes)
    start = Int(random % UInt64(nodes.count))
    shift = Int((random >> 32) % UInt64(nodes.count))
    rackCount = Set(nodes.map { $0.rack ?? "" }).count
  }

  /// The replicas of partition `number`, the preferred leader first; each node once.
  ///
  /// - Precondition: there are at least `replicationFactor` nodes.
  public func replicas(ofPartition number: Int, replicationFactor: Int) -> [NodeID] {
    precondition(replicationFactor <= nodes.count, "more replicas than nodes")
    let first = (number + start) % nodes.count
    var chosen = [first]
    var racks: Set<String> = [nodes[first].rack ?? ""]
    var step = shift + number / nodes.count
    while chosen.count < replicationFactor {
      let candidate = (first + 1 + step % max(nodes.count - 1, 1)) % nodes.count
      step += 1
      let rack = nodes[candidate].rack ?? ""
      guard !chosen.contains(candidate) else { continue }
      // After one round of all nodes every rack has been offered its turn.
      if rackCount > 1, racks.contains(rack), racks.count < rackCount { continue }
      chosen.append(candidate)
      racks.insert(rack)
    }
    return chosen.map { nodes[$0].id }
  }

  /// One node of each rack, then the second of each, and so on.
  private static func rackAlternated(_ nodes: some Collection<NodeImage>) -> [NodeImage] {
    let racks = Dictionary(grouping: nodes.sorted { $0.id < $1.id }) { $0.rack ?? "" }.sorted { $0.key < $1.key }.map(\.value)
    return (0..<(racks.map(\.count).max() ?? 0)).flatMap { place in racks.compactMap { $0.count > place ? $0[place] : nil } }
  }
}
