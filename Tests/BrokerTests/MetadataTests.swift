import Cluster
import KafkaProtocol
import Metadata
import Model
import NIOCore
import Testing

@testable import Broker

@Suite("Metadata and ListOffsets", .timeLimit(.minutes(1)))
struct MetadataTests {
  private func named(_ names: [String], creating: Bool = true) -> MetadataRequest {
    var request = MetadataRequest()
    request.allowAutoTopicCreation = creating
    request.topics = names.map {
      var topic = MetadataRequest.Topic()
      topic.name = $0
      return topic
    }
    return request
  }

  @Test("an empty list means all topics in version 0 and none later, null means all")
  func all() async throws {
    try await BrokerUnderTest.run { broker in
      try await broker.createTopic("a", partitions: 2)
      try await broker.createTopic("b")
      let client = try await broker.client()
      #expect(try await client.ask(named([]), version: 0).topics.map(\.name) == ["a", "b"])
      #expect(try await client.ask(named([]), version: 1).topics.isEmpty)
      for version in Int16(1)...12 {
        var request = MetadataRequest()
        request.topics = nil
        let response = try await client.ask(request, version: version)
        #expect(response.topics.map(\.name) == ["a", "b"] && response.topics[0].partitions.count == 2)
        #expect(response.brokers.map(\.nodeID) == [1] && response.controllerID == 1)
        if version >= 10 { #expect(response.topics.allSatisfy { $0.topicID != .zero }) }
      }
    }
  }

  @Test("a missing topic is created where the node and the request allow it")
  func autoCreation() async throws {
    try await BrokerUnderTest.run { broker in
      let client = try await broker.client()
      #expect(try await client.ask(named(["n"], creating: false), version: 4).topics[0].errorCode == .unknownTopicOrPartition)
      #expect(try await client.ask(named(["n"]), version: 4).topics[0].partitions.count == 4)
      #expect(
        try await client.ask(named(["o"], creating: false), version: 0).topics[0].errorCode == .none, "it cannot forbid it")
      #expect(
        try await client.ask(named(["..", "a b"]), version: 4).topics.map(\.errorCode) == [
          .invalidTopicException, .invalidTopicException,
        ])
    }
    try await BrokerUnderTest.run({ $0.autoCreateTopics = false }) { broker in
      let client = try await broker.client()
      #expect(try await client.ask(named(["n"]), version: 1).topics[0].errorCode == .unknownTopicOrPartition)
    }
  }

  @Test("a topic named many times is described once")
  func repeated() async throws {
    try await BrokerUnderTest.run { broker in
      try await broker.createTopic("t")
      let client = try await broker.client()
      #expect(try await client.ask(named(Array(repeating: "t", count: 10_000)), version: 5).topics.count == 1)
    }
  }

  @Test("topics are found by id from version 12 on; an id nobody knows is an error of its own")
  func ids() async throws {
    try await BrokerUnderTest.run { broker in
      try await broker.createTopic("t")
      let client = try await broker.client()
      let id = try #require(broker.cluster.image.topics["t"]?.id)
      func ask(_ id: TopicID, version: Int16) async throws -> MetadataResponse.Topic {
        var request = MetadataRequest()
        var topic = MetadataRequest.Topic()
        topic.name = nil
        topic.topicID = id
        request.topics = [topic]
        return try await client.ask(request, version: version).topics[0]
      }
      #expect(try await ask(id, version: 12).name == "t")
      #expect(try await ask(TopicID(high: 1, low: 2), version: 12).errorCode == .unknownTopicID)
      #expect(try await ask(id, version: 10).errorCode == .invalidRequest)
    }
  }

  @Test("offsets are listed by time, exact to the record, and by name; what a version does not know is refused")
  func listOffsets() async throws {
    try await BrokerUnderTest.run { broker in
      try await broker.createTopic("t")
      let client = try await broker.client()
      let start = BrokerUnderTest.now
      for times in [[start - 50, start - 10, start - 30], [start - 20]] {
        let records = try batch(times.map { "\($0)" }, timestamps: times)
        _ = try await client.ask(produceRequest("t", [(0, records)]), version: 9)
      }
      func list(_ timestamp: Int64, version: Int16 = 7, topic: String = "t", epoch: Int32 = -1) async throws
        -> ListOffsetsResponse.PartitionResponse
      {
        var request = ListOffsetsRequest()
        var asked = ListOffsetsRequest.Topic()
        asked.name = topic
        var part = ListOffsetsRequest.Partition()
        part.timestamp = timestamp
        part.currentLeaderEpoch = epoch
        asked.partitions = [part]
        request.topics = [asked]
        return try await client.ask(request, version: version).topics[0].partitions[0]
      }
      #expect(try await list(-1).offset == 4)
      #expect(try await list(-2).offset == 0)
      #expect(try await list(start - 40).offset == 1)
      #expect(try await list(start - 15).offset == 1)
      #expect(try await list(start).offset == -1)
      let largest = try await list(-3)
      #expect(largest.offset == 1 && largest.timestamp == start - 10)
      #expect(try await list(-3, version: 6).errorCode == .unsupportedVersion)
      #expect(try await list(-4, version: 7).errorCode == .unsupportedVersion)
      #expect(try await list(-4, version: 8).offset == 0)
      #expect(try await list(-5, version: 9).offset == -1)
      #expect(try await list(-6, version: 10).errorCode == .unsupportedVersion)
      #expect(try await list(-1, topic: "nowhere").errorCode == .unknownTopicOrPartition)
      #expect(try await list(-1, epoch: 9).errorCode == .unknownLeaderEpoch)
      for version in Int16(1)...10 { #expect(try await list(-1, version: version).offset == 4) }
    }
  }
}
