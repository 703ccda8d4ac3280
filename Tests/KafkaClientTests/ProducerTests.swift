import KafkaProtocol
import Model
import NIOCore
import Records
import Synchronization
import Testing

@testable import KafkaClient

@Suite("A producer")
struct ProducerTests {
  /// What a broker was sent, and how it answers.
  private final class Log: Sendable {
    struct Batch: Equatable {
      var partition: Int32
      var baseSequence: Int32
      var recordCount: Int32
    }
    let batches = Mutex<[Batch]>([])
    /// Answers to produce requests, the first to the first; then all are acknowledged.
    let answers: Mutex<[FakeBroker.Answer?]>

    init(_ answers: [FakeBroker.Answer?]) { self.answers = Mutex(answers) }

    func answer(_ header: RequestHeader, _ frame: ByteBuffer) throws -> FakeBroker.Answer {
      var frame = frame
      switch APIKey(rawValue: header.apiKey) {
      case .initProducerID:
        var response = InitProducerIDResponse()
        response.producerID = 7
        return FakeBroker.reply(response, to: header)
      case .describeConfigs:
        var setting = DescribeConfigsResponse.ResourceResult()
        setting.name = "max.message.bytes"
        setting.value = "1000"
        var result = DescribeConfigsResponse.Result()
        result.configs = [setting]
        var response = DescribeConfigsResponse()
        response.results = [result]
        return FakeBroker.reply(response, to: header)
      case .produce:
        let request = try KafkaMessageCodec.decode(ProduceRequest.self, from: &frame, version: header.apiVersion)
        let data = request.topicData[0].partitionData[0]
        let batch = try data.records!.joined.withUnsafeReadableBytes { try BatchHeader($0) }
        batches.withLock {
          $0.append(Batch(partition: data.index, baseSequence: batch.baseSequence, recordCount: batch.recordCount))
        }
        let scripted = answers.withLock { $0.isEmpty ? nil : $0.removeFirst() }
        if case .hangUp = scripted { return .hangUp }
        var answer = ProduceResponse.PartitionProduceResponse()
        answer.index = data.index
        if case .silence = scripted { answer.errorCode = .notLeaderOrFollower }
        var topic = ProduceResponse.TopicProduceResponse()
        topic.name = request.topicData[0].name
        topic.partitionResponses = [answer]
        var response = ProduceResponse()
        response.responses = [topic]
        return FakeBroker.reply(response, to: header)
      default: return .hangUp
      }
    }
  }

  private func produce(_ log: Log, count: Int, valueBytes: Int) async throws -> Int {
    let broker = try await FakeBroker.start(log.answer)
    defer { Task { await broker.stop() } }
    let client = KafkaClient(bootstrap: [broker.address], clientID: "test")
    let producer = try await Producer(client: client, topic: "t", options: Producer.Options(compression: .none))
    let value = [UInt8](repeating: 65, count: valueBytes)
    for _ in 0..<count {
      let isFull = try value.withUnsafeBytes {
        try producer.append(key: nil, value: $0, headers: [], timestamp: 1, partition: 1)
      }
      if isFull { try await producer.submit() }
    }
    try await producer.flush()
    return await producer.acknowledgedRecords
  }

  @Test("keeps batches within the topic's max.message.bytes and numbers them")
  func batches() async throws {
    let log = Log([])
    #expect(try await produce(log, count: 7, valueBytes: 250) == 7)
    #expect(
      log.batches.withLock { $0 } == [
        .init(partition: 1, baseSequence: 0, recordCount: 3), .init(partition: 1, baseSequence: 3, recordCount: 3),
        .init(partition: 1, baseSequence: 6, recordCount: 1),
      ])
  }

  @Test("sends a batch again, as it was, when its acknowledgement was lost or the leader moved; the next one waits")
  func retries() async throws {
    let log = Log([.hangUp, .silence])
    #expect(try await produce(log, count: 4, valueBytes: 400) == 4)
    #expect(log.batches.withLock { $0 }.map(\.baseSequence) == [0, 0, 0, 2])
  }

  @Test("refuses a record that no batch can hold")
  func tooLarge() async throws {
    let error = await #expect(throws: KafkaClientError.self) { try await produce(Log([]), count: 1, valueBytes: 1100) }
    #expect(error?.code == .invalidArgument)
  }
}
