public import Model
internal import NIOCore
internal import Records
internal import SQLite
internal import Synchronization

// Reads that may touch the disk: on read threads only.

extension PartitionLog {
  /// What a read needs to know, taken at one moment.
  private struct View {
    var offsets: LogOffsets
    var segments: [SegmentFile]
    var active: ActiveExtent

    /// The offset behind the last record of segment `index` that may be read: below its beginning where it has none.
    func end(of index: Int) -> Int64 {
      let limit = offsets.highWatermark.rawValue
      return index + 1 < segments.count ? min(segments[index + 1].baseOffset, limit) : limit
    }
    func maxTimestamp(of index: Int) -> Int64 { segments[index].currentRecord?.maxTimestamp ?? active.maxTimestamp }
    /// The segment that holds `offset`.
    func index(of offset: Int64) -> Int? { segments.lastIndex { $0.baseOffset <= offset } }
  }

  private func view() throws(StorageError) -> View {
    try loadNow()
    let result: Result<View, StorageError> = shared.withLock {
      if $0.isDeleted { return .failure(gone($0)) }
      guard let offsets = $0.offsets, $0.isLoaded else { return .failure(.closed) }
      return .success(View(offsets: offsets, segments: $0.segments, active: $0.active))
    }
    return try result.get()
  }

  /// Whole batches from the one that contains `offset` on, up to the high watermark, across segments.
  ///
  /// - Throws: `.offsetOutOfRange`; `.damaged` when the very batch that was asked for cannot be read. Damage behind it ends
  ///   the result early.
  ///
  /// - Parameter wholeFirstBatch: the first batch is returned even if it is larger than `maxBytes`.
  public func read(
    from offset: Offset, maxBytes: Int, wholeFirstBatch: Bool = true
  ) throws(StorageError) -> FetchedRecords {
    if let records = readAhead(from: offset, maxBytes: maxBytes, isWaiting: true) { return records }
    let records = try readDisk(from: offset, maxBytes: maxBytes, wholeFirstBatch: wholeFirstBatch)
    store.readAhead.noteRead(self, from: offset.rawValue, to: records.nextOffset.rawValue, maxBytes: maxBytes)
    return records
  }

  /// As `read`, from the segments themselves.
  func readDisk(from offset: Offset, maxBytes: Int, wholeFirstBatch: Bool) throws(StorageError) -> FetchedRecords {
    var view = try view()
    var attempt = 0
    while true {
      do throws(StorageError) {
        return try read(from: offset, maxBytes: maxBytes, wholeFirstBatch: wholeFirstBatch, view)
      } catch {
        // Retention may have removed the segment between the look at the list and the look at the file.
        let newer = try self.view()
        guard attempt == 0, !newer.segments.elementsEqual(view.segments, by: ===) else { throw error }
        view = newer
        attempt += 1
      }
    }
  }

  private func read(
    from offset: Offset, maxBytes: Int, wholeFirstBatch: Bool, _ view: View
  ) throws(StorageError) -> FetchedRecords {
    let limit = view.offsets.highWatermark
    guard offset >= view.offsets.logStartOffset, offset <= limit else {
      throw .offsetOutOfRange(offset, start: view.offsets.logStartOffset, end: limit)
    }
    var records = FetchedRecords(chunks: [], byteCount: 0, firstOffset: offset, nextOffset: offset)
    guard offset < limit else { return records }
    guard var index = view.index(of: offset.rawValue) else { throw missing(offset) }
    var buffer = ByteBuffer()
    var position = offset.rawValue
    var isFirst = true
    while index < view.segments.count, position < limit.rawValue, isFirst || buffer.readableBytes < maxBytes {
      let end = view.end(of: index)
      do throws(StorageError) {
        let first = try store.readers.withConnection(to: view.segments[index]) { connection throws(StorageError) in
          try connection.read(
            position: &position, below: end, maxBytes: maxBytes, into: &buffer, isFirst: isFirst && wholeFirstBatch)
        }
        if let first, isFirst { records.firstOffset = Offset(first) }
        if first == nil, isFirst {
          // Too large for the room that is left, or not there although it should be.
          if !wholeFirstBatch { return records }
          throw missing(Offset(position), in: view.segments[index])
        }
      } catch {
        if buffer.readableBytes == 0 { throw error }
        break
      }
      isFirst = false
      if position < end { break }
      index += 1
    }
    records.nextOffset = Offset(position)
    records.byteCount = buffer.readableBytes
    if buffer.readableBytes > 0 { records.chunks = [buffer] }
    return records
  }

  private func missing(_ offset: Offset, in segment: SegmentFile? = nil) -> StorageError {
    .damaged(
      StorageDamage(
        file: segment?.path ?? directory, baseOffset: nil, offset: offset, reason: "no batch has the offset \(offset)"))
  }

