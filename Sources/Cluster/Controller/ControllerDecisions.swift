internal import Metadata
internal import Model
internal import Replication

/// What whoever decides for the cluster makes of an image. A value that computes: every change is a compare-and-swap, so that of two nodes that
/// both believe they decide one gets its way.
struct ControllerDecisions {
  let image: ClusterImage
  /// Nodes with a session.
  let present: Set<NodeID>
  /// Of those, the ones that a leadership can be given to, the best first: neither stopping nor recovering; only recovering; whoever is there.
  private let candidates: [Set<NodeID>]

  init(_ image: ClusterImage) {
    self.image = image
    present = Set(image.nodes.keys)
    let staying = image.nodes.values.filter { !$0.isStopping }
    candidates = [Set(staying.filter { !$0.isRecovering }.map(\.id)), Set(staying.map(\.id)), present]
  }

  /// Elections, and reassignments that are done.
  var changes: [PartitionChange] {
    forEveryPartition { partition, topic in
      let elected = elected(partition, allowsUnclean: topic.configuration.allowsUncleanElection)
      return reassigned(elected ?? partition) ?? elected
    }
  }

  /// Leaders that are not the preferred ones, though those are there and in sync.
  var preferredLeaders: [PartitionChange] { forEveryPartition { partition, _ in preferred(partition) } }

  /// Every leadership of `node` that another in-sync replica can take. The node leaves those in-sync sets: it is about to stop.
  func handOver(from node: NodeID) -> [PartitionChange] {
    forEveryPartition { partition, _ in handedOver(partition, from: node) }
  }

  /// What becomes of partitions when `node` has lost what it had of them: it leaves their in-sync sets, also where that leaves them empty. Such
  /// a partition has no leader until somebody decides to lose records: its node has none of them, though it is the one who was in sync.
  func lost(by node: NodeID) -> [PartitionChange] {
    forEveryPartition { partition, _ in
      guard partition.isr.contains(node) || partition.leader == node else { return nil }
      var next = PartitionState(partition)
      next.isr.removeAll { $0 == node }
      guard partition.leader == node else { return partition.with(next) }
      next.leader = heir(of: next.isr, among: partition.replicas)
      next.leaderEpoch = partition.leaderEpoch.next
      return partition.with(next)
    }
  }

  /// The next epoch of each partition that `node` led when it started: it may have lost what it had shipped in the present one. Another in-sync replica
  /// may get it.
  func restarted(_ node: NodeID) -> [PartitionChange] { forEveryPartition { partition, _ in restarted(partition, node) } }

  private func forEveryPartition(_ next: (PartitionImage, TopicImage) -> PartitionImage?) -> [PartitionChange] {
    var changes: [PartitionChange] = []
    for topic in image.topics.values {
      for (number, partition) in topic.partitions.enumerated() {
        guard let next = next(partition, topic), next != partition else { continue }
        changes.append(PartitionChange(topicID: topic.id, partition: Int32(number), expected: partition, next: next))
      }
    }
    return changes
  }

  // MARK: One partition

  /// A leader for a partition whose own is gone: an in-sync replica, or nobody.
  ///
  /// Replicas that are gone leave the in-sync set; those that recover stay in it, which have what was acknowledged.
  ///
  /// - Returns: nil if nothing is to change.
  func elected(_ partition: PartitionImage, allowsUnclean: Bool) -> PartitionImage? {
    if let leader = partition.leader, present.contains(leader) { return nil }
    let state = PartitionState(partition)
    for nodes in candidates {
      if var next = state.elected(alive: nodes, allowsUnclean: false), next.leader != nil {
        next.isr = partition.isr.filter(present.contains)
        return partition.with(next)
      }
    }
    if allowsUnclean {
      for nodes in candidates {
        if let next = state.elected(alive: nodes, allowsUnclean: true), next.leader != nil { return partition.with(next) }
      }
    }
    return state.elected(alive: [], allowsUnclean: false).map(partition.with)
  }

  func preferred(_ partition: PartitionImage) -> PartitionImage? {
    PartitionState(partition).preferringFirst(alive: candidates[0]).map(partition.with)
  }

  func restarted(_ partition: PartitionImage, _ node: NodeID) -> PartitionImage? {
    let state = PartitionState(partition)
    // Another one that recovers is no better than this one, and one that stops is worse.
    guard var next = state.restarted(node, alive: candidates[0]) else { return nil }
    next.isr = partition.isr.filter { $0 == node || present.contains($0) }
    return partition.with(next)
  }

  func handedOver(_ partition: PartitionImage, from node: NodeID) -> PartitionImage? {
    guard partition.leader == node else { return nil }
    var without = PartitionState(partition)
    without.leader = nil
    without.isr.removeAll { $0 == node }
    for nodes in candidates {
      guard var next = without.elected(alive: nodes.subtracting([node]), allowsUnclean: false), next.leader != nil else {
        continue
      }
      next.isr = without.isr.filter(present.contains)
      return partition.with(next)
    }
    return nil
  }

  /// The end of a reassignment: all that were to come are in sync, so that those that were to go can.
  ///
  /// - Returns: nil while it is not done.
  func reassigned(_ partition: PartitionImage) -> PartitionImage? {
    guard partition.isBeingReassigned, partition.addingReplicas.allSatisfy(partition.isr.contains) else { return nil }
    return settled(partition, on: partition.replicas.filter { !partition.removingReplicas.contains($0) })
  }

  /// The partition on `replicas` alone, which leads it too.
  ///
  /// - Returns: nil while none of them is in sync and there to lead: a partition is not taken from its last good replicas.
  func settled(_ partition: PartitionImage, on replicas: [NodeID]) -> PartitionImage? {
    var next = partition
    next.replicas = replicas
    next.isr = partition.isr.filter(replicas.contains)
    next.addingReplicas = []
    next.removingReplicas = []
    guard !next.isr.isEmpty else { return nil }
    if let leader = partition.leader, !replicas.contains(leader) {
      guard let heir = heir(of: next.isr, among: replicas) else { return nil }
      next.leader = heir
      next.leaderEpoch = partition.leaderEpoch.next
    }
    return next
  }

  /// The best of the in-sync replicas that is there.
  func heir(of isr: [NodeID], among replicas: [NodeID]) -> NodeID? {
    candidates.lazy.compactMap { nodes in replicas.first { isr.contains($0) && nodes.contains($0) } }.first
  }
}

extension PartitionState {
  init(_ image: PartitionImage) {
    self.init(leader: image.leader, leaderEpoch: image.leaderEpoch, replicas: image.replicas, isr: image.isr)
  }
}

extension PartitionImage {
  /// The same partition, with another leader and in-sync set.
  func with(_ state: PartitionState) -> PartitionImage {
    var next = self
    next.leader = state.leader
    next.leaderEpoch = state.leaderEpoch
    next.isr = state.isr
    return next
  }
}
