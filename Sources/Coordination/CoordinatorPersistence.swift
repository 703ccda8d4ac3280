public import Model

/// Where groups and committed offsets outlive the node. Called on the coordinator's thread only, and at its start.
public protocol CoordinatorPersistence: AnyObject, Sendable {
  /// Everything that is kept, in any order; each group once.
  func load() throws -> [StoredGroup]

  /// Makes the changes durable: on disk on return, in one transaction for each shard that they touch.
  ///
  /// - Throws: the groups whose changes were not made; those of every other group are durable.
  func apply(_ changes: [GroupChanges]) throws(UnappliedChanges)
}

/// Changes that did not become durable.
public struct UnappliedChanges: Error {
  public var groupIDs: Set<String>
  /// What kept them, or the first of them.
  public var cause: any Error

  public init(groupIDs: Set<String>, cause: any Error) {
    self.groupIDs = groupIDs
    self.cause = cause
  }
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
