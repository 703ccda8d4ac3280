import Cluster
import KafkaProtocol
import Metadata
import Model
import NIOCore
import Records
import Testing

@testable import Broker
@testable import Storage

private let (us, other) = (NodeID(1), NodeID(2))
private let name = TopicPartition(topic: "t", partition: 0)

@Suite("A partition that has replicas on other nodes", .timeLimit(.minutes(1)))
struct LeadershipTests {
  /// A broker with one partition, of two records, which the other node leads in epoch 1 as far as the cluster says.
  private func led(
    by leader: NodeID, _ change: (inout BrokerConfiguration) -> Void = { _ in },
    _ body: (BrokerUnderTest, RawClient) async throws -> Void
  ) async throws {
    try await BrokerUnderTest.run(change) { broker in
      try await broker.createTopic("t")
      let client = try await broker.client()
      let produced = try await client.ask(produceRequest("t", [(0, try batch(["a", "b"]))]), version: 9)
      try #require(produced.responses[0].partitionResponses[0].errorCode == .none)
      if leader == other { deposeUs(broker) }
      try await body(broker, client)
    }
  }

  private func deposeUs(_ broker: BrokerUnderTest) {
    guard let id = broker.cluster.image.topics["t"]?.id else { return }
    broker.steered.steer(
      .nodeRegistered(NodeImage(id: other, host: "b.example", port: 19092, rack: "b")),
      .partitionChanged(
        id, partition: 0,
        PartitionImage(leader: other, leaderEpoch: LeaderEpoch(1), replicas: [us, other], isr: [us, other])))
  }

  @Test("everybody is sent to its leader, and told who that is where the version has room for it")
  func notLed() async throws {
    try await led(by: other) { _, client in
      let produced = try await client.ask(produceRequest("t", [(0, try batch(["c"]))]), version: 10)
      let row = produced.responses[0].partitionResponses[0]
      #expect(row.errorCode == .notLeaderOrFollower)
      #expect(row.currentLeader.leaderID == 2 && row.currentLeader.leaderEpoch == 1)
      #expect(produced.nodeEndpoints.map(\.nodeID) == [2] && produced.nodeEndpoints[0].host == "b.example")
      for version in [Int16(10), 11] {
        let fetched = try await client.ask(fetchRequest("t", [(0, 0)]), version: version)
        #expect(fetched.parts[0].errorCode == .notLeaderOrFollower, "fetch \(version)")
      }
      var offsets = ListOffsetsRequest()
      var asked = ListOffsetsRequest.Topic()
      asked.name = "t"
      asked.partitions = [ListOffsetsRequest.Partition()]
      asked.partitions[0].timestamp = -1
      offsets.topics = [asked]
      let listed = try await client.ask(offsets, version: 5)
      #expect(listed.topics[0].partitions[0].errorCode == .notLeaderOrFollower)
    }
  }

  @Test("an older epoch of the client's is fenced, a newer one unknown, also where another node leads")
  func epochs() async throws {
    try await led(by: other) { _, client in
      for (epoch, error) in [(Int32(0), ErrorCode.fencedLeaderEpoch), (1, .notLeaderOrFollower), (2, .unknownLeaderEpoch)] {
        let fetched = try await client.ask(fetchRequest("t", [(0, 0)]) { $0.currentLeaderEpoch = epoch }, version: 12)
        #expect(fetched.parts[0].errorCode == error, "epoch \(epoch)")
      }
    }
  }

  @Test("metadata has every node, the leader, and who is offline; a leader that is gone is none")
  func metadata() async throws {
    try await led(by: other) { broker, client in
      var request = MetadataRequest()
      request.topics = nil
      let described = try await client.ask(request, version: 9)
      #expect(described.brokers.map(\.nodeID) == [1, 2])
      #expect(described.brokers[1].rack == "b")
      var part = described.topics[0].partitions[0]
      #expect(part.leaderID == 2 && part.leaderEpoch == 1 && part.isrNodes == [1, 2] && part.offlineReplicas.isEmpty)
      broker.steered.steer(.nodeUnregistered(other))
      part = try await client.ask(request, version: 9).topics[0].partitions[0]
      #expect(part.errorCode == .leaderNotAvailable && part.leaderID == -1 && part.offlineReplicas == [2])
    }
  }

  @Test("a fetch that waits for records is answered when another node is to lead")
  func deposedWhileWaiting() async throws {
    try await led(by: us) { broker, client in
      async let waiting = client.ask(fetchRequest("t", [(0, 2)], waitMilliseconds: 50_000), version: 11)
      let isParked = try await broker.eventually { broker.broker.loops.contains { !$0.parked.isEmpty } }
      #expect(isParked)
      deposeUs(broker)
      let log = try #require(broker.store.partition(name))
      _ = try broker.store.openReplica(of: name, topicID: log.topicID, configuration: log.configuration)
      #expect(try await waiting.parts[0].errorCode == .notLeaderOrFollower)
    }
  }

  @Test("a follower serves consumers that know of followers, as far as it knows that records are replicated")
  func follower() async throws {
    try await led(by: other) { broker, client in
      let log = try #require(broker.store.partition(name))
      _ = try broker.store.openReplica(of: name, topicID: log.topicID, configuration: log.configuration)
      let fetched = try await client.ask(fetchRequest("t", [(0, 0)]) { $0.currentLeaderEpoch = 1 }, version: 12)
      #expect(try fetched.parts[0].values == ["a", "b"])
      let old = try await client.ask(fetchRequest("t", [(0, 0)]), version: 10)
      #expect(old.parts[0].errorCode == .notLeaderOrFollower)
      let ahead = try await client.ask(fetchRequest("t", [(0, 5)]), version: 11)
      #expect(ahead.parts[0].errorCode == .offsetNotAvailable)
      let produced = try await client.ask(produceRequest("t", [(0, try batch(["c"]))]), version: 9)
      #expect(produced.responses[0].partitionResponses[0].errorCode == .notLeaderOrFollower)
    }
  }

  @Test("a consumer is sent to an in-sync follower in its rack, if that is wanted and there is one", arguments: [true, false])
  func racks(isWanted: Bool) async throws {
    try await led(by: us) {
      $0.rack = "a"
      $0.readsFromRack = isWanted
    } _: { broker, client in
      let id = try #require(broker.cluster.image.topics["t"]?.id)
      broker.steered.steer(
        .nodeRegistered(NodeImage(id: other, host: "b.example", port: 19092, rack: "b")),
        .partitionChanged(
          id, partition: 0,
          PartitionImage(leader: us, leaderEpoch: .zero, replicas: [us, other], isr: [us, other])))
      for (rack, isSentAway) in [("a", false), ("b", isWanted), ("c", false), ("", false)] {
        var request = fetchRequest("t", [(0, 0)])
        request.rackID = rack
        let part = try await client.ask(request, version: 11).parts[0]
        #expect(part.preferredReadReplica == (isSentAway ? 2 : -1), "rack '\(rack)'")
        #expect(try part.values == (isSentAway ? [] : ["a", "b"]), "rack '\(rack)'")
      }
    }
  }
}
