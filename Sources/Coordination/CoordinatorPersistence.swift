public import Model

/// Where groups and committed offsets outlive the node. Called on the coordinator's thread only, and at its start.
public protocol CoordinatorPersistence: AnyObject, Sendable {
  /// Everything that is kept, in any order; each group once.
  func load() throws -> [StoredGroup]

  /// Makes the changes durable: on disk on return, in one transaction for each shard that they touch.
  ///
  /// - Throws: what kept it from doing so. Changes of some shards may have been made; of one shard all or none.
  func apply(_ changes: [GroupChanges]) throws
}

/// A group as it was found on disk.
public struct StoredGroup: Sendable {
  public var groupID: String
  /// Nil if only offsets are kept: a simple consumer's group.
  public var snapshot: GroupSnapshot?
  public var offsets: [TopicPartition: CommittedOffset]

  public init(groupID: String, snapshot: GroupSnapshot?, offsets: [TopicPartition: CommittedOffset]) {
    self.groupID = groupID
    self.snapshot = snapshot
    self.offsets = offsets
  }
}

/// What is to change of one group, in this order.
public struct GroupChanges: Hashable, Sendable {
  public var groupID: String
  public var changes: [GroupChange]

  public init(groupID: String, changes: [GroupChange]) {
    self.groupID = groupID
    self.changes = changes
  }
}
