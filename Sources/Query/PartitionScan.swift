internal import Model
internal import Records

/// Visits the records of one partition in offset order or the reverse, decoding no more than it has to.
///
/// What is visible: offsets from the log start offset to below the high watermark, also inside a batch, and no control records.
final class PartitionScan {
  /// What is asked for.
  struct Request: Equatable {
    var offsets: Interval
    var timestamps: Interval
    var isDescending: Bool
    /// Bits of `TopicColumn`.
    var columns: UInt64
    var headers = HeaderBounds()
    /// Where an index says which batches may have an answer.
    var lookup: IndexLookup?
  }

  /// What a batch's header has to say for its records to be asked for.
  struct HeaderBounds: Equatable {
    var producerIDs = Interval.all
    var leaderEpochs = Interval.all
    var batchOffsets = Interval.all

    var isEmpty: Bool { producerIDs.isEmpty || leaderEpochs.isEmpty || batchOffsets.isEmpty }
    /// Something has to be looked at before the batch is.
    var needsHeader: Bool { producerIDs != .all || leaderEpochs != .all }

    func admit(_ header: BatchHeader) -> Bool {
      // No producer is NULL in SQL, and satisfies nothing.
      (producerIDs == .all || (header.producerID >= 0 && producerIDs.contains(header.producerID)))
        && leaderEpochs.contains(Int64(header.partitionLeaderEpoch))
    }
  }

  /// How the current batch yields its rows.
  private enum Walk {
    case none
    /// Records one by one as they are decoded.
    case forwards
    case backwards
    /// Every offset from `next` to `last` is a record, and nothing inside them is asked for.
    case offsetsOnly(next: Int64, last: Int64)
  }

  let extent: PartitionExtent
  private let index: Int
  private let source: any HistorySource
  private let context: ScanContext
  private var request: Request
  /// The batches stay open at the end, because the scan will be restarted.
  private let staysOpen: Bool
  private var isPositioned = false
  private var batches: (any BatchSequence)?
  /// Those, where an index has been asked.
  private var indexed: IndexedBatches?
  private let cursor: BatchCursor
  private var reversed = ReversedBatch()
  private var walk = Walk.none

  private(set) var offset: Int64 = 0
  private(set) var timestamp: Int64 = 0
  /// The header of the current record's batch.
  private(set) var header: BatchHeader?

  init(_ index: Int, of source: any HistorySource, request: Request, context: ScanContext, staysOpen: Bool) {
    self.index = index
    self.source = source
    self.context = context
    self.staysOpen = staysOpen
    cursor = BatchCursor(recordBytesMax: context.recordBytesMax)
    extent = source.partitions[index]
    self.request = Self.visible(request, in: extent)
  }

  private static func visible(_ request: Request, in extent: PartitionExtent) -> Request {
    var request = request
    request.offsets.raise(to: extent.logStartOffset)
    request.offsets.lower(to: extent.highWatermark &- 1)
    if extent.highWatermark <= extent.logStartOffset { request.offsets = .none }
    return request
  }

  /// Begins anew with another request, and with the batches that are open: a join looks up once for each row of its other side.
  func restart(_ request: Request) {
    self.request = Self.visible(request, in: extent)
    walk = .none
    isPositioned = false
  }

  /// No record of it can be asked for.
  var isEmpty: Bool { request.offsets.isEmpty || request.timestamps.isEmpty || request.headers.isEmpty }
  /// The newest (or oldest) time that a record asked for can have; known without opening anything.
  var timeBound: Int64 {
    request.isDescending
      ? min(extent.maxTimestamp, request.timestamps.high) : max(extent.minTimestamp, request.timestamps.low)
  }
  /// The first offset, in the scan's direction, that may come; known without opening anything.
  var firstPossibleOffset: Int64 { request.isDescending ? request.offsets.high : request.offsets.low }

  /// Moves to the next record; false behind the last.
  func next() throws(HistoryError) -> Bool {
    if isEmpty { return false }
    while true {
      if try nextInBatch() { return true }
      try context.control.check()
      context.control.progress.note(context.statistics)
      guard let row = try positionedBatches().next() else {
        end()
        return false
      }
      try enter(row)
    }
  }

  private func end() {
    walk = .none
    cursor.unload()
    if !staysOpen {
      batches = nil
      indexed = nil
    }
  }

