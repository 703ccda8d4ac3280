public import Model
internal import Synchronization

/// What a leader wants its in-sync set to be.
public struct IsrProposal: Hashable, Sendable {
  public var partition: TopicPartition
  public var topicID: TopicID
  public var epoch: LeaderEpoch
  public var isr: [NodeID]
}

extension LogStore {
  public func lead(
    _ partition: TopicPartition, topicID: TopicID, epoch: LeaderEpoch, configuration: TopicConfiguration, replicas: ReplicaSet?
  ) throws(StorageError) {
    if let log = self.partition(partition), log.topicID == topicID {
      if let follower = shared.follower(of: log) { follower.close() }
      if log.isReplica { log.becomeLeader(epoch) }
    } else {
      let directory = "\(shared.topicsDirectory)/\(partition)"
      if FileSystem.exists(directory) {
        try attachPartition(partition, topicID: topicID, leaderEpoch: epoch, configuration: configuration)
      } else {
        try createPartition(partition, topicID: topicID, leaderEpoch: epoch, configuration: configuration)
      }
    }
    try setReplicas(of: partition, topicID: topicID, replicas)
  }

  public func release(_ partition: TopicPartition, topicID: TopicID) throws(StorageError) {
    guard let log = self.partition(partition), log.topicID == topicID else { return }
    try release(log)
  }

  public func setProposalObserver(_ observer: @escaping @Sendable (IsrProposal) -> Void) {}
  public func noteSession(of node: NodeID, isAlive: Bool) {}
}
