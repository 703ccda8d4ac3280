internal import KafkaProtocol
internal import Model
internal import NIOCore
internal import Records

/// Who an idempotent producer is.
struct ProducerIdentity: Sendable {
  var producerID: Int64
  var producerEpoch: Int16
}

/// Sends batches with acks=all, of each partition one after the other, of different partitions at the same time.
///
/// One batch of a partition is on its way at any time, so that a repetition keeps the order; with a producer id the broker
/// recognises a batch that it has already, and nothing is stored twice.
actor BatchSender {
  private struct Batch: Sendable {
    var records: ByteBuffer
    var recordCount: Int
  }

  private struct Partition {
    var queue = CircularBuffer<Batch>()
    var isSending = false
    var nextSequence: Int32 = 0
  }

  private let client: KafkaClient
  private let topic: String
  private let identity: ProducerIdentity?
  private let inFlightBytesMax: Int

  private var partitions: [Int32: Partition] = [:]
  private var inFlightBytes = 0
  private var failure: (any Error)?
  private var waiting: [CheckedContinuation<Void, Never>] = []
  private(set) var acknowledgedRecords = 0

  init(client: KafkaClient, topic: String, identity: ProducerIdentity?, inFlightBytesMax: Int) {
    self.client = client
    self.topic = topic
    self.identity = identity
    self.inFlightBytesMax = inFlightBytesMax
  }

  /// Numbers, compresses and queues a batch; waits while too many bytes are on their way.
  func enqueue(_ builder: sending BatchBuilder, to number: Int32) async throws {
    while inFlightBytes > inFlightBytesMax, failure == nil { await withCheckedContinuation { waiting.append($0) } }
    if let failure { throw failure }
    var partition = partitions[number] ?? Partition()
    var builder = builder
    if let identity {
      builder.producerID = identity.producerID
      builder.producerEpoch = identity.producerEpoch
      builder.baseSequence = partition.nextSequence
      partition.nextSequence = ProducerSequence.advance(partition.nextSequence, by: Int32(builder.recordCount))
    }
    let batch = Batch(records: try builder.build(), recordCount: builder.recordCount)
    inFlightBytes += batch.records.readableBytes
    partition.queue.append(batch)
    if !partition.isSending {
      partition.isSending = true
      Task { await self.drain(number) }
    }
    partitions[number] = partition
  }

  /// Waits until nothing is on its way.
  func flush() async throws {
    while inFlightBytes > 0, failure == nil { await withCheckedContinuation { waiting.append($0) } }
    if let failure { throw failure }
  }

  private func drain(_ number: Int32) async {
    while failure == nil, let batch = partitions[number]!.queue.popFirst() {
      do {
        try await send(batch, to: TopicPartition(topic: topic, partition: number))
        acknowledgedRecords += batch.recordCount
      } catch {
        failure = failure ?? error
      }
      inFlightBytes -= batch.records.readableBytes
      for continuation in waiting { continuation.resume() }
      waiting = []
    }
    partitions[number]!.isSending = false
  }

  private func send(_ batch: Batch, to partition: TopicPartition) async throws {
    var data = ProduceRequest.PartitionProduceData()
    data.index = partition.partition
    data.records = RecordsField(batch.records)
    var topic = ProduceRequest.TopicProduceData()
    topic.name = partition.topic
    topic.partitionData = [data]
    var request = ProduceRequest()
    request.acks = -1
    request.timeoutMs = client.timeouts.requestMilliseconds
    request.topicData = [topic]
    let ready = request
    let isIdempotent = identity != nil
    try await retry(within: client.timeouts.operation) {
      do {
        let response = try await self.client.leader(of: partition).send(ready)
        guard let answer = response.responses.first?.partitionResponses.first else {
          throw KafkaClientError(.malformedResponse, "the broker acknowledged nothing of \(partition)")
        }
        // A duplicate is a batch that was stored when its acknowledgement was lost.
        if answer.errorCode == .none || answer.errorCode == .duplicateSequenceNumber { return }
        let said = answer.recordErrors.first?.batchIndexErrorMessage ?? answer.errorMessage
        throw KafkaClientError.refused("partition \(partition.partition) of '\(partition.topic)'", answer.errorCode, said)
      } catch let error as KafkaClientError {
        await self.client.forget(topic: partition.topic)
        // Without a producer id a repetition could store the batch twice, where it is not known whether it was stored.
        if !isIdempotent, error.code == .timedOut || error.code == .disconnected {
          throw KafkaClientError(
            .invalidArgument, "\(error.message); the last batch of partition \(partition.partition) may or may not be stored")
        }
        throw error
      }
    }
  }
}

extension KafkaClient {
  /// A new producer id; nil where the broker has none to give.
  func newProducerIdentity() async throws -> ProducerIdentity? {
    try await retrying {
      let broker = try await self.anyBroker()
      guard broker.version(of: .initProducerID) != nil else { return nil }
      var request = InitProducerIDRequest()
      request.transactionalID = nil
      request.transactionTimeoutMs = 60_000
      let response = try await broker.send(request)
      guard response.errorCode == .none else { throw KafkaClientError.refused("a producer id", response.errorCode) }
      return ProducerIdentity(producerID: response.producerID, producerEpoch: response.producerEpoch)
    }
  }

  /// The topic's `max.message.bytes`; Kafka's default where the broker does not tell.
  func batchBytesMax(of topic: String) async throws -> Int {
    let broker = try await anyBroker()
    guard broker.version(of: .describeConfigs) != nil else { return Int(TopicConfiguration().maxMessageBytes) }
    let settings = try await describeConfiguration(ofTopic: topic, keys: ["max.message.bytes"])
    return settings.first { $0.key == "max.message.bytes" }?.value.flatMap(Int.init)
      ?? Int(TopicConfiguration().maxMessageBytes)
  }
}
