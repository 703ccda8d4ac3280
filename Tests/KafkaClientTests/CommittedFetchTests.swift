import KafkaProtocol
import Model
import NIOCore
import Records
import Synchronization
import Testing

@testable import KafkaClient

@Suite("Fetches of committed records")
struct CommittedFetchTests {
  private func row(_ number: Int32, _ error: ErrorCode = .none) -> FetchResponse.PartitionData {
    var row = FetchResponse.PartitionData()
    row.partitionIndex = number
    row.errorCode = error
    row.highWatermark = 9
    row.lastStableOffset = 7
    row.logStartOffset = 2
    return row
  }

  @Test("ask for what is decided, in the order of the partitions, which fail each for itself")
  func partitions() async throws {
    let asked = Mutex<FetchRequest?>(nil)
    let broker = try await FakeBroker.start { header, frame in
      var frame = frame
      let request = try KafkaMessageCodec.decode(FetchRequest.self, from: &frame, version: header.apiVersion)
      asked.withLock { $0 = request }
      var good = row(1)
      var aborted = FetchResponse.AbortedTransaction()
      aborted.producerID = 5
      aborted.firstOffset = 3
      good.abortedTransactions = [aborted]
      var topic = FetchResponse.FetchableTopicResponse()
      topic.topic = "t"
      topic.partitions = [good, row(0, .offsetOutOfRange)]
      var response = FetchResponse()
      response.responses = [topic]
      return FakeBroker.reply(response, to: header)
    }
    defer { Task { await broker.stop() } }
    let client = KafkaClient(bootstrap: [broker.address], clientID: "test")
    let names = [1, 0, 7].map { TopicPartition(topic: "t", partition: $0) }
    let outcomes = try await client.fetchCommitted(
      names.map { ($0, 4) }, partitionBytesMax: 100, bytesMax: 1000, wait: .milliseconds(20))
    let good = try #require(try outcomes[names[0]]?.get())
    #expect((good.lastStableOffset, good.logStartOffset) == (7, 2))
    #expect(good.aborted == [CommittedStretch.AbortedTransaction(producerID: 5, firstOffset: 3)])
    #expect(throws: KafkaClientError.self) { try outcomes[names[1]]!.get() }
    guard case .failure(let error) = outcomes[names[1]] else { return }
    #expect(error.kafkaCode == .offsetOutOfRange)
    // The broker leads no such partition; the others were asked all the same.
    #expect(throws: KafkaClientError.self) { try outcomes[names[2]]!.get() }
    let request = try #require(asked.withLock { $0 })
    #expect(request.isolationLevel == 1)
    #expect(request.topics.first?.partitions.map(\.partition) == [1, 0])
  }

  @Test("a broker that hangs up fails its partitions, once")
  func hangUp() async throws {
    let broker = try await FakeBroker.start { _, _ in .hangUp }
    defer { Task { await broker.stop() } }
    let client = KafkaClient(bootstrap: [broker.address], clientID: "test")
    let name = TopicPartition(topic: "t", partition: 0)
    let outcomes = try await client.fetchCommitted([(name, 0)], partitionBytesMax: 1, bytesMax: 1, wait: .zero)
    guard case .failure(let error)? = outcomes[name] else { throw KafkaClientError(.malformedResponse, "it did not fail") }
    #expect(error.code == .disconnected)
  }
}
