public import Model

/// Where groups and committed offsets outlive the node: in a fixed number of shards, each group in the one its id says.
///
/// Of one shard at most one thread calls at a time, the coordinator's own, and only when what it asked for before is over.
public protocol CoordinatorPersistence: AnyObject, Sendable {
  var shardCount: Int { get }

  /// The shard of a group: the same in every life, and on every node.
  func shard(of groupID: String) -> Int

  /// Everything that a shard holds, in any order; each group once. Blocks until nothing of it can be undone.
  ///
  /// - Throws: another call may succeed.
  func load(shard: Int) throws -> [StoredGroup]

  /// Makes the changes durable in one transaction, on every disk that counts. Does not block.
  ///
  /// - Parameter completion: called once, on any thread, perhaps before this returns: nil when they are durable. It must only hop.
  func apply(_ changes: [GroupChanges], to shard: Int, completion: @escaping @Sendable (UnappliedChanges?) -> Void)
}

/// Changes that did not become durable.
public struct UnappliedChanges: Error {
  /// What clients are told.
  public var answer: ErrorCode
  /// False where they may have been made, or may still be: what is in memory counts no more, until it is loaded again.
  public var isOutcomeKnown: Bool
  public var cause: any Error

  public init(answer: ErrorCode, isOutcomeKnown: Bool, cause: any Error) {
    self.answer = answer
    self.isOutcomeKnown = isOutcomeKnown
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
