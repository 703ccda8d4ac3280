public import Model

/// Which leader epoch wrote which commits of one log: what two replicas compare to find where they part (KIP-101, KIP-279).
///
/// - Invariant: epochs and starts both ascend, and no epoch is without commits.   (Replication #1)
public struct EpochHistory: Hashable, Sendable {
  public struct Entry: Hashable, Sendable {
    public var epoch: LeaderEpoch
    public var start: CommitSequence
  }

  public private(set) var entries: [Entry] = []

  public init() {}

  /// The epoch of the last commit; nil for an empty log.
  public var last: LeaderEpoch? { entries.last?.epoch }

  /// A commit of `epoch` was appended at `start`. Costs nothing unless the epoch is new.
  ///
  /// - Precondition: no commit of a later epoch is there.
  public mutating func append(_ epoch: LeaderEpoch, at start: CommitSequence) {
    if let last = entries.last {
      precondition(last.epoch <= epoch, "a log's epochs do not fall: \(last.epoch), then \(epoch)")
      if last.epoch == epoch { return }
    }
    entries.append(Entry(epoch: epoch, start: start))
  }

  /// The log was cut to `end`.
  public mutating func truncate(to end: CommitSequence) {
    while let last = entries.last, last.start >= end { entries.removeLast() }
  }

  /// Where `epoch` ends in a log that ends at `logEnd`.
  ///
  /// - Returns: the latest epoch of this log that is not later than the one asked for, and its end; the start of the log, under the epoch asked
  ///   for, when there is none; nil when this log knows no epoch that late, so that it cannot say.
  public func end(of epoch: LeaderEpoch, logEnd: CommitSequence) -> (epoch: LeaderEpoch, end: CommitSequence)? {
    guard let last = entries.last, epoch <= last.epoch else { return nil }
    if epoch == last.epoch { return (epoch, logEnd) }
    // The last epoch is later: there is a first one that is.
    let next = entries.firstIndex { $0.epoch > epoch } ?? 0
    return next == 0 ? (epoch, entries[0].start) : (entries[next - 1].epoch, entries[next].start)
  }
}
