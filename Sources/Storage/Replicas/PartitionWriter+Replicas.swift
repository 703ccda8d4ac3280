internal import Model
internal import SQLite
internal import Synchronization

// Followers that must have what is replicated.

extension PartitionWriter {
  /// This node leads the partition in `epoch`: durable on return, and known to its followers by a commit of its own, unless the log is as new as the
  /// epoch.
  ///
  /// - Throws: `.refused(.fencedLeaderEpoch)` where a later one has begun; the partition is fenced, or what the disk says.
  func lead(in epoch: LeaderEpoch) throws(StorageError) {
    let last = state.epochs.last?.epoch ?? -1
    guard epoch.rawValue >= last else { throw .refused(.fencedLeaderEpoch) }
    let isNew = state.commitSequence == 0 && state.leaderEpoch == epoch.rawValue
    if last < epoch.rawValue, !isNew {
      let start = EpochStart(epoch: epoch.rawValue, startOffset: extent.endOffset)
      try commitChange { segment, state throws(SQLiteError) in
        try segment.insert(start)
        state.epochs.append(start)
      }
    }
    if last < epoch.rawValue { recentRefusal = RecentRefusal(.notLeaderOrFollower, now: store.now()) }
    takeReplicas()
  }

  /// Takes over what the log was told of its replicas.
  func takeReplicas() {
    let set = log.shared.withLock { $0.replicas }
    guard let set else {
      guard let known = replicas else { return }
      replicas = nil
      lane.noteReplicated(-1)
      lane.handBack(known.takeAll(.notLeaderOrFollower, "the partition is replicated no more"))
      publish()
      return store.highWatermarksMoved(of: [log])
    }
    if let replicas, replicas.epoch.rawValue == leaderEpoch {
      replicas.change(to: set, now: store.now())
    } else {
      beginReplication(set, highWatermark: log.offsets?.highWatermark.rawValue ?? 0, after: replicas)
    }
    publish()
    store.highWatermarksMoved(of: [log])
    answerReplicated()
  }

  /// - Parameters:
  ///   - highWatermark: below which everything is known to be replicated.
  ///   - former: of another epoch, or of a log that was rebuilt: what waits goes on waiting, what was said counts no more.
  func beginReplication(_ set: ReplicaSet, highWatermark: Int64, after former: PartitionReplicas? = nil) {
    if replicas == nil { lane.noteReplicated(1) }
    let (store, name, topicID, epoch) = (store, log.topicPartition, log.topicID, LeaderEpoch(leaderEpoch))
    replicas = PartitionReplicas(
      set, node: options.nodeID, epoch: epoch, sequence: state.commitSequence, endOffset: extent.endOffset,
      highWatermark: min(highWatermark, extent.endOffset), now: store.now(),
      lagMaxMilliseconds: options.replicaLagMaxMilliseconds,
      gone: store.nodesGone, after: former
    ) { decided, wanted in
      store.propose(IsrProposal(topicPartition: name, topicID: topicID, epoch: epoch, decided: decided, isr: wanted))
    }
  }

  /// Below it everything may be seen, and deleted.
  var highWatermark: Int64 {
    guard let replicas else { return extent.endOffset }
    return min(extent.endOffset, max(state.logStartOffset, replicas.highWatermark))
  }

  /// Whether commits that followers have not got yet would be folded, where they still can be undone otherwise.
  var awaitsReplicas: Bool {
    guard replicas != nil, highWatermark < extent.endOffset else { return false }
    return uncheckpointedBytes < min(options.walBytesMax, 4 * options.checkpointBytes)
  }

  /// Why an append cannot be replicated; nil if it can, or need not be.
  func replicaRefusal(of request: AppendRequest) -> AppendOutcome? {
    guard let replicas, request.requiredAcks == -1 else { return nil }
    guard let words = replicas.refusal(inSyncMin: Int(configuration.minInSyncReplicas), followers: followers) else {
      return nil
    }
    return .rejected(.notEnoughReplicas, message: words)
  }

  /// - Returns: whether the high watermark rose.
  func hear(_ word: FollowerWord) -> Bool {
    guard let replicas, fenceReason == nil, word.fenceCount == fenceCount, newestFeeds[word.follower] === word.feed
    else { return false }
    let before = replicas.highWatermark
    replicas.acknowledged(
      by: word.follower, sequence: min(word.durable, state.commitSequence), isComplete: word.isComplete, now: store.now())
    return noteRise(from: before)
  }

  private func noteRise(from before: Int64) -> Bool {
    guard let replicas, replicas.highWatermark > before else { return false }
    publish()
    capture?.wake()
    return true
  }

  /// Time has passed.
  func tickReplicas() {
    guard let replicas, fenceReason == nil else { return }
    changeInSync { $0.tick(followers: Set(followers.keys), now: store.now()) }
    if replicas.hasWaiting { answerReplicated() }
  }

  func noteSession(of node: NodeID, isAlive: Bool) {
    changeInSync { $0.session(of: node, isAlive: isAlive, now: store.now()) }
  }

  private func changeInSync(_ change: (PartitionReplicas) -> Void) {
    guard let replicas else { return }
    let before = replicas.highWatermark
    change(replicas)
    guard noteRise(from: before) else { return }
    store.highWatermarksMoved(of: [log])
    answerReplicated()
  }

  /// A feed began: what the follower has said on others counts no more. It may have lost its disk meanwhile.
  func noteJoined(_ follower: NodeID, _ feed: FeedIdentity) {
    followers[follower, default: 0] += 1
    newestFeeds[follower] = feed
    replicas?.forget(follower)
  }

  /// A feed was closed.
  func noteLeft(_ follower: NodeID, _ feed: FeedIdentity) {
    let count = followers[follower, default: 1] - 1
    followers[follower] = count > 0 ? count : nil
    guard newestFeeds[follower] === feed else { return }
    newestFeeds[follower] = nil
    replicas?.forget(follower)
  }

  /// Answers what is replicated, and what has waited too long.
  func answerReplicated() {
    guard let replicas else { return }
    lane.handBack(replicas.takeReplicated(inSyncMin: Int(configuration.minInSyncReplicas)))
    lane.handBack(replicas.takeExpired())
  }

  func failWaiting(_ error: ErrorCode, _ message: String) {
    guard let replicas else { return }
    lane.handBack(replicas.takeAll(error, message))
  }
}
