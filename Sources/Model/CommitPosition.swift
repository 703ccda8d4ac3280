/// Where a replicated database stands: which commit, of which segment, under which leader.
///
/// Written in every commit of the database itself, so that it is never ahead of the data or behind it. Each pair of epoch and sequence
/// belongs to one commit for ever: a leader that starts anew begins a new epoch.
public struct CommitPosition: Hashable, Sendable {
  public var leaderEpoch: LeaderEpoch
  /// The first offset of the segment; 0 for databases that are not cut into segments.
  public var segmentBase: Offset
  /// Commits of this segment so far.
  public var commitSequence: Int64

  public init(leaderEpoch: LeaderEpoch, segmentBase: Offset, commitSequence: Int64) {
    self.leaderEpoch = leaderEpoch
    self.segmentBase = segmentBase
    self.commitSequence = commitSequence
  }

  /// In front of the first commit.
  public static let zero = CommitPosition(leaderEpoch: .zero, segmentBase: .zero, commitSequence: 0)

  /// Whether ordinary commits lead from here to `later`: in the same segment, under the same leader or later ones.
  public func canBecome(_ later: CommitPosition) -> Bool {
    segmentBase == later.segmentBase && leaderEpoch <= later.leaderEpoch && commitSequence < later.commitSequence
  }
}

extension CommitPosition: CustomStringConvertible {
  /// `EPOCH/BASE/SEQUENCE`.
  public var description: String { "\(leaderEpoch)/\(segmentBase)/\(commitSequence)" }

  public init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 3, let epoch = Int32(parts[0]), let base = Int64(parts[1]), let sequence = Int64(parts[2]) else {
      return nil
    }
    self.init(leaderEpoch: LeaderEpoch(epoch), segmentBase: Offset(base), commitSequence: sequence)
  }
}
