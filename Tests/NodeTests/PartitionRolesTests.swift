import Metadata
import Model
import Storage
import TestSupport
import Testing

@testable import Node

private let us = NodeID(1)
private let (second, third) = (NodeID(2), NodeID(3))
private let topicID = TopicID(high: 4, low: 2)
private let peers = [second: HostPort(host: "b", port: 2), third: HostPort(host: "c", port: 3)]

@Suite("What a node is to do, given what the cluster has decided")
struct PartitionRolesTests {
  private func image(_ partitions: [PartitionImage], topic: String = "plays") throws -> ClusterImage {
    try ClusterImage(clusterID: "c", nodeSettings: NodeSettings())
      .applying(.topicCreated(TopicImage(name: topic, id: topicID, partitions: partitions, settings: [:])))
  }

  private func partition(_ leader: NodeID?, _ epoch: Int32, _ replicas: [NodeID], isr: [NodeID]? = nil) -> PartitionImage {
    PartitionImage(leader: leader, leaderEpoch: LeaderEpoch(epoch), replicas: replicas, isr: isr ?? replicas)
  }

  private func role(_ partition: PartitionImage, floor: Int32? = nil) throws -> PartitionDuty.Role? {
    let floors = floor.map { [PartitionIdentity(topicID: topicID, partition: 0): LeaderEpoch($0)] } ?? [:]
    let roles = PartitionRoles(of: us, in: try image([partition]), peers: peers, epochFloors: floors)
    return roles.duties[TopicPartition(topic: "plays", partition: 0)]?.role
  }

  @Test("it leads with the replicas and the in-sync set that were decided, and alone without any")
  func leads() throws {
    #expect(
      try role(partition(us, 7, [second, us, third], isr: [us, third]))
        == .lead(LeaderEpoch(7), ReplicaSet(replicas: [second, us, third], inSync: [us, third], isFixed: false)))
    #expect(try role(partition(us, 0, [us])) == .lead(.zero, nil))
  }

  @Test("it follows where the leader was last known to be, and keeps its copy where there is none")
  func follows() throws {
    #expect(try role(partition(second, 1, [second, us])) == .follow(HostPort(host: "b", port: 2)))
    #expect(try role(partition(nil, 1, [second, us])) == .follow(nil))
    #expect(try role(partition(NodeID(9), 1, [NodeID(9), us])) == .follow(nil))
  }

  @Test("a new epoch of the same leader changes nothing for a follower, and everything for the leader")
  func epochs() throws {
    #expect(try role(partition(second, 1, [second, us])) == role(partition(second, 2, [second, us], isr: [second])))
    #expect(try role(partition(us, 1, [us, second])) != role(partition(us, 2, [us, second])))
  }

  @Test("it has nothing to do with partitions that others keep, nor with an epoch that it may have led before")
  func nothing() throws {
    #expect(try role(partition(second, 1, [second, third])) == nil)
    #expect(try role(partition(us, 4, [us, second]), floor: 5) == nil)
    #expect(try role(partition(us, 5, [us, second]), floor: 5) != nil)
  }

  @Test("the nodes whose coming and going matters are those that it shares partitions with")
  func others() throws {
    let shared = try image([partition(us, 1, [us, second]), partition(third, 1, [third])])
    #expect(PartitionRoles(of: us, in: shared, peers: peers).others == [second])
  }
}
