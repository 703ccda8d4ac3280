public import Model
public import Pages

/// What a follower has of a partition's active segment.
public struct ReplicaStanding: Hashable, Sendable {
  public var position: CommitPosition
  /// Over all of its pages.
  public var sum: DatabaseSum
  public var pageCount: Int

  public init(position: CommitPosition, sum: DatabaseSum, pageCount: Int) {
    self.position = position
    self.sum = sum
    self.pageCount = pageCount
  }
}
