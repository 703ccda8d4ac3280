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
  /// Nobody can take a node out of `inSync`: while one of them is not there, acks=all is refused instead of waiting in vain.
  public var isFixed: Bool

  public init(replicas: [NodeID], inSync: [NodeID], isFixed: Bool) {
    self.replicas = replicas
    self.inSync = inSync
    self.isFixed = isFixed
  }
}

/// What a follower's feed tells the partition's lane.
struct FollowerWord: Sendable {
  let log: PartitionLog
  let follower: NodeID
  /// As the partition's when the commit was sent: behind a fence its commits may be others.
  let fenceCount: Int
  /// Everything up to this commit is durable there.
  let durable: Int64
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
  private(set) var set: ReplicaSet
  private var leader: LeaderReplica
  /// Where the log ended after commits that are not replicated yet.
  private var ends = Deque<(sequence: Int64, endOffset: Int64)>()
  private(set) var highWatermark: Int64
  private var waiting = Deque<Waiting>()

  /// - Parameters:
  ///   - sequence: of the last commit, which is durable here; the log ends at `endOffset`.
  ///   - highWatermark: as it was known before.
  init(
    _ set: ReplicaSet, node: NodeID, epoch: LeaderEpoch, sequence: Int64, endOffset: Int64, highWatermark: Int64, now: Int64
  ) {
    self.node = node
    self.set = set
    self.highWatermark = highWatermark
    let isReplicated = highWatermark >= endOffset
    leader = LeaderReplica(
      nodeID: node,
      partition: Replication.PartitionState(leader: node, leaderEpoch: epoch, replicas: set.replicas, isr: set.inSync),
      settings: .init(lagMaxMilliseconds: .max, inSyncMin: 1), durableEnd: CommitSequence(sequence),
      highWatermark: isReplicated ? CommitSequence(sequence) : .zero, now: now)
    if !isReplicated {
      ends.append((sequence, endOffset))
      // Where there is nobody else.
      raise(leader.synced(to: CommitSequence(sequence)))
    }
  }

  /// The cluster has decided anew, in the same epoch.
  func change(to set: ReplicaSet, now: Int64) {
    self.set = set
    raise(leader.decided(isr: set.inSync, now: now))
  }

  func noteDurable(sequence: Int64, endOffset: Int64) {
    ends.append((sequence, endOffset))
    raise(leader.synced(to: CommitSequence(sequence)))
  }

  func acknowledged(by follower: NodeID, sequence: Int64, now: Int64) {
    raise(leader.acknowledged(by: follower, epoch: leader.epoch, end: CommitSequence(sequence), now: now))
  }

  private func raise(_ actions: [LeaderReplica.Action]) {
    for case .highWatermark(let reached) in actions {
      while let first = ends.first, first.sequence <= reached.rawValue {
        highWatermark = max(highWatermark, first.endOffset)
        ends.removeFirst()
      }
    }
  }

  /// Why nothing may be appended with acks=all; nil if it may.
  func refusal(inSyncMin: Int, followers: [NodeID: Int]) -> String? {
    let there = set.inSync.filter { $0 == node || followers[$0, default: 0] > 0 }
    if set.isFixed, there.count < set.inSync.count {
      return "\(there.count) of \(set.inSync.count) replicas are there"
    }
    return there.count < inSyncMin ? "\(there.count) replicas are in sync, min.insync.replicas asks for \(inSyncMin)" : nil
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
