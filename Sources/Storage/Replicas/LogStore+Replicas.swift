public import Model
internal import Synchronization

extension LogStore {
  /// Begins to send a partition to a follower. Returns at once; pages come when they are asked for.
  ///
  /// - Parameters:
  ///   - standing: what the follower has of the segment it followed last; nil for nothing.
  ///   - notify: called on any thread when `next` may have something new; must not block.
  /// - Throws: `.unknownPartition`, also where the topic is another one of that name, `.closed`.
  public func openFeed(
    of topicPartition: TopicPartition, topicID: TopicID, follower: NodeID, from standing: ReplicaStanding?,
    notify: @escaping @Sendable () -> Void
  ) throws(StorageError) -> ReplicaFeed {
    if isClosed.withLock({ $0 }) { throw .closed }
    guard let log = partition(topicPartition), log.topicID == topicID else { throw .unknownPartition(topicPartition) }
    return ReplicaFeed(log, follower: follower, from: standing, notify: notify)
  }
}
