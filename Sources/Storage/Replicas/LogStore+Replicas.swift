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
    guard let log = attached(topicPartition), log.topicID == topicID else { throw .unknownPartition(topicPartition) }
    return ReplicaFeed(log, follower: follower, from: standing, notify: notify)
  }

  /// Says of which partitions that this node follows it is not in sync. What their leaders have counts there, also where it is less than what was
  /// acknowledged once, as after an unclean election; anywhere else a replica keeps that, and refuses such a leader. Any thread, does not block.
  ///
  /// - Parameter partitions: nil for all.
  public func setOutOfSync(_ partitions: Set<TopicPartition>?) { shared.setOutOfSync(partitions) }

  /// Says which nodes must have what is appended to a partition before it counts as replicated: acks=all is answered then, and readers see it.
  ///
  /// Should be called before the partition is used in this life: until then it is this node's alone. Waits for the lane: not on an event loop.
  ///
  /// - Parameter replicas: nil for this node alone.
  /// - Throws: `.unknownPartition`, `.closed`, or why the partition cannot be opened; it takes effect when it can.
  public func setReplicas(
    of topicPartition: TopicPartition, topicID: TopicID, _ replicas: ReplicaSet?
  ) throws(StorageError) {
    guard let log = attached(topicPartition), log.topicID == topicID else { throw .unknownPartition(topicPartition) }
    try onLane(of: log) { lane throws(StorageError) in
      log.shared.withLock { $0.replicas = replicas }
      try lane.stateWriter(of: log).takeReplicas()
    }
  }
}
