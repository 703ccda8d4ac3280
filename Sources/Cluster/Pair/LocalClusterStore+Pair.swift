public import Metadata
public import Model
import SQLite
import Storage
import Synchronization

// What a leader does about its standby.

extension LocalClusterStore {
  /// What this node is, durably.
  public var pair: PairState { pairState.withLock { $0 } }

  public var isStandby: Bool { pair.role == .standby }

  /// A partition as this node has it.
  func newPartition(leaderEpoch: LeaderEpoch) -> PartitionImage {
    let pair = pair
    switch pair.role {
    case .leader:
      let replicas = [nodeID] + (pair.peer.map { [$0] } ?? [])
      return PartitionImage(leader: nodeID, leaderEpoch: leaderEpoch, replicas: replicas, isr: replicas)
    case .standby:
      // Its clients read from it; what it is a copy of is not theirs to reach.
      return PartitionImage(leader: nodeID, leaderEpoch: leaderEpoch, replicas: [nodeID], isr: [nodeID])
    case .fenced:
      return PartitionImage(leader: nil, leaderEpoch: leaderEpoch, replicas: [nodeID], isr: [nodeID])
    }
  }

  /// The nodes that have to have what is appended; nil for this one alone. Nobody can take the standby out of them while it is away.
  var replicas: ReplicaSet? {
    guard let standby = pair.standby else { return nil }
    return ReplicaSet(replicas: [nodeID, standby], inSync: [nodeID, standby], isFixed: true)
  }

  /// Why this node changes nothing of the cluster; nil for a leader.
  func checkLeads() throws(ClusterError) {
    let pair = pair
    switch pair.role {
    case .leader: break
    case .standby:
      let leader = pair.peerKafkaAddress.isEmpty ? pair.peerAddress?.description ?? "" : pair.peerKafkaAddress
      throw ClusterError(
        .policyViolation, "this node is a standby and changes nothing: ask the leader\(leader.isEmpty ? "" : " at \(leader)")")
    case .fenced:
      throw ClusterError(
        .policyViolation, "this node leads no longer: \(pair.peer.map { "node \($0)" } ?? "another node") was promoted")
    }
  }

  /// Makes a node the standby of this one, durably, and has every partition wait for it from now on. Does nothing but keep the address where
  /// it is the standby already.
  ///
  /// - Parameter address: where its own peer port is; nil if it has none.
  /// - Returns: partitions that could not be told, in sentences; they take nothing until they can be opened.
  /// - Throws: this node does not lead, or has another standby.
  @discardableResult
  public func registerStandby(_ node: NodeID, address: HostPort?) async throws(ClusterError) -> [String] {
    try await serially { cluster throws(ClusterError) in
      var pair = cluster.pair
      guard pair.role == .leader else { throw ClusterError(.notLeaderOrFollower, "this node does not lead") }
      if let other = pair.peer, other != node {
        throw ClusterError(
          .policyViolation,
          "this node has a standby, node \(other); `quire cluster forget-standby` on it makes room for another one")
      }
      let isNew = pair.peer == nil
      if !isNew, pair.peerAddress == address { return [] }
      pair.peer = node
      pair.peerAddress = address
      if isNew {
        pair.sinceMilliseconds = cluster.now()
        // Another one than before, whatever the clock did.
        pair.registration = max(pair.registration + 1, pair.sinceMilliseconds)
      }
      try cluster.write(pair)
      return isNew ? cluster.replicasChanged() : []
    }
  }

  /// This node is alone again: what is appended waits for nobody. What the standby lacks from now on, it lacks.
  ///
  /// - Returns: the node that was its standby.
  /// - Throws: it has none.
  public func forgetStandby() async throws(ClusterError) -> NodeID {
    try await serially { cluster throws(ClusterError) in
      var pair = cluster.pair
      guard let standby = pair.standby else { throw ClusterError(.resourceNotFound, "this node has no standby") }
      pair.peer = nil
      pair.peerAddress = nil
      pair.sinceMilliseconds = cluster.now()
      try cluster.write(pair)
      _ = cluster.replicasChanged()
      return standby
    }
  }

  /// Tells every partition, and the image, which nodes have to have what is appended.
  private func replicasChanged() -> [String] {
    let replicas = replicas
    var complaints: [String] = []
    for topic in image.topics.values {
      for number in topic.partitions.indices {
        let partition = TopicPartition(topic: topic.name, partition: Int32(number))
        do throws(StorageError) {
          try store.setReplicas(of: partition, topicID: topic.id, replicas)
        } catch { complaints.append("\(partition): \(error)") }
      }
    }
    complaints += replicateShards()
    partitionsChanged()
    return complaints
  }

  /// Tells the coordinator's shards which nodes have to have what is appended: after this node leads them.
  ///
  /// - Returns: those that could not be told, in sentences.
  @discardableResult
  public func replicateShards() -> [String] {
    (0..<Limits.coordinatorShardCount).compactMap { shard in
      do throws(StorageError) {
        try store.setReplicas(of: CoordinatorTopic.partition(shard), topicID: CoordinatorTopic.id, replicas)
        return nil
      } catch { return "\(CoordinatorTopic.partition(shard)): \(error)" }
    }
  }

  /// Shows every partition as this node has it now.
  func partitionsChanged() {
    var changes: [ClusterChange] = []
    for topic in image.topics.values {
      for (number, partition) in topic.partitions.enumerated() {
        changes.append(
          .partitionChanged(topic.id, partition: Int32(number), newPartition(leaderEpoch: partition.leaderEpoch)))
      }
    }
    apply(changes)
  }

  func write(_ pair: PairState) throws(ClusterError) {
    try transaction { connection throws(SQLiteError) in try PairTable.write(pair, connection) }
    pairState.withLock { $0 = pair }
  }

  /// Another node was promoted over this one, which takes no records from now on and is fenced when it starts again.
  ///
  /// - Throws: it is not durable; or the epoch is no news.
  public func fence(by node: NodeID, epoch: LeaderEpoch, address: HostPort?) async throws(ClusterError) {
    try await serially { cluster throws(ClusterError) in
      var pair = cluster.pair
      guard pair.role != .standby, epoch > pair.epoch else {
        throw ClusterError(.fencedLeaderEpoch, "epoch \(epoch) is not higher than \(pair.epoch), or this node does not lead")
      }
      pair.role = .fenced
      pair.epoch = epoch
      pair.peer = node
      pair.peerAddress = address
      pair.peerKafkaAddress = ""
      pair.sinceMilliseconds = cluster.now()
      pair.toFence = nil
      pair.promotedOver = nil
      // First: what is answered after the other node was told must not be lost.
      cluster.store.setTakesAppends(false)
      try cluster.write(pair)
      cluster.partitionsChanged()
    }
  }

  /// The former leader has been told that it leads no longer, or cannot come back.
  public func noteFenced() async throws(ClusterError) {
    try await serially { cluster throws(ClusterError) in
      var pair = cluster.pair
      pair.toFence = nil
      try cluster.write(pair)
    }
  }

  /// The image, and how many changes it has seen over all lives of this node.
  public func versionedImage() async throws(ClusterError) -> (image: ClusterImage, version: Int64) {
    try await serially { cluster throws(ClusterError) in
      let version = try cluster.transaction { connection throws(SQLiteError) in try PairTable.imageVersion(connection) }
      return (cluster.image, version)
    }
  }
}
