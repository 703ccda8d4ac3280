public import Model

/// Where a partition's log begins and ends.
///
/// - Invariant: `logStartOffset ≤ highWatermark ≤ logEndOffset`. (Storage #2)
public struct LogOffsets: Hashable, Sendable {
  /// First offset a reader may ask for.
  public var logStartOffset: Offset
  /// Below it every in-sync replica has the record, on disk.
  public var highWatermark: Offset
  /// Offset the next record will get.
  public var logEndOffset: Offset
  /// Of the partition's leader.
  public var leaderEpoch: LeaderEpoch
}
