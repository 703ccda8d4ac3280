internal import DequeModule
public import Model
internal import Records
internal import Replication

/// The nodes that are to have a partition's commits, as its leader is told.
public struct ReplicaSet: Hashable, Sendable {
  /// All that have the partition, this node included.
  public var replicas: [NodeID]
  /// Those that must have a commit before it counts as replicated, this node included.
  public var inSync: [NodeID]
  /// Nobody can take a node out of `inSync`: while one of them is not there, acks=all is refused instead of waiting in vain. Otherwise the leader
  /// proposes who is in sync (`LogStore.setProposalObserver`).
  public var isFixed: Bool

  public init(replicas: [NodeID], inSync: [NodeID], isFixed: Bool) {
    self.replicas = replicas
    self.inSync = inSync
    self.isFixed = isFixed
  }
}

/// What the leader of a partition wants its in-sync set to be.
public struct IsrProposal: Hashable, Sendable {
  public var topicPartition: TopicPartition
  public var topicID: TopicID
  /// Of the leader.
  public var epoch: LeaderEpoch
  /// What it goes on from, as the leader was told: only a partition that is still in `epoch` and has these in sync may be changed, by
  /// compare-and-swap with a version of it that cannot come back.
  public var decided: [NodeID]
  public var isr: [NodeID]
}

/// A partition that this node leads, and whose files here are damaged: another in-sync replica should lead, so that this one gets them from there.
public struct DamagedLeader: Hashable, Sendable {
  public var topicPartition: TopicPartition
  public var topicID: TopicID
  public var epoch: LeaderEpoch
}

/// Tells one feed from another.
final class FeedIdentity: Sendable {}

/// What a follower's feed tells the partition's lane.
struct FollowerWord: Sendable {
  let log: PartitionLog
  let follower: NodeID
  let feed: FeedIdentity
  /// As the partition's when the commit was sent: behind a fence its commits may be others.
  let fenceCount: Int
  /// Everything up to this commit is durable there.
  let durable: Int64
  /// And so are all sealed segments.
  let isComplete: Bool
}

/// How far a partition's commits are replicated, and the appends that wait for it.
///
/// - Precondition: on the partition's lane.
final class PartitionReplicas {
  private struct Waiting {
    let endOffset: Int64
    /// By the monotonic clock, in nanoseconds.
    let deadline: Int64
    let request: AppendRequest
  }

  private let node: NodeID
  private let propose: (_ decided: [NodeID], _ isr: [NodeID]) -> Void
  /// The last commit when this began: what is said of earlier ones was sent in another epoch, or another life.
  private let firstSequence: Int64
  private(set) var set: ReplicaSet
  private var leader: LeaderReplica
  /// Where the log ended after commits that are not replicated yet.
  private var ends = Deque<(sequence: Int64, endOffset: Int64)>()
  private(set) var highWatermark: Int64
  private var waiting = Deque<Waiting>()
  /// What nodes have said that are no replicas yet, as far as was heard here: they may know of it before.
  private var early: [NodeID: (sequence: Int64, isComplete: Bool)] = [:]

  /// - Parameters:
  ///   - sequence: of the last commit, which is durable here; the log ends at `endOffset`.
  ///   - highWatermark: as it was known before.
  ///   - gone: nodes without a session.
  ///   - former: of an earlier epoch, or of this one before the log was rebuilt.
  ///   - propose: called with what is decided, as far as this node knows, and what is wanted.
  init(
    _ set: ReplicaSet, node: NodeID, epoch: LeaderEpoch, sequence: Int64, endOffset: Int64, highWatermark: Int64, now: Int64,
    lagMaxMilliseconds: Int64, gone: Set<NodeID>, after former: PartitionReplicas?,
    propose: @escaping (_ decided: [NodeID], _ isr: [NodeID]) -> Void
  ) {
    self.node = node
    self.set = set
    self.propose = propose
    firstSequence = sequence
    waiting = former?.waiting ?? []
    self.highWatermark = highWatermark
    let isReplicated = highWatermark >= endOffset
    leader = LeaderReplica(
      nodeID: node,
      partition: Replication.PartitionState(leader: node, leaderEpoch: epoch, replicas: set.replicas, isr: set.inSync),
      settings: .init(lagMaxMilliseconds: set.isFixed ? .max : lagMaxMilliseconds, inSyncMin: 1),
      durableEnd: CommitSequence(sequence),
      // Asked of the cluster in this epoch, and perhaps decided since.
      proposed: former.flatMap { $0.epoch == epoch ? $0.leader.proposed : nil },
      highWatermark: isReplicated ? CommitSequence(sequence) : .zero, now: now)
    if !isReplicated {
      ends.append((sequence, endOffset))
      // Where there is nobody else.
      raise(leader.synced(to: CommitSequence(sequence)))
    }
    for node in gone where set.replicas.contains(node) { session(of: node, isAlive: false, now: now) }
  }

  var epoch: LeaderEpoch { leader.epoch }

