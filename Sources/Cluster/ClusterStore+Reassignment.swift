internal import Metadata
public import Model

// What administrators do with single partitions: compare-and-swaps that are computed from the image, for every store alike.
extension ClusterStore {
  /// Moves partitions to other nodes. What is to come is added at once; what is to go leaves when that is in sync, which the controller sees to.
  ///
  /// - Parameter targets: for each partition the nodes that are to keep it at the end, the preferred leader first; nil takes back what is under
  ///   way.
  /// - Returns: for each partition why it is not moved; nil where it is.
  /// - Throws: the cluster cannot be asked; some moves may have begun.
  public func reassign(_ targets: [TopicPartition: [NodeID]?]) async throws(ClusterError) -> [TopicPartition: ClusterError?] {
    try await changingEach(Set(targets.keys)) { name, partition, decisions throws(ClusterError) in
      try decisions.moved(partition, to: targets[name] ?? nil)
    }
  }

  /// Has partitions led by their preferred replicas, or, uncleanly, those without a leader by any replica that is there: what was acknowledged may
  /// be lost then.
  ///
  /// - Returns: for each partition why it has no new leader; nil where it has.
  /// - Throws: the cluster cannot be asked; some may have been elected.
  public func electLeaders(
    of partitions: Set<TopicPartition>, isUnclean: Bool
  ) async throws(ClusterError) -> [TopicPartition: ClusterError?] {
    try await changingEach(partitions) { _, partition, decisions throws(ClusterError) in
      isUnclean ? try decisions.uncleanlyElected(partition) : try decisions.preferredElected(partition)
    }
  }

  /// Changes each of these partitions as `next` says, again where another node was faster.
  private func changingEach(
    _ partitions: Set<TopicPartition>,
    _ next: (TopicPartition, PartitionImage, ControllerDecisions) throws(ClusterError) -> PartitionImage
  ) async throws(ClusterError) -> [TopicPartition: ClusterError?] {
    var outcomes: [TopicPartition: ClusterError?] = [:]
    var left = partitions.sorted()
    for _ in 0..<20 where !left.isEmpty {
      let decisions = ControllerDecisions(image)
      var changes: [(name: TopicPartition, change: PartitionChange)] = []
      for name in left {
        do throws(ClusterError) {
          guard let topic = decisions.image.topics[name.topic], let partition = topic.partition(name.partition) else {
            throw ClusterError(.unknownTopicOrPartition, "there is no partition \(name)")
          }
          let next = try next(name, partition, decisions)
          outcomes[name] = .some(nil)
          if next == partition { continue }
          changes.append(
            (name, PartitionChange(topicID: topic.id, partition: name.partition, expected: partition, next: next)))
        } catch { outcomes[name] = error }
      }
      if changes.isEmpty { return outcomes }
      let isMade = try await changePartitions(changes.map(\.change))
      left = zip(changes, isMade).filter { !$1 }.map(\.0.name)
    }
    for name in left {
      outcomes[name] = ClusterError(.requestTimedOut, "\(name) is being changed by others all the time; try again")
    }
    return outcomes
  }
}

extension ControllerDecisions {
  /// The partition on its way to `target`, or back (nil).
  func moved(_ partition: PartitionImage, to target: [NodeID]?) throws(ClusterError) -> PartitionImage {
    if let target { try reassigned(partition, to: target) } else { try cancelled(partition) }
  }

  /// At once there where nothing has to be copied.
  private func reassigned(_ partition: PartitionImage, to target: [NodeID]) throws(ClusterError) -> PartitionImage {
    if target.isEmpty { throw ClusterError(.invalidReplicaAssignment, "a partition is assigned to no node") }
    if Set(target).count != target.count {
      throw ClusterError(.invalidReplicaAssignment, "a partition is assigned to the same node twice")
    }
    let original = partition.replicas.filter { !partition.addingReplicas.contains($0) }
    if let strange = target.first(where: { image.nodes[$0] == nil && !original.contains($0) }) {
      throw ClusterError(.invalidReplicaAssignment, "a partition is assigned to node \(strange), which is unknown")
    }
    let removing = original.filter { !target.contains($0) }
    return try onWay(
      partition, replicas: target + removing, adding: target.filter { !original.contains($0) }, removing: removing)
  }

  /// The partition where it was before a reassignment.
  private func cancelled(_ partition: PartitionImage) throws(ClusterError) -> PartitionImage {
    guard partition.isBeingReassigned else {
      throw ClusterError(.noReassignmentInProgress, "the partition is not being reassigned")
    }
    return try onWay(
      partition, replicas: partition.replicas.filter { !partition.addingReplicas.contains($0) }, adding: [], removing: [])
  }

  private func onWay(
    _ partition: PartitionImage, replicas: [NodeID], adding: [NodeID], removing: [NodeID]
  ) throws(ClusterError) -> PartitionImage {
    // Some of what an earlier reassignment brought may not be wanted any more.
    guard var next = settled(partition, on: replicas) else {
      throw ClusterError(.invalidReplicaAssignment, "none of the nodes that the partition would be left on is in sync")
    }
    next.addingReplicas = adding
    next.removingReplicas = removing
    return reassigned(next) ?? next
  }

  fileprivate func preferredElected(_ partition: PartitionImage) throws(ClusterError) -> PartitionImage {
    if partition.leader == partition.replicas.first {
      throw ClusterError(.electionNotNeeded, "the preferred replica leads already")
    }
    guard let next = preferred(partition) else {
      throw ClusterError(.preferredLeaderNotAvailable, "the preferred replica is not there, or not in sync")
    }
    return next
  }

  fileprivate func uncleanlyElected(_ partition: PartitionImage) throws(ClusterError) -> PartitionImage {
    if let leader = partition.leader, present.contains(leader) {
      throw ClusterError(.electionNotNeeded, "the partition has a leader")
    }
    guard let next = elected(partition, allowsUnclean: true), next.leader != nil else {
      throw ClusterError(.eligibleLeadersNotAvailable, "none of the partition's nodes is there")
    }
    return next
  }
}
