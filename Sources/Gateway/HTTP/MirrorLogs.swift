public import Model
public import NIOCore

/// Where the log of a mirror begins and ends.
public struct MirrorExtent: Sendable, Hashable {
  public var partition: Int32
  public var logStartOffset: Int64
  public var logEndOffset: Int64

  public init(partition: Int32, logStartOffset: Int64, logEndOffset: Int64) {
    self.partition = partition
    self.logStartOffset = logStartOffset
    self.logEndOffset = logEndOffset
  }
}

/// Why a mirror's log does not take something.
public struct MirrorRefusal: Error, Sendable {
  public enum Kind: Sendable {
    /// There is no such partition, or its topic is another by now.
    case unknown
    /// The log does not end where the batches go on.
    case misplaced
    /// The request itself is wrong.
    case invalid
    /// It may work later.
    case failed
  }
  public var kind: Kind
  public var message: String

  public init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }
}

/// The logs of mirrors, for whoever copies them. Every change is durable when its function returns.
public protocol MirrorLogs: Sendable {
  /// The topic's id and its partitions, settled: behind everything that was appended before.
  func describe(_ topic: String) async throws(MirrorRefusal) -> (topicID: TopicID, partitions: [MirrorExtent])

  /// Has a log without records begin at `offset`.
  func begin(_ partition: TopicPartition, topicID: String, at offset: Int64) async throws(MirrorRefusal) -> MirrorExtent

  /// Appends a stretch of batches at their own offsets; those that are there already are passed over.
  ///
  /// - Parameter logStartOffset: where the log starts from then on, if that is further.
  func append(
    _ batches: ByteBuffer, to partition: TopicPartition, topicID: String, logStartOffset: Int64?
  ) async throws(MirrorRefusal) -> MirrorExtent
}
