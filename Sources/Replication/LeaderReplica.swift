public import Model

/// What the leader of one partition decides: which commits are replicated, and who counts as in sync.
///
/// A value that computes. It neither ships nor stores anything: it hears of ends and says what follows.
///
/// - Invariant: every replica that is in the in-sync set, or may be by the time its change is decided, has made durable what is before
///   `highWatermark`.   (Replication #2)
/// - Invariant: `highWatermark` never falls.   (Replication #3)
public struct LeaderReplica: Sendable {
  public struct Settings: Hashable, Sendable {
    /// A follower that has not had the leader's end for so long leaves the in-sync set (`replica.lag.time.max.ms`).
    public var lagMaxMilliseconds: Int64
    /// So many replicas have to be in sync for acks=all (`min.insync.replicas`).
    public var inSyncMin: Int

    public init(lagMaxMilliseconds: Int64, inSyncMin: Int) {
      self.lagMaxMilliseconds = lagMaxMilliseconds
      self.inSyncMin = inSyncMin
    }
  }

  public enum Action: Hashable, Sendable {
    /// Commits before this are replicated: consumers may see them.
    case highWatermark(CommitSequence)
    /// The cluster is to decide on this in-sync set, by compare-and-swap with what this leader knows of the partition; `decided` is the
    /// answer, with whatever the partition is then. Comes again, unchanged, while there is none: the same swap succeeds at most once.
    case propose(isr: [NodeID])
  }

  /// How acks=all stands for a commit.
  public enum Acknowledgement: Hashable, Sendable {
    case pending
    case acknowledged
    /// It is replicated, but to fewer than `min.insync.replicas` asks for (NOT_ENOUGH_REPLICAS_AFTER_APPEND).
    case tooFewInSync
  }

  private struct Follower {
    /// What it has said to be durable under this epoch; nil before it has said anything.
    var durableEnd: CommitSequence?
    /// When it last had everything that the leader had.
    var caughtUp: TimestampMilliseconds
    /// The leader's end when it last said something, and when that was: having that by its next word is being caught up, under load too.
    var leaderEndAtLastWord = CommitSequence.zero
    var lastWord: TimestampMilliseconds
    /// Its session with the cluster has ended.
    var isGone = false
    /// It lacks older segments: whoever elected it would lose them.
    var isIncomplete = false
  }

  /// How long an answer of the cluster is waited for before it is asked again.
  static let proposalPatienceMilliseconds: Int64 = 500

  public let nodeID: NodeID
  public let epoch: LeaderEpoch
  public var settings: Settings
  /// As the cluster has decided.
  public private(set) var isr: Set<NodeID>
  /// Asked of the cluster, which has not answered yet.
  public private(set) var proposed: Set<NodeID>?
  private var proposedAt: TimestampMilliseconds = 0
  public private(set) var end: CommitSequence
  public private(set) var durableEnd: CommitSequence
  public private(set) var highWatermark: CommitSequence
  private let epochStart: CommitSequence
  private var followers: [NodeID: Follower] = [:]

  /// Begins to lead.
  ///
  /// - Parameters:
  ///   - partition: as the cluster has decided; its leader is this node.
  ///   - durableEnd: the end of this replica, all of it durable.
  ///   - proposed: what was asked of the cluster in this epoch already, and may have been decided since.
  ///   - highWatermark: the one that this replica knew.
  public init(
    nodeID: NodeID, partition: PartitionState, settings: Settings, durableEnd: CommitSequence,
    proposed: Set<NodeID>? = nil, highWatermark: CommitSequence, now: TimestampMilliseconds
  ) {
    self.proposed = proposed
    self.nodeID = nodeID
    epoch = partition.leaderEpoch
    self.settings = settings
    isr = Set(partition.isr)
    end = durableEnd
    self.durableEnd = durableEnd
    self.highWatermark = min(highWatermark, durableEnd)
    epochStart = durableEnd
    for replica in partition.replicas where replica != nodeID {
      followers[replica] = Follower(caughtUp: now, lastWord: now)
    }
  }

  // MARK: What is heard

  /// The leader has committed up to `end`, not durably yet.
  public mutating func appended(to end: CommitSequence) { self.end = max(self.end, end) }

  /// What the leader has committed is durable up to `end`.
  public mutating func synced(to end: CommitSequence) -> [Action] {
    self.end = max(self.end, end)
    durableEnd = max(durableEnd, end)
    return raised()
  }

