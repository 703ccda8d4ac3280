public import Indexes
internal import Model
public import Storage
internal import Synchronization

/// A snapshot of Storage as the source of queries and exports, of a running node and of a data directory alike.
public struct SnapshotHistory: HistorySource {
  public let partitions: [PartitionExtent]
  let snapshot: HistorySnapshot
  private let indexes: IndexFiles
  private let listings: Listings

  /// What of index files there is, looked up once for each partition: joins open theirs again and again.
  private final class Listings: Sendable {
    let known = Mutex<[Int: IndexListing]>([:])
  }

  /// - Parameter indexes: where index files are kept open.
  public init(_ snapshot: HistorySnapshot, indexes: IndexFiles = IndexFiles(confirmsOnce: false)) {
    self.snapshot = snapshot
    self.indexes = indexes
    listings = Listings()
    partitions = snapshot.partitions.map {
      PartitionExtent(
        topic: $0.topic, partition: $0.partition, logStartOffset: $0.logStartOffset.rawValue,
        highWatermark: $0.highWatermark.rawValue,
        minTimestamp: $0.failure == nil ? $0.segments.map(\.minTimestamp).min() ?? .max : .min,
        maxTimestamp: $0.failure == nil ? $0.segments.map(\.maxTimestamp).max() ?? .min : .max,
        segmentCount: $0.segments.count, topicID: "\($0.topicID)")
    }
  }

  public func openBatches(of index: Int) throws(HistoryError) -> any BatchSequence {
    let partition = snapshot.partitions[index]
    if let failure = partition.failure {
      throw HistoryError(.damaged, "partition \(partition.topicPartition) cannot be read: \(failure)")
    }
    return SnapshotBatches(partition, of: snapshot)
  }

  public func openIndexes(of index: Int) -> (any PartitionIndexes)? {
    let partition = snapshot.partitions[index]
    if partition.failure != nil { return nil }
    let listing = listings.known.withLock { known in
      let listing = known[index] ?? indexes.listing(of: partition)
      known[index] = listing
      return listing
    }
    return SnapshotIndexes(partition, indexes, listing)
  }

  public func estimate(of index: Int, _ selection: BatchSelection, samplesLeft: inout Int) -> ReadEstimate? {
    let partition = snapshot.partitions[index]
    if partition.failure != nil { return nil }
    var estimate = ReadEstimate()
    for segment in partition.segments where segment.overlaps(selection) {
      let low = max(selection.offsets.lowerBound, segment.baseOffset.rawValue)
      let high = min(selection.offsets.upperBound, segment.endOffset.rawValue - 1)
      let looked = samplesLeft > 0 && segment.isReadyToRead ? try? look(into: segment, selection) : nil
      if looked != nil { samplesLeft -= 1 }
      estimate.segments += looked?.batches == 0 ? 0 : 1
      estimate.sampledBatches += looked?.batches ?? 0
      estimate.sampledOffsets += looked?.offsets ?? 0
      if looked == nil { estimate.otherOffsets += max(0, high - low + 1) }
    }
    return estimate
  }

  private func look(
    into segment: SegmentReference, _ selection: BatchSelection
  ) throws(StorageError) -> (batches: Int64, offsets: Int64) {
    try SegmentReader(segment, of: snapshot).estimate(offsets: selection.offsets, timestamps: selection.timestamps)
  }
}

/// The batches of one partition, segment after segment; one segment is open at a time, and stays open for the next look-up.
final class SnapshotBatches: BatchSequence {
  private let snapshot: HistorySnapshot
  private let history: PartitionHistory
  private var selection: BatchSelection?
  /// Segments still to be read, in the order of the selection.
  private var waiting: ArraySlice<SegmentReference> = []
  private var reader: SegmentReader?
  /// `reader` stands somewhere in the selection.
  private var isReading = false

  init(_ history: PartitionHistory, of snapshot: HistorySnapshot) {
    self.history = history
    self.snapshot = snapshot
  }

  func seek(_ selection: BatchSelection) throws(HistoryError) {
    self.selection = selection
    isReading = false
    let matching = matching(selection)
    waiting = (selection.isDescending ? matching.reversed() : matching)[...]
  }

