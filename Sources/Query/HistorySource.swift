/// What Query and Export read: the history of some topics as one cut, partition by partition.
///
/// Between this room and Storage there is only this: a sequence of batches for each partition that can be entered by offset and by
/// time and walked from either end. The cut is taken when the source is made and never moves.
public protocol HistorySource: Sendable {
  /// What the source has, ordered by topic (by bytes of the name) and partition.
  var partitions: [PartitionExtent] { get }
  /// Opens the batches of `partitions[index]`; the sequence stands nowhere until `seek`. Used by one thread.
  func openBatches(of index: Int) throws(HistoryError) -> any BatchSequence
  /// What there is of indexes of `partitions[index]`; nil for nothing. Used by one thread.
  func openIndexes(of index: Int) -> (any PartitionIndexes)?
  /// About how much of `partitions[index]` a scan within the selection may read; nil where that cannot be told cheaply.
  ///
  /// - Parameter samplesLeft: segments that may be looked into; counted down.
  func estimate(of index: Int, _ selection: BatchSelection, samplesLeft: inout Int) -> ReadEstimate?
}

extension HistorySource {
  public func openIndexes(of index: Int) -> (any PartitionIndexes)? { nil }
  public func estimate(of index: Int, _ selection: BatchSelection, samplesLeft: inout Int) -> ReadEstimate? { nil }
}

/// A partition and the offsets of it that are visible: `logStartOffset ..< highWatermark`.
public struct PartitionExtent: Sendable, Hashable {
  public var topic: String
  public var partition: Int32
  public var logStartOffset: Int64
  public var highWatermark: Int64
  /// Bounds of the timestamps that may lie in it, milliseconds; everything where nothing is known.
  public var minTimestamp: Int64
  public var maxTimestamp: Int64
  /// Files its batches lie in.
  public var segmentCount: Int
  /// Tells the topic from a later one of its name; empty where nobody asks.
  public var topicID: String

  public init(
    topic: String, partition: Int32, logStartOffset: Int64, highWatermark: Int64, minTimestamp: Int64 = .min,
    maxTimestamp: Int64 = .max, segmentCount: Int = 1, topicID: String = ""
  ) {
    self.topic = topic
    self.partition = partition
    self.logStartOffset = logStartOffset
    self.highWatermark = highWatermark
    self.minTimestamp = minTimestamp
    self.maxTimestamp = maxTimestamp
    self.segmentCount = segmentCount
    self.topicID = topicID
  }

  /// Offsets between start and end; as many records unless some are gone (compaction) or not for readers (control records).
  public var offsetCount: Int64 { max(0, highWatermark &- logStartOffset) }
}

/// Batches of one partition, in offset order or the reverse, or roughly by time, of which only those that may hold something asked for
/// are met.
public protocol BatchSequence: AnyObject {
  /// Begins anew: the next batch is the first (or, descending, the last) that may match.
  func seek(_ selection: BatchSelection) throws(HistoryError)
  /// Goes on to the next batch whose row overlaps the selection; nil at the end.
  func next() throws(HistoryError) -> BatchRow?
  /// Calls `body` with the whole batch that `next` or `nextByTime` returned last, its CRC verified.
  func withBytes(_ body: (UnsafeRawBufferPointer) throws(HistoryError) -> Void) throws(HistoryError)
  /// Copies the same bytes, verified likewise, to where `room` says for so many bytes.
  func copyBytes(to room: (Int) -> UnsafeMutableRawBufferPointer) throws(HistoryError)
  /// Calls `body` with at least the header of that batch; what follows it may be missing, and no CRC is verified.
  func withHeader(_ body: (UnsafeRawBufferPointer) throws(HistoryError) -> Void) throws(HistoryError)
  /// Begins anew: `nextByTime` meets the batches that may match, as near to the order of time as it can cheaply.
  func seekByTime(_ selection: BatchSelection) throws(HistoryError)
  /// Goes on to the next batch by time; nil at the end.
  func nextByTime() throws(HistoryError) -> BatchTimes?
}

extension BatchSequence {
  public func copyBytes(to room: (Int) -> UnsafeMutableRawBufferPointer) throws(HistoryError) {
    try withBytes { (bytes) throws(HistoryError) in room(bytes.count).copyMemory(from: bytes) }
  }
  public func withHeader(_ body: (UnsafeRawBufferPointer) throws(HistoryError) -> Void) throws(HistoryError) {
    try withBytes(body)
  }
}

/// A batch as it is met by time.
public struct BatchTimes: Sendable, Hashable {
  public var baseOffset: Int64
  /// True bounds of its records' timestamps, milliseconds.
  public var minTimestamp: Int64
  public var maxTimestamp: Int64
  /// Descending: no batch that follows has a timestamp above it; ascending: none below it.
  public var bound: Int64

  public init(baseOffset: Int64, minTimestamp: Int64, maxTimestamp: Int64, bound: Int64) {
    self.baseOffset = baseOffset
    self.minTimestamp = minTimestamp
    self.maxTimestamp = maxTimestamp
    self.bound = bound
  }
}

/// Which batches are asked for. A batch matches if its offsets and its timestamps both overlap the ranges.
public struct BatchSelection: Sendable, Hashable {
  public var offsets: ClosedRange<Int64>
  /// Milliseconds.
  public var timestamps: ClosedRange<Int64>
  public var isDescending: Bool

  public init(offsets: ClosedRange<Int64>, timestamps: ClosedRange<Int64>, isDescending: Bool) {
    self.offsets = offsets
    self.timestamps = timestamps
    self.isDescending = isDescending
  }
}

/// What is known of a batch without its bytes.
public struct BatchRow: Sendable, Hashable {
  public var baseOffset: Int64
  public var lastOffset: Int64
  /// True bounds of the records' timestamps, milliseconds.
  public var minTimestamp: Int64
  public var maxTimestamp: Int64
  public var recordCount: Int32

  public init(baseOffset: Int64, lastOffset: Int64, minTimestamp: Int64, maxTimestamp: Int64, recordCount: Int32) {
    self.baseOffset = baseOffset
    self.lastOffset = lastOffset
    self.minTimestamp = minTimestamp
    self.maxTimestamp = maxTimestamp
    self.recordCount = recordCount
  }

  /// Whether something of `selection` may lie in the batch.
  public func overlaps(_ selection: BatchSelection) -> Bool {
    baseOffset <= selection.offsets.upperBound && lastOffset >= selection.offsets.lowerBound
      && minTimestamp <= selection.timestamps.upperBound && maxTimestamp >= selection.timestamps.lowerBound
  }
}

/// Why history could not be read. What was read before stands; nothing was changed.
public struct HistoryError: Error, Sendable, Hashable {
  public enum Reason: Sendable { case damaged, unavailable, cancelled, tooSlow, tooLarge }
  public var reason: Reason
  public var message: String

  public init(_ reason: Reason, _ message: String) {
    self.reason = reason
    self.message = message
  }
}
