internal import Model
internal import Synchronization

// Followers that must have what is replicated.

extension PartitionWriter {
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
    if let replicas {
      replicas.change(to: set, now: store.now())
    } else {
      beginReplication(set, highWatermark: log.offsets?.highWatermark.rawValue ?? 0)
    }
    publish()
    store.highWatermarksMoved(of: [log])
    answerReplicated()
  }

  /// - Parameter highWatermark: below which everything is known to be replicated.
  func beginReplication(_ set: ReplicaSet, highWatermark: Int64) {
    if replicas == nil { lane.noteReplicated(1) }
    replicas = PartitionReplicas(
      set, node: options.nodeID, epoch: LeaderEpoch(leaderEpoch), sequence: state.commitSequence, endOffset: extent.endOffset,
      highWatermark: min(highWatermark, extent.endOffset), now: store.now())
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
    guard let replicas, fenceReason == nil, word.fenceCount == fenceCount else { return false }
    let before = replicas.highWatermark
    replicas.acknowledged(by: word.follower, sequence: min(word.durable, state.commitSequence), now: store.now())
    guard replicas.highWatermark > before else { return false }
    publish()
    capture?.wake()
    return true
  }

  /// A feed was closed.
  func noteLeft(_ follower: NodeID) {
    let count = followers[follower, default: 1] - 1
    followers[follower] = count > 0 ? count : nil
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