  private func positionedBatches() throws(HistoryError) -> any BatchSequence {
    if let batches, isPositioned { return batches }
    let opened = try openedBatches()
    try opened.seek(selection)
    isPositioned = true
    return opened
  }

  private func openedBatches() throws(HistoryError) -> any BatchSequence {
    indexed?.lookup = request.lookup
    if let batches, request.lookup == nil || indexed != nil { return batches }
    if batches == nil { context.statistics.partitionsOpened += 1 }
    let opened: any BatchSequence
    if let batches { opened = batches } else { opened = try source.openBatches(of: index) }
    batches = opened
    guard let lookup = request.lookup, let indexes = source.openIndexes(of: index) else { return opened }
    let indexed = IndexedBatches(opened, indexes, context)
    indexed.lookup = lookup
    self.indexed = indexed
    batches = indexed
    return indexed
  }

  private var selection: BatchSelection {
    BatchSelection(
      offsets: request.offsets.low...request.offsets.high, timestamps: request.timestamps.low...request.timestamps.high,
      isDescending: request.isDescending)
  }

  /// Offers the records that are asked for to `rows`, and reads no batch that has none which it would take.
  ///
  /// - Parameter position: the partition's place in the order of rows.
  func offer(to rows: TopRows, position: Int) throws(HistoryError) {
    if isEmpty || rows.isBeyond(timeBound) { return }
    let batches = try openedBatches()
    isPositioned = false
    walk = .none
    try batches.seekByTime(selection)
    while let batch = try batches.nextByTime() {
      try context.control.check()
      context.control.progress.note(context.statistics)
      // The bound is of what follows; the batch itself may lie beyond it.
      if batch.minTimestamp <= batch.maxTimestamp, rows.wants(batch.minTimestamp...batch.maxTimestamp) {
        context.statistics.batchesMatched += 1
        try offer(batch.baseOffset, to: rows, position: position)
      }
      if rows.isBeyond(batch.bound) { break }
    }
    end()
  }

  private func admits(_ offset: Int64) -> Bool { indexed?.admits(offset) ?? true }

  private func offer(_ baseOffset: Int64, to rows: TopRows, position: Int) throws(HistoryError) {
    guard try load(baseOffset, decodesRecords: true), let header else { return }
    context.statistics.batchesDecoded += 1
    while try step() {
      context.statistics.recordsDecoded += 1
      let record = cursor.record
      if record.offset.rawValue > request.offsets.high { break }
      if record.offset.rawValue >= request.offsets.low && request.timestamps.contains(record.timestamp)
        && admits(record.offset.rawValue)
      {
        rows.offer(record, header: header, position: position, columns: request.columns)
      }
    }
    cursor.unload()
  }

  private func nextInBatch() throws(HistoryError) -> Bool {
    switch walk {
    case .none: return false
    case .forwards:
      while try step() {
        let record = cursor.record
        offset = record.offset.rawValue
        if offset > request.offsets.high { break }
        timestamp = record.timestamp
        context.statistics.recordsDecoded += 1
        if offset >= request.offsets.low && request.timestamps.contains(timestamp) && admits(offset) { return true }
      }
    case .backwards:
      if reversed.next() {
        offset = reversed.offset
        timestamp = reversed.timestamp
        return true
      }
    case .offsetsOnly(let next, let last):
      if request.isDescending ? next >= last : next <= last {
        offset = next
        walk = .offsetsOnly(next: request.isDescending ? next - 1 : next + 1, last: last)
        return true
      }
    }
    walk = .none
    return false
  }

  /// Gets ready to walk a batch.
  private func enter(_ row: BatchRow) throws(HistoryError) {
    context.statistics.batchesMatched += 1
    walk = .none
    guard request.headers.batchOffsets.contains(row.baseOffset) else { return }
    let isHeaderEnough = isHeaderEnough(row)
    guard try load(row.baseOffset, decodesRecords: !isHeaderEnough) else { return }
    if isHeaderEnough {
      context.statistics.batchesFromHeader += 1
      timestamp = row.minTimestamp
      let first = max(row.baseOffset, request.offsets.low, indexed?.stretch.lowerBound ?? .min)
      let last = min(row.lastOffset, request.offsets.high, indexed?.stretch.upperBound ?? .max)
      // The offsets that are left may be none: the batch overlaps, but has its hole there.
      walk = request.isDescending ? .offsetsOnly(next: last, last: first) : .offsetsOnly(next: first, last: last)
      return
    }
    context.statistics.batchesDecoded += 1
    if request.isDescending {
      reversed.begin(columns: request.columns)
      while try step() {
        context.statistics.recordsDecoded += 1
        let record = cursor.record
        if record.offset.rawValue > request.offsets.high { break }
        if record.offset.rawValue >= request.offsets.low && request.timestamps.contains(record.timestamp)
          && admits(record.offset.rawValue)
        {
          reversed.append(record)
        }
      }
      reversed.finish()
      cursor.unload()
      walk = .backwards
    } else {
      walk = .forwards
    }
  }

