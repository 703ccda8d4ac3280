internal import Metadata
internal import Model
internal import Storage

/// Which log of this node answers for a partition, given what the cluster has decided.
///
/// A partition that the image knows is never unknown: where this node does not lead it, or is not there yet, clients are sent to look again.
struct LocalPartitions: Sendable {
  let store: LogStore
  let nodeID: NodeID
  /// This node is a standby at this moment.
  let isStandby: @Sendable () -> Bool

  /// The log of a partition that this node leads.
  ///
  /// - Parameter epoch: the leader's as the client knows it; -1 for one that does not say.
  func led(
    _ partition: TopicPartition, in image: ClusterImage, epoch: Int32 = -1
  ) throws(ErrorCode) -> PartitionLog {
    let found = try find(partition, in: image)
    if found.image.leader == nodeID, let log = found.log, !log.isReplica { return log }
    throw epochError(epoch, found.image.leaderEpoch) ?? .notLeaderOrFollower
  }

  /// The log that clients read here: of a partition that this node leads, or on a standby, whose clients see it as the leader.
  ///
  /// - Returns: with the leader epoch that clients know; a copy has that of its last record.
  func read(
    _ partition: TopicPartition, in image: ClusterImage, epoch: Int32 = -1
  ) throws(ErrorCode) -> (log: PartitionLog, epochFloor: LeaderEpoch) {
    let found = try find(partition, in: image)
    if found.image.leader == nodeID, let log = found.log {
      if !log.isReplica { return (log, .zero) }
      if isStandby() { return (log, found.image.leaderEpoch) }
    }
    throw epochError(epoch, found.image.leaderEpoch) ?? .notLeaderOrFollower
  }

  /// The log of a partition that this node leads, or follows.
  func held(
    _ partition: TopicPartition, in image: ClusterImage, epoch: Int32 = -1
  ) throws(ErrorCode) -> PartitionLog {
    let found = try find(partition, in: image)
    // A log that this node led until now is not a follower's yet: it may have more than the others.
    if let log = found.log, log.isReplica || found.image.leader == nodeID { return log }
    throw epochError(epoch, found.image.leaderEpoch) ?? .notLeaderOrFollower
  }

  /// What a client is told of a partition whose log went away under the request: it is led elsewhere, unless the topic is gone.
  func outcome(_ error: ErrorCode, of partition: TopicPartition, in image: ClusterImage) -> ErrorCode {
    guard error == .unknownTopicOrPartition, image.topics[partition.topic]?.partition(partition.partition) != nil else {
      return error
    }
    return .notLeaderOrFollower
  }

  private func find(
    _ partition: TopicPartition, in image: ClusterImage
  ) throws(ErrorCode) -> (image: PartitionImage, log: PartitionLog?) {
    guard let topic = image.topics[partition.topic], !topic.isInternal, let known = topic.partition(partition.partition) else {
      throw .unknownTopicOrPartition
    }
    let log = store.partition(partition)
    return (known, log?.topicID == topic.id ? log : nil)
  }
}
