import Metadata
import Model
import Storage

/// What a node is to do with one partition.
struct PartitionDuty: Hashable, Sendable {
  enum Role: Hashable, Sendable {
    /// - Parameter replicas: nil where nobody else has the partition.
    case lead(LeaderEpoch, ReplicaSet?)
    /// Keeps a copy of what the node at an address leads; nil while nobody leads, or nobody knows where.
    case follow(HostPort?)
  }

  var topicID: TopicID
  var role: Role

  var leadsIn: LeaderEpoch? {
    if case .lead(let epoch, _) = role { epoch } else { nil }
  }
}

/// What a node is to do, given what the cluster has decided. A value.
struct PartitionRoles: Sendable {
  private(set) var duties: [TopicPartition: PartitionDuty] = [:]
  /// Nodes that replicas are on.
  private(set) var others: Set<NodeID> = []
  /// What this node follows without being in sync: there its leaders' logs count, whatever it has itself.
  private(set) var outOfSync: Set<TopicPartition> = []

  /// - Parameters:
  ///   - peers: where each node was last known to give its partitions: a node that is gone from the image for a moment may still do so.
  ///   - epochFloors: epochs below which this node does not lead a partition: it may have lost what it had shipped in them.
  init(
    of node: NodeID, in image: ClusterImage, peers: [NodeID: HostPort], epochFloors: [PartitionIdentity: LeaderEpoch] = [:]
  ) {
    for topic in image.topics.values {
      for (number, partition) in topic.partitions.enumerated() where partition.replicas.contains(node) {
        others.formUnion(partition.replicas)
        let role: PartitionDuty.Role
        if partition.leader == node {
          let floor = epochFloors[PartitionIdentity(topicID: topic.id, partition: Int32(number))]
          if let floor, partition.leaderEpoch < floor { continue }
          role = .lead(
            partition.leaderEpoch,
            partition.replicas == [node]
              ? nil : ReplicaSet(replicas: partition.replicas, inSync: partition.isr, isFixed: false))
        } else {
          role = .follow(partition.leader.flatMap { peers[$0] })
          if !partition.isr.contains(node) { outOfSync.insert(TopicPartition(topic: topic.name, partition: Int32(number))) }
        }
        duties[TopicPartition(topic: topic.name, partition: Int32(number))] = PartitionDuty(topicID: topic.id, role: role)
      }
    }
    others.remove(node)
  }
}
