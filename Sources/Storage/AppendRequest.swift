internal import Coordination
public import Model
public import NIOCore
public import Records

/// What became of an append.
public enum AppendOutcome: Sendable {
  case pending
  /// Durable (as the topic's `quire.durability` says), or a duplicate of a batch that is.
  ///
  /// `logAppendTime` is -1 under CreateTime, except for duplicates, which answer the original's timestamp as Kafka does.
  case appended(baseOffset: Offset, logAppendTime: TimestampMilliseconds, logStartOffset: Offset)
  /// Nothing of it was kept.
  case rejected(ErrorCode, message: String)
}

/// Who is told when appends are done.
public protocol AppendReceiver: AnyObject, Sendable {
  /// Called once for each group commit with the receiver's own requests, on the lane's thread: must only hop.
  func appendsCompleted(_ group: [AppendRequest])
}

/// Where batches go in their partition's log.
public enum AppendPlacement: Sendable, Hashable {
  /// At its end, with offsets of their own.
  case atEnd
  /// At the offsets they have, which go on where the log of a mirror ends; those it has already are passed over.
  ///
  /// - Parameter logStartOffset: where the log starts from then on, if that is further.
  case keepingOffsets(logStartOffset: Offset?)
}

/// Validated record batches for one partition, on their way through its lane.
///
/// `records` is read until the request is handed back, and the base offsets and leader epochs in it are set in place.
// Safe because: the maker writes it before `LogStore.append`, the partition's lane until it hands it back, the receiver after.
public final class AppendRequest: @unchecked Sendable {
  public let partition: PartitionLog
  public private(set) var records: ByteBuffer
  public let batches: [BatchSummary]
  /// Of a shard of the coordinator, instead of batches; empty to wait until everything so far is replicated.
  let changes: [GroupChanges]?
  public let placement: AppendPlacement
  public let requiredAcks: Int16
  /// For how long acks=all waits for followers, milliseconds.
  public let timeoutMilliseconds: Int64
  public let receiver: any AppendReceiver
  /// The maker's own, for instance where its part of a response goes.
  public let context: (any AnyObject & Sendable)?
  public internal(set) var outcome = AppendOutcome.pending
  /// It is committed here and waits, or has waited, for replicas: it may stay in the log whatever its outcome says.
  var isInLog = false

  public init(
    partition: PartitionLog, records: ByteBuffer, batches: [BatchSummary], placement: AppendPlacement = .atEnd,
    requiredAcks: Int16, timeoutMilliseconds: Int64 = 30_000,
    receiver: any AppendReceiver, context: (any AnyObject & Sendable)?
  ) {
    self.partition = partition
    self.records = records
    self.batches = batches
    changes = nil
    self.placement = placement
    self.requiredAcks = requiredAcks
    self.timeoutMilliseconds = timeoutMilliseconds
    self.receiver = receiver
    self.context = context
    byteCount = records.readableBytes
  }

  /// - Parameter log: a shard of the coordinator.
  init(_ changes: [GroupChanges], to log: PartitionLog, timeoutMilliseconds: Int64, receiver: any AppendReceiver) {
    partition = log
    self.changes = changes
    (records, batches, placement, requiredAcks) = (ByteBuffer(), [], .atEnd, -1)
    self.timeoutMilliseconds = timeoutMilliseconds
    self.receiver = receiver
    (context, byteCount) = (nil, 0)
  }

  public let byteCount: Int

  /// Gives the receive buffer back.
  func releaseRecords() { records = ByteBuffer() }
}
