internal import KafkaProtocol
public import Model
public import NIOCore
public import Records

/// What a fetch of committed records brought of one partition.
public struct CommittedFetch: Sendable {
  /// The end of what is decided: an open transaction begins there, or it is the high watermark.
  public var lastStableOffset: Int64
  public var logStartOffset: Int64
  /// Whole record batches one after the other, also those of aborted transactions; the first may begin before the offset that was
  /// asked for, the last may be cut off.
  public var records: ByteBuffer
  public var aborted: [CommittedStretch.AbortedTransaction]
}

extension KafkaClient {
  /// Reads from several partitions at their offsets, up to the end of what is decided; waits up to `wait` for the first records.
  ///
  /// One attempt: partitions fail each for itself, and where their leaders are is asked anew then.
  ///
  /// - Parameters:
  ///   - partitions: in the order in which their brokers are to serve them: what comes late may get nothing in one fetch.
  ///   - partitionBytesMax: of one partition; its first batch comes whole, however large it is.
  ///   - bytesMax: of one broker's answer.
  /// - Returns: an outcome for each partition.
  /// - Throws: `CancellationError`.
  public func fetchCommitted(
    _ partitions: [(partition: TopicPartition, offset: Int64)], partitionBytesMax: Int, bytesMax: Int, wait: Duration
  ) async throws -> [TopicPartition: Result<CommittedFetch, KafkaClientError>] {
    var outcomes: [TopicPartition: Result<CommittedFetch, KafkaClientError>] = [:]
    var groups: [(leader: BrokerConnection, partitions: [(partition: TopicPartition, offset: Int64)])] = []
    for each in partitions {
      do {
        let leader = try await leaderNow(of: each.partition)
        if let index = groups.firstIndex(where: { $0.leader === leader }) {
          groups[index].partitions.append(each)
        } else {
          groups.append((leader, [each]))
        }
      } catch let error as KafkaClientError {
        forget(topic: each.partition.topic)
        outcomes[each.partition] = .failure(error)
      }
    }
    try await withThrowingTaskGroup(of: [TopicPartition: Result<CommittedFetch, KafkaClientError>].self) { tasks in
      for group in groups {
        var request = FetchRequest()
        request.maxWaitMs = Int32(clamping: Int64(wait / .milliseconds(1)))
        request.minBytes = 1
        request.maxBytes = Int32(clamping: bytesMax)
        request.isolationLevel = 1
        request.add(group.partitions, bytesMax: Int32(clamping: partitionBytesMax))
        let ready = request
        tasks.addTask { try await self.fetchCommitted(ready, group.partitions.map(\.partition), from: group.leader) }
      }
      for try await part in tasks { outcomes.merge(part) { $1 } }
    }
    return outcomes
  }

  /// As `leader(of:)`, but with a single look at the metadata.
  private func leaderNow(of partition: TopicPartition) async throws -> BrokerConnection {
    if !isKnown(topic: partition.topic) {
      let found = try await refreshMetadata(topics: [partition.topic], allowAutoTopicCreation: false)
      guard let topic = found.first(where: { $0.name == partition.topic }), topic.errorCode == .none else {
        throw KafkaClientError.refused("topic '\(partition.topic)'", found.first?.errorCode ?? .unknownTopicOrPartition)
      }
    }
    return try await leader(of: partition)
  }

  private nonisolated func fetchCommitted(
    _ request: FetchRequest, _ partitions: [TopicPartition], from leader: BrokerConnection
  ) async throws -> [TopicPartition: Result<CommittedFetch, KafkaClientError>] {
    var outcomes: [TopicPartition: Result<CommittedFetch, KafkaClientError>] = [:]
    do {
      let response = try await leader.send(request, timeout: timeouts.request + .milliseconds(Int64(request.maxWaitMs)))
      if response.errorCode != .none { throw KafkaClientError.refused("fetch", response.errorCode) }
      for topic in response.responses {
        for answer in topic.partitions {
          let partition = TopicPartition(topic: topic.topic, partition: answer.partitionIndex)
          outcomes[partition] =
            answer.errorCode == .none
            ? .success(CommittedFetch(answer))
            : .failure(.refused("partition \(partition.partition) of '\(topic.topic)'", answer.errorCode))
        }
      }
      let silence = KafkaClientError(.malformedResponse, "\(leader.address) said nothing about a partition")
      for partition in partitions where outcomes[partition] == nil { outcomes[partition] = .failure(silence) }
    } catch let error as KafkaClientError {
      for partition in partitions { outcomes[partition] = .failure(error) }
    }
    for (partition, outcome) in outcomes {
      if case .failure(let error) = outcome, error.kafkaCode != .offsetOutOfRange { await forget(topic: partition.topic) }
    }
    return outcomes
  }
}

extension FetchRequest {
  /// Adds partitions in their order; neighbours of one topic together.
  fileprivate mutating func add(_ partitions: [(partition: TopicPartition, offset: Int64)], bytesMax: Int32) {
    for each in partitions {
      var partition = FetchRequest.Partition()
      partition.partition = each.partition.partition
      partition.fetchOffset = each.offset
      partition.partitionMaxBytes = bytesMax
      if topics.last?.topic == each.partition.topic {
        topics[topics.count - 1].partitions.append(partition)
      } else {
        var topic = FetchRequest.Topic()
        topic.topic = each.partition.topic
        topic.partitions = [partition]
        topics.append(topic)
      }
    }
  }
}

extension CommittedFetch {
  fileprivate init(_ answer: FetchResponse.PartitionData) {
    // A broker may claim anything, and sums with these must not overflow.
    let possible = -1...LogStretch.offsetMax
    lastStableOffset = (answer.lastStableOffset >= 0 ? answer.lastStableOffset : answer.highWatermark).clamped(to: possible)
    logStartOffset = answer.logStartOffset.clamped(to: possible)
    records = answer.records?.joined ?? ByteBuffer()
    aborted = (answer.abortedTransactions ?? []).map {
      CommittedStretch.AbortedTransaction(producerID: $0.producerID, firstOffset: $0.firstOffset)
    }
  }
}

extension Int64 {
  fileprivate func clamped(to range: ClosedRange<Int64>) -> Int64 {
    Swift.min(Swift.max(self, range.lowerBound), range.upperBound)
  }
}
