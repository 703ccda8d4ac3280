import KafkaProtocol
import Model
import NIOCore
import Records
import Storage
import Testing

@testable import Broker

@Suite("Produce", .timeLimit(.minutes(1)))
struct ProduceTests {
  private func answer(
    _ client: RawClient, _ topic: String, _ records: ByteBuffer, partition: Int32 = 0, acks: Int16 = -1, version: Int16 = 9
  ) async throws -> ProduceResponse.PartitionProduceResponse {
    try await client.ask(produceRequest(topic, [(partition, records)], acks: acks), version: version)
      .responses[0].partitionResponses[0]
  }

  @Test("every served version answers with the offset of the first record", arguments: Int16(3)...11)
  func versions(version: Int16) async throws {
    try await BrokerUnderTest.run { broker in
      try await broker.createTopic("t")
      let client = try await broker.client()
      _ = try await answer(client, "t", try batch(["a", "b"]), version: version)
      let second = try await answer(client, "t", try batch(["c"]), acks: 1, version: version)
      #expect(second.errorCode == .none && second.baseOffset == 2 && second.logAppendTimeMs == -1)
    }
  }

  @Test("errors are told for the partition that has them; the others are appended")
  func errors() async throws {
    try await BrokerUnderTest.run({ $0.autoCreateTopics = false }) { broker in
      try await broker.createTopic("t", partitions: 2, ["max.message.bytes": "1000"])
      let client = try await broker.client()
      #expect(try await answer(client, "nowhere", try batch(["a"])).errorCode == .unknownTopicOrPartition)
      #expect(try await answer(client, "no/where", try batch(["a"])).errorCode == .invalidTopicException)
      #expect(try await answer(client, "t", try batch(["a"]), partition: -1).errorCode == .unknownTopicOrPartition)
      #expect(try await answer(client, "t", try batch(["a"]), acks: 2).errorCode == .invalidRequiredAcks)
      #expect(try await answer(client, "t", ByteBuffer()).errorCode == .invalidRecord)
      #expect(try await answer(client, "t", try batch(["a"]) { $0.isTransactional = true }).errorCode != .none)
      var torn = try batch(["a"])
      torn.setInteger(UInt8(ascii: "b"), at: torn.writerIndex - 2)
      let large = try batch([String(repeating: "x", count: 2000)])
      let response = try await client.ask(
        produceRequest("t", [(0, torn), (2, try batch(["a"])), (1, try batch(["a"])), (0, large)]), version: 9)
      #expect(
        response.responses[0].partitionResponses.map(\.errorCode) == [
          .corruptMessage, .unknownTopicOrPartition, .none, .messageTooLarge,
        ])
      #expect(response.responses[0].partitionResponses.map(\.baseOffset) == [-1, -1, 0, -1])
    }
  }

  @Test("acks=0 has no reply, and an error closes the connection")
  func noAcks() async throws {
    try await BrokerUnderTest.run { broker in
      try await broker.createTopic("t")
      let client = try await broker.client()
      try await client.send(
        RawClient.frame(produceRequest("t", [(0, try batch(["a"]))], acks: 0), version: 9, correlationID: 1))
      try await client.send(RawClient.frame(fetchRequest("t", [(0, 0)]), version: 4, correlationID: 2))
      let (id, fetched) = try await client.reply(to: FetchRequest.self, version: 4)
      #expect(id == 2, "the first reply is the fetch's")
      #expect(try fetched.parts[0].values == ["a"])
      try await client.send(
        RawClient.frame(produceRequest("nowhere", [(0, try batch(["a"]))], acks: 0), version: 9, correlationID: 3))
      #expect(try await client.isClosed())
    }
  }

  @Test(
    "a compressed batch, validated beside the loop, keeps its place among the others", arguments: [Compression.gzip, .zstd])
  func compressed(codec: Compression) async throws {
    try await BrokerUnderTest.run { broker in
      try await broker.createTopic("t")
      let client = try await broker.client()
      let noise = (0..<20_000).map { String(($0 &* 2_654_435_761) % 1_000_003) }.joined()
      var bytes = ByteBuffer()
      for id in 0..<Int32(12) {
        let one = id % 3 == 0 ? try batch(["\(id)" + noise], compression: codec) : try batch(["\(id)"])
        bytes.writeImmutableBuffer(RawClient.frame(produceRequest("t", [(0, one)]), version: 9, correlationID: id))
      }
      try await client.send(bytes)
      for id in 0..<Int32(12) {
        let (answered, response) = try await client.reply(to: ProduceRequest.self, version: 9)
        #expect(answered == id && response.responses[0].partitionResponses[0].baseOffset == Int64(id))
      }
    }
  }

  @Test("requests of clients that went away give back what they held")
  func budget() async throws {
    try await BrokerUnderTest.run { broker in
      try await broker.createTopic("t")
      for _ in 0..<20 {
        let client = try await broker.client()
        let value = String(repeating: "x", count: 100_000)
        try await client.send(
          RawClient.frame(produceRequest("t", [(0, try batch([value]))]), version: 9, correlationID: 1))
        await client.close()
      }
      let loop = broker.broker.loops[0]
      #expect(
        try await broker.eventually {
          try await loop.eventLoop.submit { loop.budget.used == 0 && loop.budget.held.isEmpty && loop.connections.isEmpty }
            .get()
        })
    }
  }

  @Test("a client is read again when the appends of others have made room")
  func backpressure() async throws {
    try await BrokerUnderTest.run({ $0.queuedRequestBytesMax = 10_000 }) { broker in
      try await broker.createTopic("t")
      let value = String(repeating: "x", count: 9_000)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<8 {
          group.addTask {
            let client = try await broker.client()
            for id in 0..<Int32(20) {
              try await client.send(
                RawClient.frame(produceRequest("t", [(0, try batch([value]))]), version: 9, correlationID: id))
            }
            for id in 0..<Int32(20) { #expect(try await client.reply(to: ProduceRequest.self, version: 9).correlationID == id) }
          }
        }
        try await group.waitForAll()
      }
      #expect(broker.store.partition(TopicPartition(topic: "t", partition: 0))?.offsets?.highWatermark == Offset(160))
    }
  }

  @Test("a producer id is given once, and none to a transactional producer")
  func producerIDs() async throws {
    try await BrokerUnderTest.run { broker in
      let client = try await broker.client()
      var request = InitProducerIDRequest()
      request.transactionalID = nil
      var ids: Set<Int64> = []
      for _ in 0..<5 {
        let response = try await client.ask(request, version: 4)
        #expect(response.errorCode == .none && response.producerEpoch == 0)
        ids.insert(response.producerID)
      }
      #expect(ids.count == 5)
      // With the id it had, a producer that is not transactional gets another (KIP-360); half of one makes no sense.
      request.producerID = try #require(ids.first)
      #expect(try await client.ask(request, version: 4).errorCode == .invalidRequest)
      request.producerEpoch = 0
      #expect(!ids.contains(try await client.ask(request, version: 4).producerID))
      request.transactionalID = "x"
      let refused = try await client.ask(request, version: 4)
      #expect(refused.errorCode != .none && refused.producerID == -1)
    }
  }

  @Test("a batch sent twice by an idempotent producer is appended once and answered with its first offset")
  func duplicate() async throws {
    try await BrokerUnderTest.run { broker in
      try await broker.createTopic("t")
      let client = try await broker.client()
      func one(_ sequence: Int32) throws -> ByteBuffer {
        try batch(["\(sequence)"]) {
          $0.producerID = 1
          $0.producerEpoch = 0
          $0.baseSequence = sequence
        }
      }
      #expect(try await answer(client, "t", try one(0)).baseOffset == 0)
      #expect(try await answer(client, "t", try one(1)).baseOffset == 1)
      let again = try await answer(client, "t", try one(0))
      #expect(again.errorCode == .none && again.baseOffset == 0)
      #expect(try await answer(client, "t", try one(5)).errorCode == .outOfOrderSequenceNumber)
    }
  }
}
