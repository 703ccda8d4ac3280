import Cluster
import Gateway
import Metadata
import Model
import Query
import Shipping
import Storage

/// The cluster as this node sees it: alone, as one of two, or as one of several.
struct ClusterView: Sendable {
  let nodeID: NodeID
  let cluster: any ClusterStore
  /// Nil with etcd.
  let pair: PairedNode?
  /// Nil without etcd.
  let others: ClusterPart?

  private struct ReplicaKey: Hashable {
    var partition: TopicPartition
    var node: NodeID
  }

  func facts() -> ClusterFacts {
    let image = cluster.image
    var facts = ClusterFacts(clusterID: image.clusterID, controller: controller)
    facts.nodes = nodes(image)
    let shipping = shipping()
    let isThere = Set(facts.nodes.filter(\.isConnected).map(\.id))
    for topic in image.topics.values.filter({ !$0.isInternal }).sorted(by: { $0.name < $1.name }) {
      for (number, partition) in topic.partitions.enumerated() {
        let name = TopicPartition(topic: topic.name, partition: Int32(number))
        let replicas = replicas(of: name, partition, shipping, isThere: isThere)
        facts.partitionCount += 1
        if !replicas.contains(where: \.isLeader) { facts.offlineCount += 1 }
        if !replicas.allSatisfy(\.isInSync) { facts.underReplicatedCount += 1 }
        facts.replicas += replicas
      }
    }
    if let pair { (facts.promotion, facts.notes) = (promotion(pair), notes(pair)) }
    return facts
  }

  private var controller: Int32? {
    guard let pair else { return cluster.controller?.rawValue }
    switch pair.cluster.pair.role {
    case .leader: return nodeID.rawValue
    case .standby, .fenced: return pair.cluster.pair.peer?.rawValue
    }
  }

  // MARK: Nodes

  private func nodes(_ image: ClusterImage) -> [ClusterFacts.Node] {
    let own = image.nodes[nodeID]
    guard let pair else {
      return image.nodes.values.sorted { $0.id < $1.id }.map {
        ClusterFacts.Node(
          id: $0.id.rawValue, role: "broker", kafka: Self.address($0), peer: $0.peer.map { "\($0)" }, rack: $0.rack,
          isThisNode: $0.id == nodeID, isController: $0.id == cluster.controller, isConnected: true)
      }
    }
    let state = pair.cluster.pair
    var nodes = [
      ClusterFacts.Node(
        id: nodeID.rawValue, role: state.role.rawValue, kafka: own.map(Self.address), peer: pair.peerAddress.map { "\($0)" },
        rack: own?.rack, isThisNode: true, isController: state.role == .leader, isConnected: true)
    ]
    if let other = state.peer {
      nodes.append(
        ClusterFacts.Node(
          id: other.rawValue, role: state.role == .leader ? "standby" : "leader",
          kafka: state.peerKafkaAddress.isEmpty ? nil : state.peerKafkaAddress, peer: state.peerAddress.map { "\($0)" },
          isThisNode: false, isController: state.role != .leader, isConnected: pair.isConnected(to: other)))
    }
    return nodes.sorted { $0.id < $1.id }
  }

  private static func address(_ node: NodeImage) -> String { "\(HostPort(host: node.host, port: Int(node.port)))" }

  // MARK: Replicas

  /// Of followers of this node, and of what it follows itself.
  private func shipping() -> [ReplicaKey: PartitionShipping] {
    var found: [ReplicaKey: PartitionShipping] = [:]
    for follower in pair?.followers ?? others?.port.followers ?? [] {
      for one in follower.partitions { found[ReplicaKey(partition: one.partition, node: follower.identity.node)] = one }
    }
    for leader in pair?.leader.map({ [$0] }) ?? others?.links.statuses ?? [] {
      for one in leader.partitions { found[ReplicaKey(partition: one.partition, node: nodeID)] = one }
    }
    return found
  }

