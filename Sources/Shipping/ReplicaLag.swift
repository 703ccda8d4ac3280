internal import Model
internal import NIOCore

/// How far a follower is behind its leader in one partition, as its leader counts: to what it has acknowledged as durable.
public struct ReplicaLag: Hashable, Sendable {
  public var commits: Int64
  /// Bytes of page sets.
  public var bytes: Int64
  /// Since when there is something that is not acknowledged.
  public var milliseconds: Int64

  public init(commits: Int64 = 0, bytes: Int64 = 0, milliseconds: Int64 = 0) {
    self.commits = commits
    self.bytes = bytes
    self.milliseconds = milliseconds
  }

  public static let none = ReplicaLag()
}

/// What was sent of one partition and not acknowledged yet.
struct UnacknowledgedSets {
  private struct Entry {
    var after: CommitPosition
    var commits: Int64
    var bytes: Int64
    var since: NIODeadline
  }

  /// Beyond these, sets are counted with the one before: a follower that never acknowledges costs no more.
  private static let entriesMax = 256

  private var entries = CircularBuffer<Entry>()
  private var commits: Int64 = 0
  private var bytes: Int64 = 0

  var isEmpty: Bool { entries.isEmpty }

  mutating func append(before: CommitPosition, after: CommitPosition, bytes: Int, since: NIODeadline) {
    // A set that begins or repairs a copy stands for one.
    let commits = before.canBecome(after) ? after.commitSequence - before.commitSequence : 1
    self.commits += commits
    self.bytes += Int64(bytes)
    if entries.count == Self.entriesMax, let last = entries.indices.last {
      entries[last].after = after
      entries[last].commits += commits
      entries[last].bytes += Int64(bytes)
    } else {
      entries.append(Entry(after: after, commits: commits, bytes: Int64(bytes), since: since))
    }
  }

  mutating func acknowledge(_ position: CommitPosition) {
    while let first = entries.first, first.after.isReached(by: position) {
      commits -= first.commits
      bytes -= first.bytes
      entries.removeFirst()
    }
  }

  func lag(at now: NIODeadline, backlog: ReplicaLag, waitingSince: NIODeadline?) -> ReplicaLag {
    let since = entries.first?.since ?? (backlog.commits > 0 ? waitingSince : nil)
    return ReplicaLag(
      commits: commits + backlog.commits, bytes: bytes + backlog.bytes,
      milliseconds: since.map { max(0, (now - $0).nanoseconds / 1_000_000) } ?? 0)
  }
}

extension CommitPosition {
  /// Whether whoever stands at `other` has this commit, where both are of one leader's log.
  func isReached(by other: CommitPosition) -> Bool {
    (segmentBase, commitSequence) <= (other.segmentBase, other.commitSequence)
  }
}
