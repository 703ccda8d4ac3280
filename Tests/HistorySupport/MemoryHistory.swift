public import Model
public import NIOCore
public import Query
public import Records

/// History in memory, one list of batches for each partition.
public struct MemoryHistory: HistorySource {
  public struct Batch: Sendable {
    public var row: BatchRow
    public var bytes: ByteBuffer
  }
  public var partitions: [PartitionExtent] = []
  public var batches: [[Batch]] = []
  /// Thrown instead of the bytes of this batch.
  public var damagedBaseOffset: Int64?

  public init() {}

  /// - Precondition: called in order of topic and partition.
  public mutating func add(_ extent: PartitionExtent, _ batches: [Batch]) {
    partitions.append(extent)
    self.batches.append(batches)
  }

  public func openBatches(of index: Int) throws(HistoryError) -> any BatchSequence {
    MemoryBatches(batches[index], damagedBaseOffset: damagedBaseOffset)
  }
}

public final class MemoryBatches: BatchSequence {
  private let all: [MemoryHistory.Batch]
  private let damagedBaseOffset: Int64?
  private var remaining: ArraySlice<MemoryHistory.Batch> = []
  private var current: MemoryHistory.Batch?
  private var isDescending = false

  init(_ all: [MemoryHistory.Batch], damagedBaseOffset: Int64?) {
    self.all = all
    self.damagedBaseOffset = damagedBaseOffset
  }

  public func seek(_ selection: BatchSelection) throws(HistoryError) {
    let matching = all.filter { $0.row.overlaps(selection) }
    remaining = (selection.isDescending ? matching.reversed() : matching)[...]
  }
  /// In offset order or the reverse, as segments do.
  public func seekByTime(_ selection: BatchSelection) throws(HistoryError) {
    try seek(selection)
    isDescending = selection.isDescending
  }
  public func nextByTime() throws(HistoryError) -> BatchTimes? {
    guard let row = try next() else { return nil }
    let following = remaining.map(\.row)
    let bound = isDescending ? following.map(\.maxTimestamp).max() ?? .min : following.map(\.minTimestamp).min() ?? .max
    return BatchTimes(
      baseOffset: row.baseOffset, minTimestamp: row.minTimestamp, maxTimestamp: row.maxTimestamp, bound: bound)
  }
  public func next() throws(HistoryError) -> BatchRow? {
    current = remaining.popFirst()
    return current?.row
  }
  public func withBytes(_ body: (UnsafeRawBufferPointer) throws(HistoryError) -> Void) throws(HistoryError) {
    guard let current else { return }
    if current.row.baseOffset == damagedBaseOffset {
      throw HistoryError(.damaged, "bad CRC at offset \(current.row.baseOffset)")
    }
    var failure: HistoryError?
    current.bytes.withUnsafeReadableBytes { bytes in
      do throws(HistoryError) { try body(bytes) } catch { failure = error }
    }
    if let failure { throw failure }
  }
}

/// A record as a test wants it.
public struct TestRecord {
  public var timestamp: Int64
  public var key: [UInt8]?
  public var value: [UInt8]?
  public var headers: [RecordHeader] = []

  public init(_ timestamp: Int64, key: [UInt8]? = nil, value: [UInt8]?, headers: [RecordHeader] = []) {
    self.timestamp = timestamp
    self.key = key
    self.value = value
    self.headers = headers
  }
  public init(_ timestamp: Int64, _ value: String, key: String? = nil) {
    self.init(timestamp, key: key.map { Array($0.utf8) }, value: Array(value.utf8))
  }
}

extension MemoryHistory.Batch {
  public init(
    _ records: [TestRecord], at baseOffset: Int64, compression: Compression = .none,
    timestampType: TimestampType = .createTime, isControl: Bool = false, producerID: Int64 = -1
  ) throws {
    var builder = BatchBuilder(compression: compression, baseOffset: Offset(baseOffset))
    builder.timestampType = timestampType
    builder.isControl = isControl
    builder.isTransactional = isControl
    builder.producerID = producerID
    builder.leaderEpoch = LeaderEpoch(3)
    for record in records {
      builder.append(
        key: record.key.map { ByteBuffer(bytes: $0) }, value: record.value.map { ByteBuffer(bytes: $0) },
        headers: record.headers,
        timestamp: record.timestamp)
    }
    bytes = try builder.build()
    let times = records.map(\.timestamp)
    let maxTime = times.max() ?? -1
    row = BatchRow(
      baseOffset: baseOffset, lastOffset: baseOffset + Int64(records.count) - 1,
      minTimestamp: timestampType == .logAppendTime ? maxTime : times.min() ?? -1, maxTimestamp: maxTime,
      recordCount: Int32(records.count))
  }
}