  private func matching(_ selection: BatchSelection) -> [SegmentReference] {
    history.segments.filter { $0.overlaps(selection) }
  }

  func seekByTime(_ selection: BatchSelection) throws(HistoryError) {
    self.selection = selection
    isReading = false
    let matching = matching(selection)
    waiting =
      (selection.isDescending
      ? matching.sorted { ($0.maxTimestamp, $0.baseOffset) > ($1.maxTimestamp, $1.baseOffset) }
      : matching.sorted { ($0.minTimestamp, $0.baseOffset) < ($1.minTimestamp, $1.baseOffset) })[...]
  }

  func nextByTime() throws(HistoryError) -> BatchTimes? {
    guard let selection else { return nil }
    snapshot.pace?.breathe()
    do throws(StorageError) {
      while true {
        if isReading, let reader, let row = try reader.nextByTime() {
          // What is still unread: the rest of this segment, and those that wait, whose bounds are theirs.
          let bound =
            selection.isDescending
            ? max(row.bound, waiting.first?.maxTimestamp ?? .min) : min(row.bound, waiting.first?.minTimestamp ?? .max)
          return BatchTimes(
            baseOffset: row.baseOffset, minTimestamp: row.minTimestamp, maxTimestamp: row.maxTimestamp, bound: bound)
        }
        guard let opened = try openNext() else { return nil }
        try opened.seekByTime(
          offsets: selection.offsets, timestamps: selection.timestamps, isDescending: selection.isDescending)
        isReading = true
      }
    } catch { throw explain(error) }
  }

  /// The reader of the next segment that waits, standing nowhere.
  private func openNext() throws(StorageError) -> SegmentReader? {
    isReading = false
    guard let segment = waiting.popFirst() else { return nil }
    if let reader, reader.segment.baseOffset == segment.baseOffset { return reader }
    reader = nil
    let opened = try SegmentReader(segment, of: snapshot)
    reader = opened
    return opened
  }

  func next() throws(HistoryError) -> BatchRow? {
    guard let selection else { return nil }
    snapshot.pace?.breathe()
    do throws(StorageError) {
      while true {
        if isReading, let row = try reader?.next() {
          return BatchRow(
            baseOffset: row.baseOffset, lastOffset: row.lastOffset, minTimestamp: row.minTimestamp,
            maxTimestamp: row.maxTimestamp,
            recordCount: row.recordCount)
        }
        guard let opened = try openNext() else { return nil }
        try opened.seek(offsets: selection.offsets, timestamps: selection.timestamps, isDescending: selection.isDescending)
        isReading = true
      }
    } catch { throw explain(error) }
  }

  func withBytes(_ body: (UnsafeRawBufferPointer) throws(HistoryError) -> Void) throws(HistoryError) {
    guard isReading, let reader else { return }
    let bytes: UnsafeRawBufferPointer
    do throws(StorageError) { bytes = try reader.bytes() } catch { throw explain(error) }
    try body(bytes)
  }

  func copyBytes(to room: (Int) -> UnsafeMutableRawBufferPointer) throws(HistoryError) {
    guard isReading, let reader else { return }
    do throws(StorageError) { try reader.copyBytes(to: room) } catch { throw explain(error) }
  }

  func withHeader(_ body: (UnsafeRawBufferPointer) throws(HistoryError) -> Void) throws(HistoryError) {
    guard isReading, let reader else { return }
    let bytes: UnsafeRawBufferPointer
    do throws(StorageError) { bytes = try reader.headerBytes() } catch { throw explain(error) }
    try body(bytes)
  }

  private func explain(_ error: StorageError) -> HistoryError {
    if case .damaged = error { return HistoryError(.damaged, "\(history.topicPartition): \(error)") }
    return HistoryError(.unavailable, "\(history.topicPartition): \(error)")
  }
}

extension SegmentReference {
  /// Whether something of `selection` may lie in the segment.
  fileprivate func overlaps(_ selection: BatchSelection) -> Bool {
    baseOffset.rawValue <= selection.offsets.upperBound && endOffset.rawValue > selection.offsets.lowerBound
      && minTimestamp <= selection.timestamps.upperBound && maxTimestamp >= selection.timestamps.lowerBound
  }
}
