public import Model
public import NIOCore
public import Pages

/// What a follower has of a partition's active segment.
public struct FollowerStanding: Hashable, Sendable {
  public var position: CommitPosition
  public var sum: DatabaseSum
  public var pageCount: Int

  public init(position: CommitPosition, sum: DatabaseSum, pageCount: Int) {
    self.position = position
    self.sum = sum
    self.pageCount = pageCount
  }
}

/// What a leader has for a follower of one partition.
public enum ReplicaChange: Sendable {
  case pages(PageSet)
  /// The follower's copy differs: send the hashes of its pages, and a set of those that differ follows.
  case wantsPageHashes(segmentBase: Int64)
  case highWatermark(Offset)
}

/// Part of a sealed file.
public struct FileBytes: Sendable {
  public var bytes: ByteBuffer
  /// Bytes of the whole file.
  public var totalBytes: Int64

  public init(bytes: ByteBuffer, totalBytes: Int64) {
    self.bytes = bytes
    self.totalBytes = totalBytes
  }
}

/// One partition as its leader gives it to one follower. Its calls may block; they come from one thread at a time, not always the same. Only
/// `acknowledged` may come meanwhile.
public protocol ReplicaSource: AnyObject, Sendable {
  /// What `next` has yet to give, as far as it is known: for the lag. Its `milliseconds` are not looked at.
  var backlog: ReplicaLag { get }

  /// What comes next; nil if there is nothing now: `notify` is called when that may have changed.
  ///
  /// - Parameter maxBytes: commits are merged into one set up to this; a single one may be larger.
  /// - Throws: when the stream cannot go on; it is closed then.
  func next(maxBytes: Int) throws(PeerRefusal) -> ReplicaChange?
  /// The answer to `wantsPageHashes`: the next set repairs the copy.
  func pageHashes(segmentBase: Int64, _ hashes: [UInt64]) throws(PeerRefusal)
  /// The follower has made everything up to there durable. Must not block; not called any more when `close` is.
  ///
  /// - Parameter isComplete: it has all sealed files too.
  func acknowledged(_ position: CommitPosition, isComplete: Bool)
  /// - Throws: if there is no such file any more, or it cannot be read; the follower may ask again.
  func readFile(base: Int64, generation: Int64, offset: Int64, maxBytes: Int) throws(PeerRefusal) -> FileBytes
  /// The last call.
  func close()
}

extension ReplicaSource {
  public var backlog: ReplicaLag { .none }
}

/// The partitions that this node leads. Calls may block.
public protocol ReplicaSources: Sendable {
  /// A follower has proved who it is; nothing of this node has been sent to it yet.
  ///
  /// - Throws: why it is not served. It tries again.
  func admit(_ follower: PeerIdentity) throws(PeerRefusal)

  /// - Parameter notify: to be called, from any thread, when `next` may have something; it does not block.
  /// - Throws: `.unknownPartition`, `.notLeader`, `.storage`; the follower tries again later.
  func openSource(
    of partition: TopicPartition, topicID: TopicID, follower: NodeID, from standing: FollowerStanding?,
    notify: @escaping @Sendable () -> Void
  ) throws(PeerRefusal) -> any ReplicaSource

  /// A peer that knows the secret has a higher epoch: this node leads no longer. What it does about that is durable when this returns.
  func fence(by peer: PeerIdentity) throws(PeerRefusal)
}
