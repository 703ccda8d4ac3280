internal import Logging
public import Model
internal import SQLite
internal import Synchronization

// What this node is for a partition: its leader, a follower (`openReplica`), or nothing any more.

extension LogStore {
  /// This node leads the partition from now on in `epoch`, whatever it did before: nothing, following, leading in an earlier epoch. Durable before the
  /// first append, and on return. Blocks: not on an event loop.
  ///
  /// A partition that has no files is begun empty. Called again in the same epoch it takes over `configuration` and `replicas`, as `setReplicas` does.
  ///
  /// - Parameters:
  ///   - epoch: one in which no earlier life of this node led.
  ///   - replicas: nil where the partition is this node's alone.
  /// - Throws: `.damaged` where this disk has lost what it had: nothing is begun then. `.refused(.fencedLeaderEpoch)` for an epoch that is over,
  ///   `.occupied` where the directory holds another topic's log, `.fenced`, or why the log cannot be opened; it takes no appends then, or those of
  ///   the former epoch; another call tries again.
  public func lead(
    _ topicPartition: TopicPartition, topicID: TopicID, epoch: LeaderEpoch, configuration: TopicConfiguration,
    replicas: ReplicaSet?
  ) throws(StorageError) {
    roleChanges.begin(topicPartition)
    defer { roleChanges.end(topicPartition) }
    if isClosed.withLock({ $0 }) { throw .closed }
    if let log = attached(topicPartition) {
      guard log.topicID == topicID else { throw .refused(.inconsistentTopicID) }
      log.shared.withLock { $0.configuration = configuration }
      if try !becomeLeader(log, epoch, replicas) { try letGo(of: log) }
    }
    if attached(topicPartition) == nil {
      try register(topicPartition, topicID: topicID, leaderEpoch: epoch, configuration: configuration)
    }
    try lead(attached(topicPartition)!, epoch, replicas)
  }

  /// - Returns: false where there is nothing of the partition here.
  private func becomeLeader(_ log: PartitionLog, _ epoch: LeaderEpoch, _ replicas: ReplicaSet?) throws(StorageError) -> Bool {
    guard log.isReplica else { return true }
    let hasSegments = try FileSystem.list(log.directory).contains { SegmentName(fileName: $0) != nil }
    guard hasSegments else { return false }
    if let known = log.offsets, known.leaderEpoch >= epoch { throw .refused(.fencedLeaderEpoch) }
    if let follower = shared.follower(of: log) {
      try follower.becomeLeader(in: epoch, replicas: replicas)
    } else {
      log.becomeLeader(epoch, replicas: replicas)
    }
    return true
  }

  /// Registers a log of which nothing is open.
  private func register(
    _ name: TopicPartition, topicID: TopicID, leaderEpoch: LeaderEpoch, configuration: TopicConfiguration
  ) throws(StorageError) {
    let directory = shared.directory(of: name)
    switch PartitionOwner(of: directory) {
    case .topic(let owner) where owner == topicID:
      try attachPartition(name, topicID: topicID, leaderEpoch: leaderEpoch, configuration: configuration)
    case .topic(let owner): throw .occupied(directory, "holds the log of another topic (id \(owner))")
    case .unreadable(let error): throw error
    case .none, .nobody:
      let key = NodeDatabase.PartitionKey(topicID: topicID, partition: name.partition)
      if let known = remembered.withLock({ $0.checkpoints[key] }), max(known.highWatermark, known.logEndOffset) > .zero {
        throw .damaged(
          StorageDamage(
            file: directory, baseOffset: nil, offset: known.logStartOffset,
            reason: "the files of the partition are gone, of which this node had records up to \(known.highWatermark)"))
      }
      guard name.topic == CoordinatorTopic.name else {
        return try createPartition(name, topicID: topicID, leaderEpoch: leaderEpoch, configuration: configuration)
      }
      try createShard(Int(name.partition))
      try attachPartition(name, topicID: topicID, leaderEpoch: leaderEpoch, configuration: configuration)
    }
  }

  private func lead(_ log: PartitionLog, _ epoch: LeaderEpoch, _ replicas: ReplicaSet?) throws(StorageError) {
    try onLane(of: log) { lane throws(StorageError) in
      guard epoch >= log.leaderEpoch else { throw .refused(.fencedLeaderEpoch) }
      log.setLeaderEpoch(epoch)
      log.shared.withLock { $0.replicas = replicas }
      try lane.stateWriter(of: log).lead(in: epoch)
    }
  }

  /// Neither leads nor follows the partition any more; its files stay (`deletePartitions` removes them). What waits for followers is answered, feeds
  /// end, and whoever holds on to the log is told so. Blocks.
  ///
  /// - Throws: `.closed`.
  public func release(_ topicPartition: TopicPartition, topicID: TopicID) throws(StorageError) {
    roleChanges.begin(topicPartition)
    defer { roleChanges.end(topicPartition) }
    guard let log = attached(topicPartition), log.topicID == topicID else { return }
    try letGo(of: log)
  }

  /// Who is told what a leader here wants its in-sync set to be. On a lane: it must only hop. A proposal comes again unchanged until `setReplicas` or
  /// `lead` says that the partition has changed.
  public func setProposalObserver(_ observer: @escaping @Sendable (IsrProposal) -> Void) {
    shared.setProposalObserver(observer)
  }

  /// Who is told of damage where this node leads: it cannot be mended from followers, but as a follower (`openReplica`) of one of them. Told again in
  /// each round of the scrub, and when a reader meets it. Must only hop.
  public func setDamageObserver(_ observer: @escaping @Sendable (DamagedLeader) -> Void) { shared.setDamageObserver(observer) }

  /// A node's session with the cluster began or ended: those that are gone leave in-sync sets at once. Any thread, does not block.
  public func noteSession(of node: NodeID, isAlive: Bool) { shared.noteSession(of: node, isAlive: isAlive) }

  /// Does something on a partition's lane, and waits for it.
  func onLane(
    of log: PartitionLog, _ work: @escaping @Sendable (StorageLane) throws(StorageError) -> Void
  ) throws(StorageError) {
    let handover = Handover<Result<Void, StorageError>>()
    shared.lane(of: log).submit { lane in
      do throws(StorageError) {
        try work(lane)
        handover.give(.success(()))
      } catch { handover.give(.failure(error)) }
    } orElse: {
      handover.give(.failure(.closed))
    }
    try handover.take().get()
  }
}

/// Keeps two changes of what this node is for one partition apart.
///
// Safe because: `names` is guarded by `monitor`.
final class RoleChanges: @unchecked Sendable {
  private let monitor = Monitor()
  private var names: Set<TopicPartition> = []

  func begin(_ name: TopicPartition) {
    monitor.lock()
    while !names.insert(name).inserted { monitor.wait() }
    monitor.unlock()
  }

  func end(_ name: TopicPartition) {
    monitor.lock()
    names.remove(name)
    monitor.unlock()
    monitor.broadcast()
  }
}
