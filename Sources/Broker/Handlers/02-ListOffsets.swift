internal import Cluster
internal import KafkaProtocol
internal import Metadata
internal import Model
internal import Storage

/// ListOffsets, versions 1 to 10: the offset at the start, at the end, of the largest timestamp (KIP-734), or of the first record at or
/// after a timestamp, exact to the record.
extension Call {
  /// Timestamps with a meaning of their own.
  private enum Question {
    static let latest: Int64 = -1
    static let earliest: Int64 = -2
    static let maxTimestamp: Int64 = -3
    static let earliestLocal: Int64 = -4
    static let latestTiered: Int64 = -5
  }

  func handle(_ request: ListOffsetsRequest) {
    let broker = connection.broker
    let version = version
    let image = broker.cluster.image
    broker.store.runOnReadThread {
      var response = ListOffsetsResponse()
      var seen: Set<TopicPartition> = []
      var repeated: Set<TopicPartition> = []
      for topic in request.topics {
        for part in topic.partitions
        where !seen.insert(TopicPartition(topic: topic.name, partition: part.partitionIndex)).inserted {
          repeated.insert(TopicPartition(topic: topic.name, partition: part.partitionIndex))
        }
      }
      for topic in request.topics {
        var topicResponse = ListOffsetsResponse.TopicResponse()
        topicResponse.name = topic.name
        for part in topic.partitions {
          let key = TopicPartition(topic: topic.name, partition: part.partitionIndex)
          var row = ListOffsetsResponse.PartitionResponse()
          row.partitionIndex = part.partitionIndex
          do throws(ErrorCode) {
            if repeated.contains(key) { throw .invalidRequest }
            let (log, epochFloor) = try broker.partitions.read(key, in: image, epoch: part.currentLeaderEpoch)
            let answer = try Self.answer(part, log, epochFloor, version: version)
            row.offset = answer.offset
            row.timestamp = answer.timestamp
            row.leaderEpoch = answer.epoch
          } catch {
            row.errorCode = broker.partitions.outcome(error, of: key, in: image)
            row.offset = -1
            row.timestamp = -1
          }
          topicResponse.partitions.append(row)
        }
        response.topics.append(topicResponse)
      }
      reply(response)
    }
  }

  private typealias Answer = (offset: Int64, timestamp: Int64, epoch: Int32)

  /// On a read thread.
  private static func answer(
    _ part: ListOffsetsRequest.Partition, _ log: PartitionLog, _ epochFloor: LeaderEpoch, version: Int16
  ) throws(ErrorCode) -> Answer {
    let fenced: ErrorCode?
    do throws(StorageError) {
      let offsets = try log.loadNow()
      let behind = try behindFormerLeader(part, log, offsets, version)
      fenced = epochError(part.currentLeaderEpoch, max(offsets.leaderEpoch, epochFloor)) ?? behind
      if fenced == nil, let answer = try look(part.timestamp, log, offsets, version: version) { return answer }
    } catch {
      throw error.code
    }
    throw fenced ?? .unsupportedVersion
  }

  /// A new leader may not know yet how much of what its predecessor had is replicated: it would say less than that one did (KIP-207).
  private static func behindFormerLeader(
    _ part: ListOffsetsRequest.Partition, _ log: PartitionLog, _ offsets: LogOffsets, _ version: Int16
  ) throws(StorageError) -> ErrorCode? {
    guard part.timestamp >= 0 || part.timestamp == Question.latest || part.timestamp == Question.maxTimestamp,
      (offsets.highWatermark < offsets.logEndOffset) && (offsets.leaderEpoch > LeaderEpoch.zero),
      let former = try log.epochEnd(LeaderEpoch(offsets.leaderEpoch.rawValue - 1)), former.endOffset > offsets.highWatermark
    else { return nil }
    return version >= 5 ? .offsetNotAvailable : .leaderNotAvailable
  }

  /// - Returns: nil for a negative timestamp that has no meaning in this version.
  private static func look(
    _ timestamp: Int64, _ log: PartitionLog, _ offsets: LogOffsets, version: Int16
  ) throws(StorageError) -> Answer? {
    func epoch(of offset: Offset) throws(StorageError) -> Int32 {
      try log.epoch(of: offset)?.rawValue ?? offsets.leaderEpoch.rawValue
    }
    switch timestamp {
    case Question.latest:
      return (offsets.highWatermark.rawValue, -1, offsets.leaderEpoch.rawValue)
    case Question.earliest:
      return (offsets.logStartOffset.rawValue, -1, try epoch(of: offsets.logStartOffset))
    case Question.earliestLocal where version >= 8:
      return (offsets.logStartOffset.rawValue, -1, try epoch(of: offsets.logStartOffset))
    case Question.latestTiered where version >= 9:
      return (-1, -1, -1)
    case Question.maxTimestamp where version >= 7:
      guard let found = try log.offsetOfMaxTimestamp() else { return (-1, -1, -1) }
      return (found.offset.rawValue, found.timestamp, try epoch(of: found.offset))
    case 0...:
      guard let found = try log.offset(forTimestamp: timestamp) else { return (-1, -1, -1) }
      return (found.offset.rawValue, found.timestamp, try epoch(of: found.offset))
    default:
      return nil
    }
  }
}