  /// The cluster has decided anew, in the same epoch. The same once more is no answer to what was proposed.
  func change(to set: ReplicaSet, now: Int64) {
    guard set != self.set else { return }
    self.set = set
    raise(leader.decided(replicas: set.replicas, isr: set.inSync, now: now))
    for (follower, word) in early where set.replicas.contains(follower) {
      early[follower] = nil
      acknowledged(by: follower, sequence: word.sequence, isComplete: word.isComplete, now: now)
    }
  }

  /// What a follower has said counts no more: a new feed has begun, or the last one has ended.
  func forget(_ follower: NodeID) {
    early[follower] = nil
    leader.forget(follower)
  }

  /// Every in-sync replica has what was committed up to here.
  var replicated: Int64 { leader.highWatermark.rawValue }

  func noteDurable(sequence: Int64, endOffset: Int64) {
    ends.append((sequence, endOffset))
    raise(leader.synced(to: CommitSequence(sequence)))
  }

  func acknowledged(by follower: NodeID, sequence: Int64, isComplete: Bool, now: Int64) {
    guard sequence >= firstSequence || !isComplete else { return }
    guard set.replicas.contains(follower) else {
      early[follower] = (sequence, isComplete)
      return
    }
    raise(
      leader.acknowledged(
        by: follower, epoch: leader.epoch, end: CommitSequence(sequence), isComplete: isComplete, now: now))
  }

  func session(of node: NodeID, isAlive: Bool, now: Int64) {
    raise(leader.session(of: node, isAlive: isAlive, now: now))
  }

  /// - Parameter followers: that are connected.
  func tick(followers: Set<NodeID>, now: Int64) {
    leader.repeated(by: followers, now: now)
    raise(leader.tick(now: now))
  }

  private func raise(_ actions: [LeaderReplica.Action]) {
    for action in actions {
      switch action {
      case .highWatermark(let reached):
        while let first = ends.first, first.sequence <= reached.rawValue {
          highWatermark = max(highWatermark, first.endOffset)
          ends.removeFirst()
        }
      case .propose(let isr): if !set.isFixed { propose(set.inSync, isr) }
      }
    }
  }

  /// Why nothing may be appended with acks=all; nil if it may.
  ///
  /// Where the set can shrink what is decided counts, not who is connected: a follower that comes back soon is waited for.
  func refusal(inSyncMin: Int, followers: [NodeID: Int]) -> String? {
    var count = set.inSync.count
    if set.isFixed {
      count = set.inSync.count { $0 == node || followers[$0, default: 0] > 0 && !leader.isIncomplete($0) }
      if count < set.inSync.count { return "\(count) of \(set.inSync.count) replicas are there, with all segments" }
    }
    return count < inSyncMin ? "\(count) replicas are in sync, min.insync.replicas asks for \(inSyncMin)" : nil
  }

  // Appends that wait

  /// Keeps an append until it is replicated, unless it is, was refused, or does not want to wait.
  func keeps(_ request: AppendRequest) -> Bool {
    guard request.requiredAcks == -1, case .appended(let baseOffset, _, _) = request.outcome else { return false }
    // Of a duplicate too: the original may still be on its way to the followers.
    var end = request.batches.reduce(baseOffset.rawValue) { $0 + Int64($1.header.lastOffsetDelta) + 1 }
    if request.changes != nil { end = baseOffset.rawValue + 1 }
    if case .keepingOffsets = request.placement { end = request.batches.last?.header.nextOffset ?? 0 }
    guard end > highWatermark else { return false }
    let deadline = monotonicNanoseconds() + max(0, request.timeoutMilliseconds) * 1_000_000
    request.isInLog = true
    waiting.append(Waiting(endOffset: end, deadline: deadline, request: request))
    return true
  }

  var hasWaiting: Bool { !waiting.isEmpty }

  /// Appends that are replicated now.
  func takeReplicated(inSyncMin: Int) -> [AppendRequest] {
    var taken: [AppendRequest] = []
    while let first = waiting.first, first.endOffset <= highWatermark {
      waiting.removeFirst()
      if set.inSync.count < inSyncMin, first.request.changes?.isEmpty != true {
        first.request.outcome = .rejected(
          .notEnoughReplicasAfterAppend, message: "replicated to fewer than min.insync.replicas asks for")
      }
      taken.append(first.request)
    }
    return taken
  }

  /// Appends that have waited for as long as they may; they are in the log, and may be replicated yet.
  func takeExpired() -> [AppendRequest] {
    let now = monotonicNanoseconds()
    let expired = waiting.filter { $0.deadline <= now }
    guard !expired.isEmpty else { return [] }
    waiting.removeAll { $0.deadline <= now }
    for one in expired {
      one.request.outcome = .rejected(.requestTimedOut, message: "not every in-sync replica had it in time")
    }
    return expired.map(\.request)
  }

  /// All that wait, with this outcome.
  func takeAll(_ error: ErrorCode, _ message: String) -> [AppendRequest] {
    defer { waiting = [] }
    for one in waiting { one.request.outcome = .rejected(error, message: message) }
    return waiting.map(\.request)
  }
}
