public import Metadata
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

  /// Gives one partition away, which `node` leads and cannot serve: its files are damaged, or its disk fails. The node leaves the in-sync set, and
  /// is in it again when it has everything whole.
  ///
  /// - Parameter epoch: in which the node leads.
  /// - Returns: who leads now; nil where nothing was changed: the node does not lead in that epoch, or nobody else is in sync.
  /// - Throws: the cluster cannot be asked.
  @discardableResult
  public func giveUp(
    _ partition: PartitionIdentity, in epoch: LeaderEpoch, by node: NodeID
  ) async throws(ClusterError) -> NodeID? {
    for _ in 0..<20 {
      let decisions = ControllerDecisions(image)
      guard let known = decisions.image.topic(partition.topicID)?.partition(partition.partition),
        known.leader == node, known.leaderEpoch == epoch, let next = decisions.handedOver(known, from: node)
      else { return nil }
      let change = PartitionChange(
        topicID: partition.topicID, partition: partition.partition, expected: known, next: next)
      if try await changePartitions([change]) == [true] { return next.leader }
    }
    throw ClusterError(.requestTimedOut, "the partition is being changed by others all the time")
  }

  /// Asks for the next epochs of these partitions where `node` leads them: those of an earlier life are not gone on with.
  ///
  /// The image shows what became of them.
  ///
  /// - Throws: the cluster cannot be asked; some may have been changed.
  public func renewEpochs(of partitions: Set<PartitionIdentity>, ledBy node: NodeID) async throws(ClusterError) {
    let changes = ControllerDecisions(image).restarted(node).filter {
      partitions.contains(PartitionIdentity(topicID: $0.topicID, partition: $0.partition))
    }
    if !changes.isEmpty { _ = try await changePartitions(changes) }
  }
}
