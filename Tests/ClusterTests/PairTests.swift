import Metadata
import Model
import Storage
import Testing

@testable import Cluster

@Suite("A leader and its standby in the node database") struct PairTests {
  private let place = HostPort(host: "127.0.0.1", port: 7000)

  private func refusal(_ work: () async throws -> Void) async -> ErrorCode? {
    do {
      try await work()
      return nil
    } catch { return (error as? ClusterError)?.errorCode }
  }

  private func leaderImage(
    version: Int64, registration: Int64 = 1, _ topics: [(name: String, id: UInt64, epochs: [Int32])]
  ) -> LeaderImage {
    LeaderImage(
      leader: NodeID(1), epoch: LeaderEpoch(3), kafkaAddress: "a:9092", registration: registration, version: version,
      settings: ["log.retention.ms": "5"],
      topics: topics.map {
        LeaderImage.Topic(
          name: $0.name, id: TopicID(high: 9, low: $0.id), leaderEpochs: $0.epochs.map { LeaderEpoch($0) }, settings: [:])
      })
  }

  @Test("a leader's standby is in every image and replica set, also after a restart, and another one is refused")
  func registration() async throws {
    let temporary = try TemporaryStore()
    try await temporary.life { cluster, store in
      try await cluster.createTopic(named: "a", partitionCount: 2, configuration: [:])
      try await cluster.registerStandby(NodeID(7), address: place)
      #expect(await refusal { try await cluster.registerStandby(NodeID(8), address: nil) } == .policyViolation)
      try await cluster.registerStandby(NodeID(7), address: nil)
      try await cluster.createTopic(named: "b", partitionCount: 1, configuration: [:])
      for topic in cluster.image.topics.values {
        #expect(topic.partitions.allSatisfy { $0.isr == [NodeID(1), NodeID(7)] && $0.leader == NodeID(1) })
      }
      #expect(store.partition(TopicPartition(topic: "a", partition: 1))?.hasReplicas == true)
      #expect(store.partition(TopicPartition(topic: "b", partition: 0))?.hasReplicas == true)
      #expect(store.takesAppends)
    }
    try await temporary.life { cluster, store in
      #expect(cluster.pair.standby == NodeID(7) && cluster.pair.peerAddress == nil)
      #expect(!store.takesAppends, "the standby may have been promoted meanwhile")
      #expect(store.partition(TopicPartition(topic: "b", partition: 0))?.hasReplicas == true)
      let before = cluster.pair.registration
      #expect(try await cluster.forgetStandby() == NodeID(7))
      #expect(cluster.image.topics["a"]?.partitions[0].isr == [NodeID(1)])
      #expect(store.partition(TopicPartition(topic: "b", partition: 0))?.hasReplicas == false)
      #expect(await refusal { _ = try await cluster.forgetStandby() } != nil)
      try await cluster.registerStandby(NodeID(7), address: place)
      #expect(cluster.pair.registration > before)
    }
  }