  /// The first record at or after `timestamp`, exact to the record; nil if there is none below the high watermark.
  public func offset(
    forTimestamp timestamp: TimestampMilliseconds
  ) throws(StorageError) -> (offset: Offset, timestamp: TimestampMilliseconds)? {
    let view = try view()
    let start = view.offsets.logStartOffset.rawValue
    for index in view.segments.indices where view.end(of: index) > start && view.maxTimestamp(of: index) >= timestamp {
      // There every batch is looked at, because the index may be what is damaged.
      let isDamaged = try store.readers.isDamaged(view.segments[index])
      var from = max(start, view.segments[index].baseOffset)
      var isFirst = true
      while from < view.end(of: index) {
        let position = from
        let isFromIndex = isFirst
        let base: Int64? =
          isDamaged
          ? position
          : try store.readers.withConnection(to: view.segments[index]) { connection throws(StorageError) in
            isFromIndex
              ? try connection.firstBatch(atOrAfter: timestamp, from: position)
              : try storage { () throws(SQLiteError) in try connection.nextBatch(atOrAfter: timestamp, from: position) }
          }
        isFirst = false
        guard let base, base < view.end(of: index) else { break }
        let batch = try wholeBatch(at: max(base, start), in: view.segments[index], below: view.end(of: index))
        if let found = try firstRecord(of: batch, in: view.segments[index], where: { $0 >= start && $1 >= timestamp }) {
          return found
        }
        from = batch.nextOffset.rawValue
      }
    }
    return nil
  }

  /// The first record with the largest timestamp below the high watermark; nil if the log is empty.
  public func offsetOfMaxTimestamp() throws(StorageError) -> (offset: Offset, timestamp: TimestampMilliseconds)? {
    let view = try view()
    let start = view.offsets.logStartOffset.rawValue
    let candidates = view.segments.indices.filter { view.end(of: $0) > max(start, view.segments[$0].baseOffset) }
    // Segments by their maxima, the largest first: those that the log start cuts may have lost theirs.
    var best: (offset: Offset, timestamp: TimestampMilliseconds)?
    for index in candidates.sorted(by: { (view.maxTimestamp(of: $0), -$0) > (view.maxTimestamp(of: $1), -$1) }) {
      if let best, best.timestamp >= view.maxTimestamp(of: index) { break }
      let segment = view.segments[index]
      let maximum = view.maxTimestamp(of: index)
      let end = view.end(of: index)
      let isDamaged = try store.readers.isDamaged(segment)
      var next: Int64? =
        isDamaged
        ? max(start, segment.baseOffset)
        : try store.readers.withConnection(to: segment) { connection throws(StorageError) -> Int64? in
          if let base = try connection.firstBatch(atOrAfter: maximum, from: start), base < end { return base }
          return try connection.batchOfMaxTimestamp(from: start, below: end)
        }
      while let base = next, base < end {
        let batch = try wholeBatch(at: max(base, start), in: segment, below: end)
        var largest: (Offset, TimestampMilliseconds)?
        _ = try firstRecord(of: batch, in: segment) { offset, timestamp in
          if offset >= start, largest.map({ timestamp > $0.1 }) ?? true { largest = (Offset(offset), timestamp) }
          return false
        }
        if let largest, best.map({ largest.1 > $0.timestamp || (largest.1 == $0.timestamp && largest.0 < $0.offset) }) ?? true {
          best = largest
        }
        // Where the log start lies within the batch, the record that had its maximum may be gone: then another batch has it.
        guard base < start || isDamaged else { break }
        next =
          isDamaged
          ? batch.nextOffset.rawValue
          : try store.readers.withConnection(to: segment) { connection throws(StorageError) in
            try connection.batchOfMaxTimestamp(from: batch.nextOffset.rawValue, below: end)
          }
      }
    }
    return best
  }

  private func wholeBatch(at offset: Int64, in segment: SegmentFile, below end: Int64) throws(StorageError) -> FetchedRecords {
    var buffer = ByteBuffer()
    var position = offset
    let first = try store.readers.withConnection(to: segment) { connection throws(StorageError) in
      try connection.read(position: &position, below: end, maxBytes: 0, into: &buffer, isFirst: true)
    }
    guard let first else { throw missing(Offset(offset), in: segment) }
    return FetchedRecords(
      chunks: [buffer], byteCount: buffer.readableBytes, firstOffset: Offset(first), nextOffset: Offset(position))
  }

  private func firstRecord(
    of batch: FetchedRecords, in segment: SegmentFile, where matches: (Int64, TimestampMilliseconds) -> Bool
  ) throws(StorageError) -> (offset: Offset, timestamp: TimestampMilliseconds)? {
    var found: (Offset, TimestampMilliseconds)?
    let scratch = RecordScratch()
    let complaint = batch.chunks[0].withUnsafeReadableBytes { bytes -> RecordsError? in
      do throws(RecordsError) {
        try forEachRecord(in: bytes, scratch: scratch) { record in
          guard matches(record.offset.rawValue, record.timestamp) else { return true }
          found = (record.offset, record.timestamp)
          return false
        }
        return nil
      } catch { return error }
    }
    if let complaint {
      throw .damaged(
        StorageDamage(
          file: segment.path, baseOffset: batch.firstOffset, offset: batch.firstOffset, reason: "\(complaint)"))
    }
    return found
  }
}
