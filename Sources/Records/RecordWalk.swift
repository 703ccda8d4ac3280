public import Model

/// Goes through the records of one batch, decompressing as it goes; what `forEachRecord` and `BatchCursor` have in common.
struct RecordWalk: ~Copyable {
  let header: BatchHeader
  private let scratch: RecordScratch
  /// Of one record in a compressed batch, whose window grows with it.
  private let recordBytesMax: Int
  private var base: UnsafeRawPointer
  private var position = 0
  private var limit: Int
  private var isCompressed: Bool { header.compression != .none }
  /// Records that `next` has yielded.
  private(set) var count = 0
  private var layout = RecordLayout()

  /// - Precondition: `batch` and `scratch` stay as they are until the walk is over.
  init(
    _ batch: UnsafeRawBufferPointer, scratch: RecordScratch, limit decompressedBytesMax: Int, recordBytesMax: Int = .max
  ) throws(RecordsError) {
    self.recordBytesMax = recordBytesMax
    let header = try BatchHeader(ofWhole: batch)
    let section = UnsafeRawBufferPointer(rebasing: batch[BatchHeader.byteCount..<header.totalBytes])
    // Compaction leaves batches without records, and then without anything to decompress.
    let isStream = header.compression != .none && header.recordCount > 0
    if isStream { try scratch.open(section, codec: header.compression, limit: decompressedBytesMax) }
    self.header = header
    self.scratch = scratch
    base = section.baseAddress!
    limit = isStream ? 0 : section.count
  }

  /// Moves to the next record.
  ///
  /// - Returns: false behind the last one.
  /// - Throws: what is wrong with the batch; the walk then stays where it is, and would fail again.
  mutating func next() throws(RecordsError) -> Bool {
    guard count < Int(header.recordCount) else {
      try checkEnd()
      return false
    }
    while true {
      var parser = RecordParser(base, at: position)
      do throws(RecordFault) {
        layout = try parser.record(limit: limit)
        position = layout.end
        count += 1
        return true
      } catch {
        guard error == .incomplete, isCompressed else { throw fault(error) }
        var length = RecordParser(base, at: position)
        if let bytes = try? length.varint(limit: limit, shortage: .incomplete), bytes > recordBytesMax {
          throw .recordTooLarge(index: count, bytes: Int(bytes), limit: recordBytesMax)
        }
      }
      let more = try scratch.refill(keepingFrom: position)
      base = UnsafeRawPointer(scratch.window.baseAddress!)
      position = 0
      limit = scratch.end
      guard more else { throw fault(.incomplete) }
    }
  }

  private mutating func checkEnd() throws(RecordsError) {
    guard position == limit else { throw .bytesLeftOver }
    guard isCompressed, header.recordCount > 0 else { return }
    let more = try scratch.refill(keepingFrom: position)
    position = 0
    limit = scratch.end
    guard !more else { throw .bytesLeftOver }
  }

  private func fault(_ fault: RecordFault) -> RecordsError {
    fault == .incomplete && position == limit
      ? .recordsMissing(expected: Int(header.recordCount), found: count) : .malformedRecord(index: count, fault)
  }

  // MARK: The record that `next` moved to

  var offset: Int64 { header.baseOffset &+ Int64(layout.offsetDelta) }
  var timestamp: Int64 {
    header.timestampType == .logAppendTime ? header.maxTimestamp : header.baseTimestamp &+ layout.timestampDelta
  }
  /// Borrowed until `next`.
  var record: RecordView {
    RecordView(base: base, layout: layout, index: count - 1, offset: Offset(offset), timestamp: timestamp)
  }
}

/// Calls `body` with each record of a batch, in order, until it answers false.
///
/// Nothing is copied; compressed batches are decoded as a stream through `scratch`. The CRC is not looked at (`verifyChecksum`).
///
/// - Parameter batch: a whole record batch with its header; bytes behind it do not count.
/// - Parameter scratch: not in use by another iteration, also not by `body`.
/// - Parameter body: gets a record whose bytes are valid during the call.
/// - Throws: what is wrong with the batch, after `body` was called for the records in front of that.
public func forEachRecord(
  in batch: UnsafeRawBufferPointer, scratch: RecordScratch, decompressedBytesMax: Int = Limits.decompressedBatchBytesMax,
  _ body: (borrowing RecordView) -> Bool
) throws(RecordsError) {
  defer { scratch.close() }
  var walk = try RecordWalk(batch, scratch: scratch, limit: decompressedBytesMax)
  while try walk.next() {
    guard body(walk.record) else { return }
  }
}
