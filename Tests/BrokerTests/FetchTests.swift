import Cluster
import KafkaProtocol
import Model
import NIOCore
import Synchronization
import Testing

@testable import Broker
@testable import Storage

@Suite("Fetch", .timeLimit(.minutes(1)))
struct FetchTests {
  private func produce(_ client: RawClient, partition: Int32 = 0, _ values: [String]) async throws {
    let response = try await client.ask(produceRequest("t", [(partition, try batch(values))]), version: 9)
    try #require(response.responses[0].partitionResponses[0].errorCode == .none)
  }

  @Test("a fetch returns the whole batch that contains the offset, from memory and from disk", arguments: [false, true])
  func wholeBatch(isCold: Bool) async throws {
    try await BrokerUnderTest.run(store: { if isCold { $0.logTailBytesPerPartitionMax = 0 } }) { broker in
      try await broker.createTopic("t")
      let client = try await broker.client()
      try await produce(client, ["a", "b", "c"])
      try await produce(client, ["d"])
      let fetched = try await client.ask(fetchRequest("t", [(0, 1)]), version: 11)
      #expect(try fetched.parts[0].contents.map(\.offset) == [0, 1, 2, 3])
      #expect(
        fetched.parts[0].highWatermark == 4 && fetched.parts[0].lastStableOffset == 4 && fetched.parts[0].logStartOffset == 0)
      let small = try await client.ask(fetchRequest("t", [(0, 1)], bytesMax: 1, partitionBytesMax: 1), version: 11)
      #expect(try small.parts[0].values == ["a", "b", "c"], "the first batch comes whole whatever the limits")
    }
  }

  @Test("partitions share the bytes in the order of the request, wherever their records lie")
  func fairness() async throws {
    // Partition 0 is read from the disk: what partition 1 gets afterwards drives it out of memory.
    try await BrokerUnderTest.run(store: { $0.logTailBytesMax = 4_000 }) { broker in
      try await broker.createTopic("t", partitions: 3)
      let client = try await broker.client()
      let value = String(repeating: "x", count: 1_500)
      try await produce(client, partition: 0, ["cold" + value])
      for _ in 0..<4 { try await produce(client, partition: 1, ["hot" + value]) }
      let isCold =
        if case .notInMemory? = broker.store.partition(TopicPartition(topic: "t", partition: 0))?.readTail(
          from: .zero, maxBytes: 1)
        {
          true
        } else {
          false
        }
      #expect(isCold)
      let fetched = try await client.ask(fetchRequest("t", [(2, 0), (0, 0), (1, 2)], bytesMax: 2_000), version: 11)
      #expect(fetched.parts.map(\.partitionIndex) == [2, 0, 1])
      #expect(
        try fetched.parts.map { try $0.values.count } == [0, 1, 0], "the hot partition does not starve the cold one before it")
      let next = try await client.ask(
        fetchRequest("t", [(1, 3), (0, 0)], bytesMax: 8_000, partitionBytesMax: 100), version: 11)
      #expect(try next.parts.map { try $0.values.count } == [1, 0], "only the first batch may exceed its partition's limit")
    }
  }

  @Test("a parked fetch is woken by an append")
  func woken() async throws {
    try await BrokerUnderTest.run { broker in
      try await broker.createTopic("t", partitions: 2)
      let consumer = try await broker.client()
      let producer = try await broker.client()
      let start = ContinuousClock.now
      for round in 0..<20 {
        try await consumer.send(
          RawClient.frame(
            fetchRequest("t", [(0, Int64(round)), (1, 0)], waitMilliseconds: 30_000), version: 11, correlationID: Int32(round)))
        // Sometimes before the fetch is parked, sometimes after.
        if round % 2 == 0 { #expect(try await broker.eventually { !broker.broker.loops[0].parked.isEmpty }) }
        try await produce(producer, ["\(round)"])
        let (id, fetched) = try await consumer.reply(to: FetchRequest.self, version: 11)
        #expect(id == round)
        #expect(try fetched.parts[0].values == ["\(round)"])
      }
      #expect(ContinuousClock.now - start < .seconds(10))
      #expect(broker.broker.loops[0].parked.isEmpty)
    }
  }

  @Test("a fetch waits for min_bytes, and answers with what there is when its time is up")
  func minBytes() async throws {
    try await BrokerUnderTest.run { broker in
      try await broker.createTopic("t")
      let client = try await broker.client()
      try await produce(client, ["a"])
      let start = ContinuousClock.now
      let late = try await client.ask(fetchRequest("t", [(0, 0)], waitMilliseconds: 60, bytesMin: 10_000), version: 11)
      #expect(ContinuousClock.now - start >= .milliseconds(55))
      #expect(try late.parts[0].values == ["a"])
      try await client.send(
        RawClient.frame(fetchRequest("t", [(0, 0)], waitMilliseconds: 30_000, bytesMin: 300), version: 11, correlationID: 1))
      let producer = try await broker.client()
      for value in ["b", "c", "d", "e"] { try await produce(producer, [value]) }
      let fetched = try await client.reply(to: FetchRequest.self, version: 11).response
      #expect(try fetched.parts[0].values.count >= 4)
    }
  }

  @Test("a fetch whose client has gone is not kept waiting")
  func abandoned() async throws {
    try await BrokerUnderTest.run { broker in
      try await broker.createTopic("t")
      let loop = broker.broker.loops[0]
      for _ in 0..<10 {
        let client = try await broker.client()
        try await client.send(
          RawClient.frame(fetchRequest("t", [(0, 0)], waitMilliseconds: .max), version: 11, correlationID: 1))
        #expect(try await broker.eventually { !loop.parked.isEmpty })
        await client.close()
        #expect(try await broker.eventually { loop.parked.isEmpty })
      }
    }
  }

  @Test("offsets, epochs and topics that are not there are told apart, and cut the wait short")
  func errors() async throws {
    try await BrokerUnderTest.run { broker in
      try await broker.createTopic("t")
      let client = try await broker.client()
      try await produce(client, ["a"])
      func error(_ topic: String = "t", partition: Int32 = 0, offset: Int64 = 0, epoch: Int32 = -1) async throws -> ErrorCode {
        let start = ContinuousClock.now
        let fetched = try await client.ask(
          fetchRequest(topic, [(partition, offset)], waitMilliseconds: 5_000) { $0.currentLeaderEpoch = epoch }, version: 11)
        #expect(ContinuousClock.now - start < .seconds(3))
        #expect(fetched.parts[0].records?.byteCount == 0 || fetched.parts[0].errorCode == .none)
        return fetched.parts[0].errorCode
      }
      #expect(try await error(offset: -1) == .offsetOutOfRange)
      #expect(try await error(offset: 2) == .offsetOutOfRange)
      #expect(try await error(partition: 1) == .unknownTopicOrPartition)
      #expect(try await error(partition: -1) == .unknownTopicOrPartition)
      #expect(try await error("nowhere") == .unknownTopicOrPartition)
      #expect(try await error(epoch: 7) == .unknownLeaderEpoch)
      #expect(try await error(epoch: 0) == .none)
    }
  }

  @Test("a topic that is not there does not cut the wait for another short")
  func unknownBesideKnown() async throws {
    try await BrokerUnderTest.run { broker in
      try await broker.createTopic("t")
      let client = try await broker.client()
      let start = ContinuousClock.now
      let fetched = try await client.ask(fetchRequest("t", [(0, 0), (9, 0)], waitMilliseconds: 60), version: 11)
      #expect(ContinuousClock.now - start >= .milliseconds(55))
      #expect(fetched.parts.map(\.errorCode) == [.none, .unknownTopicOrPartition])
    }
  }

  @Test("read_committed is told that no transaction was aborted, read_uncommitted nothing")
  func isolation() async throws {
    try await BrokerUnderTest.run { broker in
      try await broker.createTopic("t")
      let client = try await broker.client()
      try await produce(client, ["a"])
      var request = fetchRequest("t", [(0, 0)])
      #expect(try await client.ask(request, version: 11).parts[0].abortedTransactions == nil)
      request.isolationLevel = 1
      #expect(try await client.ask(request, version: 11).parts[0].abortedTransactions?.isEmpty == true)
    }
  }

  @Test("an offset behind the end of its epoch is answered with where the logs part; an epoch nobody knows is out of range")
  func divergence() async throws {
    try await BrokerUnderTest.run { broker in
      try await broker.createTopic("t")
      let client = try await broker.client()
      try await produce(client, ["a"])
      let same = try await client.ask(fetchRequest("t", [(0, 0)]) { $0.lastFetchedEpoch = 0 }, version: 12)
      #expect(try same.parts[0].values == ["a"])
      let unknown = try await client.ask(
        fetchRequest("t", [(0, 1)], waitMilliseconds: 100) { $0.lastFetchedEpoch = 9 }, version: 12)
      #expect(unknown.parts[0].errorCode == .offsetOutOfRange)
      let ahead = try await client.ask(fetchRequest("t", [(0, 7)]) { $0.lastFetchedEpoch = 0 }, version: 12)
      #expect(ahead.parts[0].errorCode == .none)
      #expect(ahead.parts[0].divergingEpoch.epoch == 0 && ahead.parts[0].divergingEpoch.endOffset == 1)
    }
  }

  @Test("a fetch whose limit leaves no room for the next batch does not wait for more", arguments: [false, true])
  func limited(isCold: Bool) async throws {
    try await BrokerUnderTest.run(store: { if isCold { $0.logTailBytesPerPartitionMax = 0 } }) { broker in
      try await broker.createTopic("t", partitions: 2)
      let client = try await broker.client()
      for _ in 0..<4 { try await produce(client, [String(repeating: "x", count: 900)]) }
      // Each would wait until the test is out of time.
      let byPartition = fetchRequest("t", [(0, 0)], waitMilliseconds: .max, bytesMin: 1_500, partitionBytesMax: 1_500)
      #expect(try await client.ask(byPartition, version: 11).parts[0].values.count == 1)
      let byRequest = fetchRequest("t", [(0, 0)], waitMilliseconds: .max, bytesMin: 2_500, bytesMax: 2_500)
      #expect(try await client.ask(byRequest, version: 11).parts[0].values.count == 2)
      let ofTwo = fetchRequest("t", [(0, 0), (1, 0)], waitMilliseconds: .max, bytesMin: 2_500, bytesMax: 2_500)
      #expect(try await client.ask(ofTwo, version: 11).parts.map { try $0.values.count } == [2, 0])
      // More than the partition may bring, of a segment that grows: that is worth waiting for.
      let tooMuch = fetchRequest("t", [(0, 0)], waitMilliseconds: 60, bytesMin: 50_000, partitionBytesMax: 1_500)
      #expect(try await client.ask(tooMuch, version: 11).parts[0].values.count == 1)
    }
  }

  @Test("a fetch in a segment that no longer grows is answered at once")
  func olderSegment() async throws {
    try await BrokerUnderTest.run { broker in
      try await broker.createTopic("t", ["segment.bytes": "1024"])
      let client = try await broker.client()
      for _ in 0..<3 { try await produce(client, [String(repeating: "x", count: 900)]) }
      let fetch = fetchRequest("t", [(0, 0)], waitMilliseconds: .max, bytesMin: 50_000)
      #expect(try await client.ask(fetch, version: 11).parts[0].values.count > 0)
    }
  }

  @Test("a fetch that waits for several partitions is answered at once when one of them is deleted")
  func deletedWhileWaiting() async throws {
    try await BrokerUnderTest.run { broker in
      try await broker.createTopic("stays")
      let client = try await broker.client()
      for round in 0..<10 {
        try await broker.createTopic("t")
        // A fetch that comes behind the deletion waits for the partition that is there.
        var request = fetchRequest("stays", [(0, 0)], waitMilliseconds: round % 2 == 0 ? .max : 1_000)
        request.topics += fetchRequest("t", [(0, 0)]).topics
        try await client.send(RawClient.frame(request, version: 11, correlationID: 1))
        // Sometimes before the fetch is parked, sometimes after.
        if round % 2 == 0 { #expect(try await broker.eventually { !broker.broker.loops[0].parked.isEmpty }) }
        try await broker.cluster.deleteTopic(named: "t")
        let fetched = try await client.reply(to: FetchRequest.self, version: 11).response
        #expect(fetched.parts.map(\.errorCode) == [.none, .unknownTopicOrPartition])
        #expect(broker.broker.loops[0].parked.isEmpty)
      }
    }
  }

  @Test("a fetch that waits for a fenced partition goes on waiting, and is woken by what is appended once it is rebuilt")
  func fenced() async throws {
    try await BrokerUnderTest.run { broker in
      try await broker.createTopic("t", partitions: 2)
      let client = try await broker.client()
      try await produce(client, ["a"])
      let log = try #require(broker.store.partition(TopicPartition(topic: "t", partition: 0)))
      let waiting = fetchRequest("t", [(1, 0), (0, 1)], waitMilliseconds: .max)
      try await client.send(RawClient.frame(waiting, version: 11, correlationID: 1))
      #expect(try await broker.eventually { !broker.broker.loops[0].parked.isEmpty })
      log.store.lane(of: log).submit({ lane in try? lane.writer(of: log).fence("a test") }, orElse: {})
      let other = try await broker.client()
      // What is durable is read also while it is fenced.
      let durable = try await other.ask(fetchRequest("t", [(0, 0)], waitMilliseconds: 10_000), version: 11)
      #expect(durable.parts.map(\.errorCode) == [.none] && durable.parts.first?.highWatermark == 1)
      #expect(try await broker.eventually { log.failure == nil })
      #expect(!broker.broker.loops[0].parked.isEmpty)
      try await produce(other, ["b"])
      let woken = try await client.reply(to: FetchRequest.self, version: 11).response
      #expect(woken.parts.map(\.errorCode) == [.none, .none] && woken.parts.last?.highWatermark == 2)
    }
  }

  @Test("a fetch in a session is told of a topic that was deleted, and of the one that took its name")
  func sessionOverDeletion() async throws {
    try await BrokerUnderTest.run({ $0.autoCreateTopics = false }) { broker in
      try await broker.createTopic("t")
      let client = try await broker.client()
      try await produce(client, ["old"])
      var first = fetchRequest("t", [(0, 1)])
      first.sessionEpoch = 0
      let begun = try await client.ask(first, version: 11)
      #expect(begun.sessionID != 0 && begun.parts.count == 1)
      func next(_ epoch: Int32, wait: Int32 = 0) async throws -> FetchResponse {
        var request = FetchRequest()
        request.sessionID = begun.sessionID
        request.sessionEpoch = epoch
        request.minBytes = 1
        request.maxWaitMs = wait
        return try await client.ask(request, version: 11)
      }
      #expect(try await next(1).parts.isEmpty, "nothing new")
      // Deleted while a fetch waits.
      var waiting = FetchRequest()
      waiting.sessionID = begun.sessionID
      waiting.sessionEpoch = 2
      waiting.minBytes = 1
      waiting.maxWaitMs = .max
      try await client.send(RawClient.frame(waiting, version: 11, correlationID: 1))
      #expect(try await broker.eventually { !broker.broker.loops[0].parked.isEmpty })
      try await broker.cluster.deleteTopic(named: "t")
      let ended = try await client.reply(to: FetchRequest.self, version: 11).response
      #expect(ended.parts.map(\.errorCode) == [.unknownTopicOrPartition])
      #expect(try await next(3).parts.map(\.errorCode) == [.unknownTopicOrPartition])
      try await broker.createTopic("t")
      #expect(try await next(4).parts.map(\.errorCode) == [.offsetOutOfRange], "the old offset is not one of the new topic's")
      #expect(try await next(9).errorCode == .invalidFetchSessionEpoch)
    }
  }
}