  private func replicas(
    of name: TopicPartition, _ partition: PartitionImage, _ shipping: [ReplicaKey: PartitionShipping], isThere: Set<Int32>
  ) -> [ClusterFacts.Replica] {
    var nodes = partition.replicas
    var leader = partition.leader
    // To its clients a standby is the leader of what it keeps.
    if let state = pair?.cluster.pair, state.role == .standby {
      leader = state.peer
      nodes = (state.peer.map { [$0] } ?? []) + [nodeID]
    }
    let knowsFollowers = leader == nodeID
    return nodes.map { node in
      let isLeader = node == leader
      var replica = ClusterFacts.Replica(
        topic: name.topic, partition: name.partition, node: node.rawValue, leaderEpoch: partition.leaderEpoch.rawValue,
        isLeader: isLeader, isInSync: partition.isr.contains(node) || (pair != nil && isLeader), state: "unknown")
      if isLeader {
        replica.state = "leading"
        (replica.lagCommits, replica.lagBytes, replica.lagMilliseconds) = (0, 0, 0)
      } else if let one = shipping[ReplicaKey(partition: name, node: node)] {
        (replica.lagCommits, replica.lagBytes, replica.lagMilliseconds) = (one.lag.commits, one.lag.bytes, one.lag.milliseconds)
        replica.state = Self.word(for: one.state)
      } else if knowsFollowers || !isThere.contains(node.rawValue) {
        replica.state = "away"
      }
      // The set of two is fixed: whether the standby has what it has to have is another question.
      if pair != nil, !isLeader { replica.isInSync = replica.isInSync && replica.state == "streaming" }
      return replica
    }
  }

  private static func word(for state: PartitionShipping.State) -> String {
    switch state {
    case .starting: "starting"
    case .streaming: "streaming"
    case .resyncing: "resyncing"
    case .failed: "failed"
    }
  }

  // MARK: What two nodes are to each other

  private func promotion(_ pair: PairedNode) -> ClusterFacts.Promotion? {
    let state = pair.cluster.pair
    guard state.role == .standby else { return nil }
    return state.wasComplete
      ? ClusterFacts.Promotion(isPossible: true, reason: "it has all that its leader has acknowledged with acks=all")
      : ClusterFacts.Promotion(isPossible: false, reason: "it never had all that its leader has acknowledged")
  }

  private func notes(_ pair: PairedNode) -> [String] {
    let state = pair.cluster.pair
    var notes: [String] = []
    switch state.role {
    case .leader:
      if let standby = state.peer, !pair.isConnected(to: standby) {
        notes.append("the standby, node \(standby), is away: acks=all is refused")
      }
      if !pair.store.takesAppends {
        notes.append("this node takes no records until its standby is heard of: it may have been promoted")
      }
      if let address = state.toFence {
        notes.append("the former leader at \(address) has not been told yet that it leads no longer")
      }
    case .standby:
      if case .waiting(let reason)? = pair.leader?.state { notes.append("the leader is not followed: \(reason)") }
    case .fenced: notes.append("another node was promoted over this one, which takes no records any more")
    }
    return notes
  }
}

/// The cluster to the HTTP door.
struct ClusterEntry: ClusterDoor {
  let view: ClusterView

  func facts() async -> ClusterFacts { view.facts() }

  func promote(force: Bool) async throws(ClusterRefusal) -> [String] {
    try await change { pair in try await pair.promote(force: force) }
  }

  func forgetStandby() async throws(ClusterRefusal) -> [String] {
    try await change { pair in try await pair.forgetStandby() }
  }

  private func change(_ work: (PairedNode) async throws -> [String]) async throws(ClusterRefusal) -> [String] {
    guard let pair = view.pair else { throw ClusterRefusal("the nodes of this cluster share an etcd, which decides who leads") }
    do { return try await work(pair) } catch { throw ClusterRefusal("\(error)") }
  }
}
