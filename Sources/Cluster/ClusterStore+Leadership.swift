internal import Metadata
public import Model

extension ClusterStore {
  /// Gives away what this node leads, because it is about to stop: the cluster is told, and every leadership goes to another in-sync replica.
  ///
  /// - Returns: how many partitions the node still leads, because nobody else is in sync.
  /// - Throws: the cluster cannot be asked; some leaderships may have been given away.
  @discardableResult
  public func handOver(from node: NodeID) async throws(ClusterError) -> Int {
    if var record = image.nodes[node], !record.isStopping {
      record.isStopping = true
      try await register(record)
    }
    // Leaders change their in-sync sets, and the controller elects, at the same time.
    for _ in 0..<20 {
      let changes = ControllerDecisions(image).handOver(from: node)
      if changes.isEmpty { break }
      _ = try await changePartitions(changes)
    }
    return image.topics.values.reduce(0) { $0 + $1.partitions.count { $0.leader == node } }
  }
}
