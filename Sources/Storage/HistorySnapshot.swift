internal import Logging
public import Model

/// One segment of a partition's history.
public struct SegmentReference: Sendable {
  public let path: String
  public let baseOffset: Offset
  /// The offset behind its last record, at most the snapshot's high watermark.
  public let endOffset: Offset
  public let isSealed: Bool
  /// True bounds of its records' timestamps when the snapshot was taken, milliseconds; `minTimestamp > maxTimestamp` when empty.
  public let minTimestamp: TimestampMilliseconds
  public let maxTimestamp: TimestampMilliseconds
  /// Bytes of its batches when the snapshot was taken.
  public let batchBytes: Int64
  /// Shared by the node; made for the snapshot where files are read beside a node.
  let file: SegmentFile

  /// How often it has been written anew.
  public var generation: Int64 { file.name.generation }
  /// Whether a reader can begin at once: the hash of a sealed file is verified before its first use.
  public var isReadyToRead: Bool { file.isReadyToRead }
  /// Bytes of its file and its -wal now.
  public var fileBytes: Int64 { Int64((FileSystem.size(of: path) ?? 0) + (FileSystem.size(of: path + "-wal") ?? 0)) }
}

/// One partition of a snapshot.
public struct PartitionHistory: Sendable {
  public let topicPartition: TopicPartition
  public let topicID: TopicID
  public let logStartOffset: Offset
  /// The cut: no record at or behind it is part of the snapshot.
  public let highWatermark: Offset
  /// Oldest first, without gaps; those wholly below the log start are left out.
  public let segments: [SegmentReference]
  /// Why nothing of the partition can be read; whoever needs it fails with this, and the others are not concerned.
  public let failure: StorageError?

  init(
    topicPartition: TopicPartition, topicID: TopicID, logStartOffset: Offset, highWatermark: Offset,
    segments: [SegmentReference]
  ) {
    self.topicPartition = topicPartition
    self.topicID = topicID
    self.logStartOffset = logStartOffset
    self.highWatermark = highWatermark
    self.segments = segments
    failure = nil
  }

  /// A partition that could not be opened. It claims more offsets than any log has, so that no question passes it by.
  init(unreadable topicPartition: TopicPartition, topicID: TopicID, because failure: StorageError) {
    self.topicPartition = topicPartition
    self.topicID = topicID
    logStartOffset = .zero
    highWatermark = Offset(1 << 48)
    segments = []
    self.failure = failure
  }

  public var topic: String { topicPartition.topic }
  public var partition: Int32 { topicPartition.partition }
}

/// The history of some topics as one cut, and the promise that its segments stay while it lives.
// Safe because: nothing of it changes.
public final class HistorySnapshot: @unchecked Sendable {
  /// Where the cut comes from.
  public enum Bound: Sendable {
    /// The high watermarks at the moment it was taken.
    case highWatermark
    /// The high watermarks the node wrote down last: it may be a little further, or it ended without an orderly close.
    case checkpoint
  }

  /// In order of topic and partition.
  public let partitions: [PartitionHistory]
  public let bound: Bound
  private let pinned: [SegmentFile]
  /// Those whose partitions are shown here.
  private let kept: [HistorySnapshot]
  /// Who is told of damaged files; nil for nobody.
  let logger: Logger?
  /// How fast it may be read; nil beside a node, whose appends are not known.
  public let pace: ScanPace?
  /// Where connections to segments come from; nil beside a node, where each reader opens its own.
  let readers: ReaderCache?

  /// - Parameter pinned: pinned by the caller; unpinned when the snapshot goes.
  init(
    _ partitions: [PartitionHistory], bound: Bound, pinned: [SegmentFile], logger: Logger?, pace: ScanPace? = nil,
    readers: ReaderCache? = nil
  ) {
    self.logger = logger
    self.pace = pace
    self.readers = readers
    self.partitions = partitions.sorted { $0.topicPartition < $1.topicPartition }
    self.bound = bound
    self.pinned = pinned
    kept = []
  }

  private init(_ partitions: [PartitionHistory], like snapshot: HistorySnapshot, keeping kept: [HistorySnapshot]) {
    self.partitions = partitions.sorted { $0.topicPartition < $1.topicPartition }
    bound = snapshot.bound
    pinned = []
    self.kept = kept
    logger = snapshot.logger
    pace = snapshot.pace
    readers = snapshot.readers
  }

  /// The same, but for `topics`, which are shown as `other` of the same store has them.
  public func showing(_ topics: Set<String>, of other: HistorySnapshot) -> HistorySnapshot {
    let partitions = partitions.filter { !topics.contains($0.topic) } + other.partitions.filter { topics.contains($0.topic) }
    return HistorySnapshot(partitions, like: self, keeping: [self, other])
  }

  deinit { for file in pinned { file.unpin() } }
}
