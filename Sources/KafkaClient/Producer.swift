internal import NIOCore
public import Records

/// Puts records into one topic: fills batches, and hands full ones to a sender that works beside it.
///
/// Used by one task. Records without suspension: `append` only fills batches; `submit` waits while too much is on its way.
public final class Producer {
  public struct Options: Sendable {
    public var compression: Compression
    /// Bytes of a batch at which it is full, before compression.
    public var batchBytes: Int
    /// Bytes of batches on their way at which `submit` waits.
    public var inFlightBytesMax: Int

    public init(compression: Compression, batchBytes: Int = 512 << 10, inFlightBytesMax: Int = 16 << 20) {
      self.compression = compression
      self.batchBytes = batchBytes
      self.inFlightBytesMax = inFlightBytesMax
    }
  }

  public let topic: String
  public let partitionCount: Int32
  /// Bytes a single batch may have: the topic's `max.message.bytes`.
  public let batchBytesMax: Int

  private let options: Options
  private let sender: BatchSender
  private var partitioner: Partitioner
  private var builders: [BatchBuilder]
  private var full: [(partition: Int32, batch: BatchBuilder)] = []

  /// Finds the topic (the broker creates it if it may) and becomes an idempotent producer where the broker can do that.
  public init(client: KafkaClient, topic: String, options: Options) async throws {
    let description = try await client.topic(topic, creating: true)
    guard !description.partitions.isEmpty else {
      throw KafkaClientError(.malformedResponse, "topic '\(topic)' has no partitions")
    }
    self.topic = topic
    self.options = options
    partitionCount = Int32(description.partitions.count)
    batchBytesMax = try await client.batchBytesMax(of: topic)
    sender = BatchSender(
      client: client, topic: topic, identity: try await client.newProducerIdentity(), inFlightBytesMax: options.inFlightBytesMax
    )
    partitioner = Partitioner(partitionCount: partitionCount, start: .random(in: 0 ... .max))
    builders = Array(repeating: BatchBuilder(compression: options.compression), count: description.partitions.count)
  }

  /// Adds a record to the batch of its partition; its bytes are copied.
  ///
  /// - Parameters:
  ///   - partition: nil to choose it as Kafka's clients do: by the key's hash, or one after the other for records without a key.
  ///   - timestamp: milliseconds since 1970.
  /// - Returns: whether a batch is full, and `submit` is to be called.
  /// - Throws: `.invalidArgument` if there is no such partition, or the record is larger than a batch may be; nothing is added.
  public func append(
    key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?, headers: [RecordHeader], timestamp: Int64, partition: Int32?
  ) throws(KafkaClientError) -> Bool {
    let chosen = partition ?? key.map(partitioner.partition(forKey:)) ?? partitioner.partitionWithoutKey
    guard (0..<partitionCount).contains(chosen) else {
      throw KafkaClientError(.invalidArgument, "topic '\(topic)' has no partition \(chosen): it has \(partitionCount)")
    }
    let bytes = BatchBuilder.recordBytesMax(keyBytes: key?.count ?? 0, valueBytes: value?.count ?? 0, headers: headers)
    let index = Int(chosen)
    if !builders[index].isEmpty, builders[index].uncompressedBytes + bytes > min(options.batchBytes, batchBytesMax) {
      close(index)
      if partition == nil, key == nil {
        partitioner.batchFilled()
        return try append(key: nil, value: value, headers: headers, timestamp: timestamp, partition: nil) || true
      }
    }
    if options.compression == .none, builders[index].uncompressedBytes + bytes > batchBytesMax + Self.estimateSlack {
      throw KafkaClientError(
        .invalidArgument, "a record of \(bytes) bytes is larger than the topic takes (max.message.bytes = \(batchBytesMax))")
    }
    builders[index].append(key: key, value: value, headers: headers, timestamp: timestamp)
    return !full.isEmpty
  }

  /// How much `recordBytesMax` may overstate one record; the broker has the last word on what lies between.
  private static let estimateSlack = 64

  private func close(_ index: Int) {
    full.append((Int32(index), builders[index]))
    builders[index] = BatchBuilder(compression: options.compression)
  }

  /// Sends the full batches; waits while too many bytes are on their way.
  ///
  /// - Throws: the first failure of any batch so far. Batches behind it in its partition are not sent.
  public func submit() async throws {
    for (partition, batch) in full { try await sender.enqueue(batch, to: partition) }
    full.removeAll(keepingCapacity: true)
  }

  /// Sends what there is, full or not, without waiting for it.
  public func submitAll() async throws {
    for index in builders.indices where !builders[index].isEmpty { close(index) }
    try await submit()
  }

  /// Sends what there is and waits until all of it is acknowledged.
  public func flush() async throws {
    try await submitAll()
    try await sender.flush()
  }

  /// Records acknowledged so far.
  public var acknowledgedRecords: Int { get async { await sender.acknowledgedRecords } }
}