  /// Reads the batch that `batches` stands on: its header, and what else is needed to walk it.
  ///
  /// - Returns: false if nothing of it is asked for, or it is none of records.
  private func load(_ baseOffset: Int64, decodesRecords: Bool) throws(HistoryError) -> Bool {
    header = nil
    guard let batches else { return false }
    if !decodesRecords || request.headers.needsHeader {
      var parsed: BatchHeader?
      try batches.withHeader { (bytes) throws(HistoryError) in
        do throws(RecordsError) { parsed = try BatchHeader(bytes) } catch { throw damage(error, at: baseOffset) }
      }
      guard let parsed, parsed.baseOffset == baseOffset else {
        throw HistoryError(.damaged, "a record batch of \(place) at offset \(baseOffset) is damaged: it names another offset")
      }
      if parsed.isControl || !request.headers.admit(parsed) { return false }
      header = parsed
      if !decodesRecords { return true }
    }
    var room = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    try batches.copyBytes { count in
      room = cursor.room(for: count)
      return room
    }
    do throws(RecordsError) {
      let parsed = try BatchHeader(ofWhole: UnsafeRawBufferPointer(room))
      header = parsed
      if parsed.isControl { return false }
      try cursor.loadRoom()
      return true
    } catch {
      throw damage(error, at: baseOffset)
    }
  }

  private var place: String { "\(extent.topic)-\(extent.partition)" }

  /// The rows follow from the batch's row and header: nothing inside records is asked for (or their timestamps, which are all the
  /// same), each record satisfies the time range, and there is a record at every offset.
  private func isHeaderEnough(_ row: BatchRow) -> Bool {
    let inside = request.columns & TopicColumn.insideRecords
    let isInRange = request.timestamps.contains(row.minTimestamp) && request.timestamps.contains(row.maxTimestamp)
    return (inside == 0 || (inside & ~TopicColumn.times == 0 && row.minTimestamp == row.maxTimestamp)) && isInRange
      && Int64(row.recordCount) == row.lastOffset - row.baseOffset + 1
  }

  private func step() throws(HistoryError) -> Bool {
    do throws(RecordsError) { return try cursor.next() } catch {
      if case .recordTooLarge(let index, let bytes, let limit) = error {
        let offset = (header?.baseOffset ?? 0) + Int64(index)
        // It lies behind what is asked for.
        if offset > request.offsets.high { return false }
        throw HistoryError(
          .tooLarge,
          "the record of \(place) at offset \(offset) has \(bytes) bytes: SQL reads compressed records of up to \(limit) bytes")
      }
      throw damage(error, at: header?.baseOffset)
    }
  }

  private func damage(_ error: RecordsError, at offset: Int64?) -> HistoryError {
    let place = offset.map { " at offset \($0)" } ?? ""
    return HistoryError(.damaged, "a record batch of \(self.place)\(place) is damaged: \(error)")
  }

  // The current record's contents.

  private var isReversed: Bool { if case .backwards = walk { true } else { false } }

  /// The fields of the current record of a scan forwards, borrowed until `next`.
  var key: UnsafeRawBufferPointer? { cursor.key }
  var value: UnsafeRawBufferPointer? { cursor.value }
  var headers: RecordHeaders { cursor.headers }

  func withKey(_ body: (UnsafeRawBufferPointer?) -> Void) {
    if isReversed { reversed.withKey(body) } else { body(cursor.key) }
  }
  func withValue(_ body: (UnsafeRawBufferPointer?) -> Void) {
    if isReversed { reversed.withValue(body) } else { body(cursor.value) }
  }
  /// The headers as JSON text.
  func withHeaders(_ body: (UnsafeRawBufferPointer) -> Void) {
    if isReversed { return reversed.withHeaders { body($0!) } }
    context.text.removeAll(keepingCapacity: true)
    HeadersText.append(cursor.headers, to: &context.text)
    context.text.withUnsafeBytes(body)
  }
}
