internal import Cluster
internal import KafkaProtocol
internal import Metadata
internal import Model
internal import Storage

/// OffsetForLeaderEpoch, versions 2 to 4: where the last epoch not above the one asked for ends (KIP-101, KIP-320).
extension AdminContext {
  func handle(_ request: OffsetForLeaderEpochRequest, version: Int16) async -> OffsetForLeaderEpochResponse {
    let partitions = partitions
    let image = cluster.image
    return await onReadThread {
      var response = OffsetForLeaderEpochResponse()
      for topic in request.topics {
        var topicResult = OffsetForLeaderEpochResponse.OffsetForLeaderTopicResult()
        topicResult.topic = topic.topic
        for asked in topic.partitions {
          var row = OffsetForLeaderEpochResponse.EpochEndOffset()
          row.partition = asked.partition
          let name = TopicPartition(topic: topic.topic, partition: asked.partition)
          do throws(ErrorCode) {
            let (log, epochFloor) = try partitions.read(name, in: image, epoch: asked.currentLeaderEpoch)
            let end = try Self.epochEnd(asked, log, epochFloor)
            row.leaderEpoch = end.epoch.rawValue
            row.endOffset = end.endOffset.rawValue
          } catch { row.errorCode = partitions.outcome(error, of: name, in: image) }
          topicResult.partitions.append(row)
        }
        response.topics.append(topicResult)
      }
      return response
    }
  }

  private static func epochEnd(
    _ asked: OffsetForLeaderEpochRequest.OffsetForLeaderPartition, _ log: PartitionLog, _ epochFloor: LeaderEpoch
  ) throws(ErrorCode) -> (epoch: LeaderEpoch, endOffset: Offset) {
    let current: LeaderEpoch
    let end: (epoch: LeaderEpoch, endOffset: Offset)?
    do throws(StorageError) {
      current = max(try log.loadNow().leaderEpoch, epochFloor)
      end = try log.epochEnd(LeaderEpoch(asked.leaderEpoch))
    } catch { throw error.errorCode }
    if let error = epochError(asked.currentLeaderEpoch, current) { throw error }
    // An epoch of -1 asks about none.
    guard let end, asked.leaderEpoch >= 0 else { return (LeaderEpoch(-1), Offset(-1)) }
    return end
  }
}