  @Test("a leader that was deposed takes nothing, leads nothing, and stays so")
  func fence() async throws {
    let temporary = try TemporaryStore()
    try await temporary.life { cluster, store in
      try await cluster.createTopic(named: "a", partitionCount: 1, configuration: [:])
      try await cluster.registerStandby(NodeID(7), address: place)
      try await cluster.fence(by: NodeID(7), epoch: LeaderEpoch(1), address: place)
      #expect(!store.takesAppends)
      let leader: NodeID? = cluster.image.topics["a"]?.partitions[0].leader
      #expect(leader == nil)
      #expect(await refusal { try await cluster.createTopic(named: "b", partitionCount: 1, configuration: [:]) } != nil)
      #expect(await refusal { _ = try await cluster.takeProducerIDs(count: 1) } == .coordinatorNotAvailable)
      #expect(
        await refusal { try await cluster.fence(by: NodeID(7), epoch: LeaderEpoch(1), address: nil) } == .fencedLeaderEpoch)
    }
    let store = try temporary.openStore()
    #expect(try PairStart.state(in: store).role == .fenced)
    #expect(try !PairStart.isFresh(store))
    try store.close()
  }

  @Test("a standby has its leader's topics, loses those that the leader has no longer, and takes nothing from an older image")
  func adopt() async throws {
    let temporary = try TemporaryStore()
    let store = try temporary.openStore()
    #expect(try PairStart.isFresh(store))
    var state = PairState.alone
    (state.role, state.peerAddress) = (.standby, place)
    try PairStart.becomeStandby(state, clusterID: "theirs", in: store)
    #expect(store.node.clusterID == "theirs")
    let cluster = try temporary.openCluster(store)
    #expect(cluster.isStandby && !store.takesAppends)
    let first = leaderImage(version: 10, [("a", 1, [4, 5]), ("b", 2, [0])])
    #expect(try await cluster.topicsGone(in: first).isEmpty)
    try await cluster.adopt(first)
    #expect(cluster.image.topics["a"]?.partitions.map(\.leaderEpoch) == [LeaderEpoch(4), LeaderEpoch(5)])
    #expect(cluster.image.topics["a"]?.partitions[0].isr == [NodeID(1)])
    #expect(cluster.image.nodeSettings.number("log.retention.ms") == 5)
    try await cluster.noteComplete()
    for image in [leaderImage(version: 9, [("a", 1, [4, 5])]), leaderImage(version: 10, [])] {
      #expect(await refusal { _ = try await cluster.topicsGone(in: image) } != nil, "nothing is deleted for an older image")
    }
    let second = leaderImage(version: 11, [("a", 1, [4, 6, 0]), ("c", 3, [0])])
    #expect(try await cluster.topicsGone(in: second).map(\.name) == ["b"])
    try await cluster.adopt(second)
    #expect(cluster.image.topics.keys.sorted() == ["a", "c"])
    #expect(cluster.image.topics["a"]?.partitions.count == 3)
    #expect(cluster.pair.wasComplete)
    #expect(
      await refusal { try await cluster.createTopic(named: "d", partitionCount: 1, configuration: [:]) } == .policyViolation)
    #expect(await refusal { try await cluster.deleteTopic(named: "a") } == .policyViolation)
    // The leader had no standby for a while.
    try await cluster.adopt(leaderImage(version: 12, registration: 2, [("a", 1, [4, 6, 0]), ("c", 3, [0])]))
    #expect(!cluster.pair.wasComplete)
    cluster.close()
    try store.close()
    try await temporary.life { cluster, _ in
      #expect(cluster.isStandby && cluster.pair.epoch == LeaderEpoch(3) && cluster.image.clusterID == "theirs")
      #expect(cluster.image.topics["a"]?.partitions[1].leaderEpoch == LeaderEpoch(6))
    }
  }

  @Test("a standby that is promoted leads in epochs, and gives out producer ids, that its leader never had")
  func promotion() async throws {
    let temporary = try TemporaryStore()
    let store = try temporary.openStore()
    var state = PairState.alone
    (state.role, state.peer, state.peerAddress) = (.standby, NodeID(2), place)
    try PairStart.becomeStandby(state, clusterID: nil, in: store)
    let cluster = try temporary.openCluster(store)
    try await cluster.adopt(leaderImage(version: 10, [("a", 1, [4, 0])]))
    let a = (0..<2).map { TopicPartition(topic: "a", partition: $0) }
    #expect(
      await refusal { _ = try await cluster.promote(epoch: LeaderEpoch(3), toFence: place, lastEpochs: [:]) } == .invalidRequest
    )
    let epochs = try await cluster.promote(epoch: LeaderEpoch(4), toFence: place, lastEpochs: [a[1]: LeaderEpoch(9)])
    #expect(epochs[a[0]]! >= LeaderEpoch(1004) && epochs[a[1]]! >= LeaderEpoch(1009))
    try await cluster.lead(epochs)
    #expect(cluster.image.topics["a"]?.partitions.map(\.leaderEpoch) == a.map { epochs[$0]! })
    #expect(cluster.pair.role == .leader && cluster.pair.peer == nil && cluster.pair.promotedOver == place)
    #expect(try await cluster.takeProducerIDs(count: 1).lowerBound >= 4 << 40)
    try await cluster.createTopic(named: "b", partitionCount: 1, configuration: [:])
    #expect(cluster.pair.toFence == place)
    try await cluster.noteFenced()
    #expect(cluster.pair.toFence == nil)
    cluster.close()
    try store.close()
  }
}
