internal import KafkaProtocol
public import Model
internal import NIOCore

/// Which offset of a partition is asked for.
public enum OffsetQuery: Hashable, Sendable {
  /// The log start offset.
  case earliest
  /// The high watermark.
  case latest
  /// The first record at or after this time, in milliseconds since 1970.
  case time(Int64)

  var wireTimestamp: Int64 {
    switch self {
    case .earliest: -2
    case .latest: -1
    case .time(let milliseconds): max(0, milliseconds)
    }
  }
}

extension KafkaClient {
  /// Asks for one offset of each partition.
  ///
  /// - Parameter isCommitted: `latest` is where the oldest open transaction begins.
  /// - Returns: an offset for every partition; nil where no record is at or after the time.
  public func offsets(
    _ query: OffsetQuery, of partitions: [TopicPartition], isCommitted: Bool = false
  ) async throws -> [TopicPartition: Int64?] {
    try await retrying {
      var found: [TopicPartition: Int64?] = [:]
      for (leader, led) in try await self.leaders(of: partitions) {
        var request = ListOffsetsRequest()
        request.replicaID = -1
        request.isolationLevel = isCommitted ? 1 : 0
        request.timeoutMs = self.timeouts.requestMilliseconds
        for (name, numbers) in Self.byTopic(led) {
          var topic = ListOffsetsRequest.Topic()
          topic.name = name
          topic.partitions = numbers.map { number in
            var partition = ListOffsetsRequest.Partition()
            partition.partitionIndex = number
            partition.timestamp = query.wireTimestamp
            return partition
          }
          request.topics.append(topic)
        }
        let response: ListOffsetsResponse
        do { response = try await leader.send(request) } catch {
          for partition in led { self.forget(topic: partition.topic) }
          throw error
        }
        for topic in response.topics {
          for answer in topic.partitions {
            let partition = TopicPartition(topic: topic.name, partition: answer.partitionIndex)
            if answer.errorCode != .none {
              self.forget(topic: topic.name)
              throw KafkaClientError.refused("partition \(partition.partition) of '\(topic.name)'", answer.errorCode)
            }
            found[partition] = .some(answer.offset < 0 ? nil : answer.offset)
          }
        }
      }
      return found
    }
  }

  static func byTopic(_ partitions: [TopicPartition]) -> [(name: String, partitions: [Int32])] {
    Dictionary(grouping: partitions, by: \.topic).map { ($0.key, $0.value.map(\.partition).sorted()) }
      .sorted { $0.0 < $1.0 }
  }
}
