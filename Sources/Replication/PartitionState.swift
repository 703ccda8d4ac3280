public import Model

/// What the cluster has decided about one partition.
public struct PartitionState: Hashable, Sendable {
  /// Nil while none of the in-sync replicas is there.
  public var leader: NodeID?
  public var leaderEpoch: LeaderEpoch
  /// The first one is the preferred leader.
  public var replicas: [NodeID]
  public var isr: [NodeID]

  public init(leader: NodeID?, leaderEpoch: LeaderEpoch, replicas: [NodeID], isr: [NodeID]) {
    self.leader = leader
    self.leaderEpoch = leaderEpoch
    self.replicas = replicas
    self.isr = isr
  }
}

extension PartitionState {
  /// What the controller makes of the partition, given which nodes have a session.
  ///
  /// A leader is only ever chosen from the in-sync replicas, which have everything that was acknowledged, in the order of `replicas`. The in-sync
  /// replicas that are gone leave the set with the election, so that acks=all does not wait for them; the last ones stay, whoever is gone.
  ///
  /// - Parameter allowsUnclean: rather lose what was acknowledged than have no leader (`unclean.leader.election.enable`).
  /// - Returns: nil if nothing is to change.
  public func elected(alive: Set<NodeID>, allowsUnclean: Bool) -> PartitionState? {
    if let leader, alive.contains(leader) { return nil }
    var next = self
    let inSync = isr.filter(alive.contains)
    if let candidate = replicas.first(where: { inSync.contains($0) }) {
      next.leader = candidate
      next.isr = inSync
    } else if allowsUnclean, let candidate = replicas.first(where: alive.contains) {
      next.leader = candidate
      next.isr = [candidate]
    } else {
      if leader == nil { return nil }
      next.leader = nil
    }
    next.leaderEpoch = leaderEpoch.next
    return next
  }

  /// What a node asks for that has restarted and finds itself the leader of an epoch that it led before: it may have lost commits of that epoch
  /// which it had shipped, so it must not go on with it. Another in-sync replica leads, or the node itself under a new epoch.
  ///
  /// - Returns: nil if the node does not lead.
  public func restarted(_ node: NodeID, alive: Set<NodeID>) -> PartitionState? {
    guard leader == node else { return nil }
    var next = self
    let others = isr.filter { $0 != node && alive.contains($0) }
    next.leader = replicas.first { others.contains($0) } ?? node
    next.isr = isr.filter { $0 == node || alive.contains($0) }
    next.leaderEpoch = leaderEpoch.next
    return next
  }

  /// The preferred leader's turn, if it is there and in sync.
  ///
  /// - Returns: nil if it leads already, or may not.
  public func preferringFirst(alive: Set<NodeID>) -> PartitionState? {
    guard let first = replicas.first, leader != first, isr.contains(first), alive.contains(first) else { return nil }
    var next = self
    next.leader = first
    next.leaderEpoch = leaderEpoch.next
    return next
  }
}
