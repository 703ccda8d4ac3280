public import Model

/// What a follower says to its leader, and hears from it.
public enum ReplicaMessage: Hashable, Sendable {
  /// To the leader: where does this epoch, the last of my log, end in yours? Nil for an empty log.
  case compare(epoch: LeaderEpoch?)
  /// To the follower: the latest epoch not later than yours, and its end. Nil epoch: begin at the start.
  case comparison(asked: LeaderEpoch?, epoch: LeaderEpoch?, end: CommitSequence)
  /// To the leader: everything before `end` is durable, and equal to yours; go on from there.
  case durable(end: CommitSequence)
}

/// What a follower of one partition does with its log so that it becomes, and stays, its leader's.
///
/// A new follower first finds where its log parts from the leader's: what is behind that was never replicated, and goes. Then commits come in order.
public struct FollowerReplica: Sendable {
  public enum Action: Hashable, Sendable {
    case send(ReplicaMessage)
    /// Everything from `end` on is to be undone, durably, before the next message.
    case truncate(to: CommitSequence)
  }

  private enum Phase: Hashable {
    case comparing(LeaderEpoch?)
    case following
  }

  /// The leader that is followed, by its epoch.
  public let leaderEpoch: LeaderEpoch
  public private(set) var end: CommitSequence
  public private(set) var durableEnd: CommitSequence
  public private(set) var highWatermark: CommitSequence
  public private(set) var history: EpochHistory
  private var phase: Phase

  public var isFollowing: Bool { phase == .following }

  /// Begins to follow; `actions` are to be done first.
  ///
  /// - Parameter end: the end of this replica, all of it durable.
  public init(
    leaderEpoch: LeaderEpoch, history: EpochHistory, end: CommitSequence, highWatermark: CommitSequence,
    actions: inout [Action]
  ) {
    self.leaderEpoch = leaderEpoch
    self.history = history
    self.end = end
    durableEnd = end
    self.highWatermark = min(highWatermark, end)
    phase = .comparing(history.last)
    actions.append(.send(.compare(epoch: history.last)))
  }

  /// The question again, or the durable end: for when nothing was heard, and after a new connection.
  public func repeated() -> ReplicaMessage {
    switch phase {
    case .comparing(let epoch): .compare(epoch: epoch)
    case .following: .durable(end: durableEnd)
    }
  }

  /// The leader's answer to `compare`. One that was not asked for, or answers an earlier question, changes nothing.
  public mutating func compared(asked: LeaderEpoch?, epoch: LeaderEpoch?, end theirs: CommitSequence) -> [Action] {
    guard phase == .comparing(asked) else { return [] }
    guard let asked, let epoch else { return follow(from: .zero) }
    if epoch == asked { return follow(from: min(theirs, end)) }
    // The leader has nothing of the epoch asked for: none of it can stay. What is left ends with an epoch that is not later than the leader's.
    guard let own = history.end(of: epoch, logEnd: end), own.epoch == epoch || own.end > .zero else {
      return follow(from: .zero)
    }
    if own.epoch == epoch { return follow(from: min(theirs, own.end)) }
    let actions = truncated(to: own.end)
    phase = .comparing(history.last)
    return actions + [.send(.compare(epoch: history.last))]
  }

  private mutating func follow(from start: CommitSequence) -> [Action] {
    let actions = truncated(to: start)
    phase = .following
    return actions + [.send(.durable(end: durableEnd))]
  }

  private mutating func truncated(to start: CommitSequence) -> [Action] {
    guard start < end else { return [] }
    end = start
    durableEnd = min(durableEnd, start)
    highWatermark = min(highWatermark, start)
    history.truncate(to: start)
    return [.truncate(to: start)]
  }

  /// Whether commits from `start` on are the next ones; others are let pass.
  public func accepts(from start: CommitSequence, leaderEpoch: LeaderEpoch) -> Bool {
    isFollowing && leaderEpoch == self.leaderEpoch && start == end
  }

  /// A commit of `epoch` was appended, not durably yet.
  ///
  /// - Precondition: it was the next one.
  public mutating func appended(_ epoch: LeaderEpoch) {
    precondition(isFollowing, "commits come only after the comparison")
    history.append(epoch, at: end)
    end = CommitSequence(end.rawValue + 1)
  }

  /// What was appended up to `end` is durable.
  public mutating func synced(to end: CommitSequence) -> [Action] {
    guard isFollowing, end > durableEnd, end <= self.end else { return [] }
    durableEnd = end
    return [.send(.durable(end: end))]
  }

  /// What the leader says of its high watermark: as far as this replica has it, it may be seen here.
  public mutating func heard(highWatermark: CommitSequence) {
    guard isFollowing else { return }
    self.highWatermark = max(self.highWatermark, min(highWatermark, end))
  }
}

extension EpochHistory {
  /// A leader's answer to `compare`.
  public func comparison(to asked: LeaderEpoch?, logEnd: CommitSequence) -> ReplicaMessage {
    guard let asked, let found = end(of: asked, logEnd: logEnd), found.end > .zero else {
      return .comparison(asked: asked, epoch: nil, end: .zero)
    }
    return .comparison(asked: asked, epoch: found.epoch, end: found.end)
  }
}
