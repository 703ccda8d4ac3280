public import Model
public import NIOCore

/// Whole record batches in offset order; the first one contains the offset that was asked for.
public struct FetchedRecords: Sendable {
  /// One or more batches each.
  public var chunks: [ByteBuffer]
  public var byteCount: Int
  /// Base offset of the first batch: at or below what was asked for.
  public var firstOffset: Offset
  /// The offset behind the last batch.
  public var nextOffset: Offset
}

/// What the log tail in memory has for a fetch.
public enum TailRead: Sendable {
  case batches(FetchedRecords)
  /// There is nothing at or behind the offset below the high watermark yet.
  case atEnd
  /// Older than the tail, or the partition is not loaded: ask `LogStore.read`.
  case notInMemory
}

/// A read that may have to wait for the disk.
public struct ReadRequest: Sendable {
  public var partition: PartitionLog
  public var offset: Offset
  /// Bytes; a soft limit: the first batch is returned whole even if it is larger (KIP-74).
  public var maxBytes: Int
  /// Called on a read thread.
  public var completion: @Sendable (ReadOutcome) -> Void

  public init(
    partition: PartitionLog, offset: Offset, maxBytes: Int, completion: @escaping @Sendable (ReadOutcome) -> Void
  ) {
    self.partition = partition
    self.offset = offset
    self.maxBytes = maxBytes
    self.completion = completion
  }
}

public enum ReadOutcome: Sendable {
  /// Empty at the high watermark.
  case records(FetchedRecords, LogOffsets)
  case failed(StorageError)
}