  /// A follower says that it has everything before `end` durably.
  ///
  /// - Parameters:
  ///   - epoch: the one under which it follows; what it says under another is not about this log.
  ///   - isComplete: false where it lacks older segments: it does not count then, and leaves the in-sync set.
  public mutating func acknowledged(
    by node: NodeID, epoch: LeaderEpoch, end: CommitSequence, isComplete: Bool = true, now: TimestampMilliseconds
  ) -> [Action] {
    guard epoch == self.epoch, var follower = followers[node], end <= self.end else { return [] }
    follower.isIncomplete = !isComplete
    guard isComplete else {
      followers[node] = follower
      return proposals(now)
    }
    if end >= self.end {
      follower.caughtUp = now
    } else if end >= follower.leaderEndAtLastWord {
      follower.caughtUp = max(follower.caughtUp, follower.lastWord)
    }
    // Not the larger of both: a replica that has lost its disk has what it says now.
    follower.durableEnd = end
    follower.leaderEndAtLastWord = self.end
    follower.lastWord = now
    followers[node] = follower
    return raised() + proposals(now)
  }

  /// These followers live, and what they said last holds still: those that had everything have it now.
  public mutating func repeated(by nodes: Set<NodeID>, now: TimestampMilliseconds) {
    for node in nodes {
      guard let follower = followers[node], !follower.isIncomplete, follower.durableEnd == end else { continue }
      followers[node]?.caughtUp = now
    }
  }

  /// What a follower has said counts no more: it begins anew, perhaps with less. Until it says something it neither raises the high watermark
  /// nor joins the in-sync set; in which it stays for as long as it may lag.
  public mutating func forget(_ node: NodeID) { followers[node]?.durableEnd = nil }

  /// A node's session with the cluster began or ended.
  public mutating func session(of node: NodeID, isAlive: Bool, now: TimestampMilliseconds) -> [Action] {
    guard followers[node] != nil else { return [] }
    followers[node]?.isGone = !isAlive
    return proposals(now)
  }

  /// Time has passed.
  public mutating func tick(now: TimestampMilliseconds) -> [Action] { proposals(now) }

  /// As `decided(isr:now:)`, where the cluster may have given the partition to other nodes too.
  public mutating func decided(replicas: [NodeID], isr: [NodeID], now: TimestampMilliseconds) -> [Action] {
    for replica in replicas where replica != nodeID && followers[replica] == nil {
      followers[replica] = Follower(caughtUp: now, lastWord: now)
    }
    for replica in followers.keys where !replicas.contains(replica) && !isr.contains(replica) { followers[replica] = nil }
    return decided(isr: isr, now: now)
  }

  /// The cluster has decided on an in-sync set in this epoch, asked to or not.
  public mutating func decided(isr: [NodeID], now: TimestampMilliseconds) -> [Action] {
    self.isr = Set(isr)
    proposed = nil
    return raised() + proposals(now)
  }

  // MARK: What follows

  /// How acks=all stands for commits before `end`.
  public func acknowledgement(of end: CommitSequence) -> Acknowledgement {
    if highWatermark < end { return .pending }
    return isr.count >= settings.inSyncMin ? .acknowledged : .tooFewInSync
  }

  /// Whether acks=all may be appended at all (else NOT_ENOUGH_REPLICAS).
  public var hasEnoughInSync: Bool { isr.count >= settings.inSyncMin }

  /// Whether a follower lacks older segments, as it has said.
  public func isIncomplete(_ node: NodeID) -> Bool { followers[node]?.isIncomplete ?? false }

  /// What the followers have said, for people.
  public var progress: [NodeID: CommitSequence?] { followers.mapValues(\.durableEnd) }

  private mutating func raised() -> [Action] {
    var smallest = durableEnd
    // A replica that is about to be in sync may be elected before this leader hears that it is: it must have what is replicated.
    for node in isr.union(proposed ?? []) where node != nodeID {
      smallest = min(smallest, followers[node]?.durableEnd ?? .zero)
    }
    guard smallest > highWatermark else { return [] }
    highWatermark = smallest
    return [.highWatermark(smallest)]
  }

  private mutating func proposals(_ now: TimestampMilliseconds) -> [Action] {
    if let proposed {
      // The answer may have got lost. Another set must wait: this one may still be decided.
      guard now - proposedAt >= Self.proposalPatienceMilliseconds else { return [] }
      proposedAt = now
      return [.propose(isr: proposed.sorted())]
    }
    var next = isr
    next.insert(nodeID)
    for (node, follower) in followers {
      if isr.contains(node) {
        if follower.isGone || follower.isIncomplete || now - follower.caughtUp > settings.lagMaxMilliseconds {
          next.remove(node)
        }
      } else if !follower.isGone, !follower.isIncomplete, let durable = follower.durableEnd,
        durable >= max(highWatermark, epochStart),
        now - follower.caughtUp <= settings.lagMaxMilliseconds
      {
        next.insert(node)
      }
    }
    guard next != isr else { return [] }
    proposed = next
    proposedAt = now
    return [.propose(isr: next.sorted())]
  }
}
