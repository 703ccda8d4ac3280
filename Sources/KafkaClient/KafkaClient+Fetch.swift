internal import KafkaProtocol
public import Model
public import NIOCore

/// What a fetch brought of one partition.
public struct FetchedPartition: Sendable {
  public var partition: TopicPartition
  public var highWatermark: Int64
  public var logStartOffset: Int64
  /// Whole record batches one after the other; the first may begin before the offset that was asked for, the last may be cut off.
  public var records: ByteBuffer
}

extension KafkaClient {
  /// Bytes asked of each partition and of a whole fetch.
  private static let partitionBytesMax: Int32 = 4 << 20
  private static let fetchBytesMax: Int32 = 16 << 20

  /// Reads from several partitions at their offsets; waits up to `wait` for the first records.
  ///
  /// - Throws: `.refused` with `offsetOutOfRange` if an offset is not in its partition.
  public func fetch(_ positions: [TopicPartition: Int64], wait: Duration) async throws -> [FetchedPartition] {
    try await retrying {
      let groups = try await self.leaders(of: positions.keys)
      return try await withThrowingTaskGroup(of: [FetchedPartition].self) { tasks in
        for (leader, led) in groups {
          tasks.addTask { try await self.fetch(led, at: positions, from: leader, wait: wait) }
        }
        var fetched: [FetchedPartition] = []
        for try await part in tasks { fetched += part }
        return fetched
      }
    }
  }

  private nonisolated func fetch(
    _ partitions: [TopicPartition], at positions: [TopicPartition: Int64], from leader: BrokerConnection, wait: Duration
  ) async throws -> [FetchedPartition] {
    let waitMilliseconds = Int32(clamping: Int64(wait / .milliseconds(1)))
    var request = FetchRequest()
    request.maxWaitMs = waitMilliseconds
    request.minBytes = 1
    request.maxBytes = Self.fetchBytesMax
    for (name, numbers) in Self.byTopic(partitions) {
      var topic = FetchRequest.Topic()
      topic.topic = name
      topic.partitions = numbers.map { number in
        var partition = FetchRequest.Partition()
        partition.partition = number
        partition.fetchOffset = positions[TopicPartition(topic: name, partition: number)]!
        partition.partitionMaxBytes = Self.partitionBytesMax
        return partition
      }
      request.topics.append(topic)
    }
    let response: FetchResponse
    do {
      response = try await leader.send(request, timeout: timeouts.request + .milliseconds(Int64(waitMilliseconds)))
    } catch {
      for partition in partitions { await forget(topic: partition.topic) }
      throw error
    }
    if response.errorCode != .none { throw KafkaClientError.refused("fetch", response.errorCode) }
    var fetched: [FetchedPartition] = []
    for topic in response.responses {
      for answer in topic.partitions {
        let partition = TopicPartition(topic: topic.topic, partition: answer.partitionIndex)
        if answer.errorCode != .none {
          await forget(topic: topic.topic)
          throw KafkaClientError.refused("partition \(partition.partition) of '\(topic.topic)'", answer.errorCode)
        }
        fetched.append(
          FetchedPartition(
            partition: partition, highWatermark: answer.highWatermark, logStartOffset: answer.logStartOffset,
            records: answer.records?.joined ?? ByteBuffer()))
      }
    }
    return fetched
  }
}
