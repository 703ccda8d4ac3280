internal import Model
internal import NIOCore
internal import Records
internal import SQLite

/// A read-only connection to one segment with its statements; used by one thread at a time.
final class SegmentConnection {
  let file: SegmentFile
  let connection: Connection
  /// By their text; each is prepared when it is first wanted, and kept.
  private var statements: [String: Statement] = [:]

  /// - Parameters:
  ///   - cacheKiB: pages to keep; nil for what SQLite keeps of itself.
  ///   - isShared: it will be kept for others, fetches among them.
  /// - Precondition: the caller has entered `file` and leaves it when the connection is gone.
  init(_ file: SegmentFile, isImmutable: Bool, cacheKiB: Int? = nil, isShared: Bool = false) throws(StorageError) {
    self.file = file
    do throws(SQLiteError) {
      connection = try Connection(
        path: file.path, mode: isImmutable ? .immutable : .readOnly, vfs: isShared ? ReadingVFS.name : nil)
      // A lane that checkpoints or recovers holds its locks for milliseconds.
      connection.setBusyTimeout(milliseconds: 5_000)
      let cache = cacheKiB.map { "PRAGMA cache_size=-\($0);" } ?? ""
      try connection.execute("PRAGMA mmap_size=0; \(cache) PRAGMA query_only=1; PRAGMA temp_store=MEMORY")
    } catch { throw .sqlite(error) }
  }

  /// The statement of this text; there should be few texts.
  func statement(_ sql: String) throws(SQLiteError) -> Statement {
    if let known = statements[sql] { return known }
    // It outlives the work of whoever wants it first.
    let made = try MemoryBudget.exempting { () throws(SQLiteError) in try connection.prepare(sql, isPersistent: true) }
    statements[sql] = made
    return made
  }

  /// Ends every read transaction, so that the connection stands in no checkpoint's way while it is idle.
  func rest() {
    for statement in statements.values { statement.reset() }
  }

  private static let fromOffset = """
    SELECT base_offset, last_offset, byte_count FROM record_batch
    WHERE base_offset >= coalesce((SELECT max(base_offset) FROM record_batch WHERE base_offset <= ?1), ?1)
    ORDER BY base_offset
    """
  private static let behindOffset = """
    SELECT base_offset FROM record_batch WHERE last_offset >= ?1 AND max_timestamp >= ?2
      AND base_offset >= coalesce((SELECT max(base_offset) FROM record_batch WHERE base_offset <= ?1), ?1)
    ORDER BY base_offset
    """
  private static let maxTimestamp = """
    SELECT base_offset FROM record_batch WHERE max_timestamp = (SELECT max(max_timestamp) FROM record_batch
      WHERE last_offset >= ?1 AND base_offset < ?2) AND last_offset >= ?1 AND base_offset < ?2
    ORDER BY base_offset LIMIT 1
    """

  /// Appends whole batches to `target`, from the one that contains `offset` (or the first behind it) up to `limit`, as long as
  /// they fit; each is verified, and must follow the one before.
  ///
  /// - Parameter position: the offset the next batch must begin at or, for the first, contain; moved on.
  /// - Returns: base offset of the first batch; nil if the segment has none for it.
  /// - Throws: `.damaged`; batches in front of the damage are in `target`, and `position` stands behind them.
  func read(
    position: inout Int64, below limit: Int64, maxBytes: Int, into target: inout ByteBuffer, isFirst: Bool
  ) throws(StorageError) -> Int64? {
    let begin = position
    let isSequential = maxBytes >= Self.sequentialBytesMin && file.isUnread(from: begin)
    if isSequential { connection.expectSequentialRead(of: maxBytes) }
    defer {
      if isSequential {
        connection.expectSequentialRead(of: 0)
        file.noteRead(upTo: position)
      }
      rest()
    }
    var first: Int64?
    do throws(SQLiteError) {
      do throws(SQLiteError) {
        try readRows(
          from: position, position: &position, below: limit, maxBytes: maxBytes, into: &target, isFirst: isFirst, first: &first)
      } catch {
        guard error.isCorruption, first == nil, let base = batchInFrontOfDamage(containing: position) else { throw error }
        rest()
        try readRows(
          from: base, position: &position, below: limit, maxBytes: maxBytes, into: &target, isFirst: isFirst, first: &first)
      }
    } catch { throw damage(error, at: position) }
    return first
  }

  /// Reads and verifies batches as `read`, for nobody.
  ///
  /// - Returns: how many bytes there were.
  func checkBatches(position: inout Int64, below limit: Int64, maxBytes: Int) throws(StorageError) -> Int {
    var room = ByteBuffer()
    _ = try read(position: &position, below: limit, maxBytes: maxBytes, into: &room, isFirst: true)
    return room.readableBytes
  }

  /// Fetches of less do not gain by reading in larger pieces.
  private static let sequentialBytesMin = 256 << 10

  /// - Parameter start: `position`, or the base offset of the batch that contains it.
  private func readRows(
    from start: Int64, position: inout Int64, below limit: Int64, maxBytes: Int, into target: inout ByteBuffer, isFirst: Bool,
    first: inout Int64?
  ) throws(SQLiteError) {
    let fromOffset = try statement(Self.fromOffset)
    fromOffset.bind(start, at: 1)
    var blob: Blob?
    while position < limit, try fromOffset.step() {
      let baseOffset = fromOffset.integer(at: 0)
      let lastOffset = fromOffset.integer(at: 1)
      let byteCount = Int(fromOffset.integer(at: 2))
      if baseOffset >= limit { break }
      let contains = first == nil ? baseOffset <= position && lastOffset >= position : baseOffset == position
      guard contains, byteCount > 0, byteCount <= Limits.storedBatchBytesMax else {
        throw SQLiteError(code: Self.discontinuous, message: "offset \(position) is followed by a batch at \(baseOffset)")
      }
      let isRoomLeft = target.readableBytes + byteCount <= maxBytes || (isFirst && first == nil)
      guard isRoomLeft else { break }
      if first == nil, target.readableBytes == 0 { target.reserveCapacity(max(byteCount, min(maxBytes, 1 << 20))) }
      if let blob {
        try blob.move(toRow: baseOffset)
      } else {
        blob = try Blob(connection, table: "record_batch", column: "data", row: baseOffset)
      }
      if let damage = try append(from: blob!, byteCount, baseOffset, lastOffset, to: &target) {
        throw SQLiteError(code: Self.discontinuous, message: damage)
      }
      if first == nil { first = baseOffset }
      position = lastOffset + 1
    }
  }

  /// Base offset of the batch that contains `offset`; nil if none is found.
  ///
  /// For where the page behind that batch is damaged: SQLite looks for an offset that no batch begins with on the page behind the
  /// last one that begins below it, and does not come as far as stepping back. So the search begins further and further in front
  /// of it, until it meets a sound page, and ends with that page's last batch.
  private func batchInFrontOfDamage(containing offset: Int64) -> Int64? {
    guard
      let rows = try? connection.prepare("SELECT base_offset, last_offset FROM record_batch WHERE base_offset >= ? ORDER BY 1")
    else { return nil }
    var distance: Int64 = 1
    while true {
      let start = max(file.baseOffset, offset - distance)
      rows.reset()
      rows.bind(start, at: 1)
      var nearest: (base: Int64, last: Int64)?
      while (try? rows.step()) == true, rows.integer(at: 0) <= offset { nearest = (rows.integer(at: 0), rows.integer(at: 1)) }
      if let nearest { return nearest.last >= offset ? nearest.base : nil }
      if start == file.baseOffset { return nil }
      distance *= 2
    }
  }

  private static let discontinuous: CInt = -1
  private func damage(_ error: SQLiteError, at offset: Int64) -> StorageError {
    let isDamage = error.code == Self.discontinuous || error.isCorruption || error.primaryCode == 1
    guard isDamage else { return .sqlite(error) }
    return .damaged(
      StorageDamage(file: file.path, baseOffset: nil, offset: Offset(offset), reason: error.message))
  }

  /// - Returns: what is wrong with the batch; it is then not in `target`.
  private func append(
    from blob: Blob, _ byteCount: Int, _ baseOffset: Int64, _ lastOffset: Int64, to target: inout ByteBuffer
  ) throws(SQLiteError) -> String? {
    guard blob.byteCount == byteCount else { return "the batch at \(baseOffset) has another length than its row says" }
    var failure: SQLiteError?
    let start = target.writerIndex
    _ = target.writeWithUnsafeMutableBytes(minimumWritableBytes: byteCount) { raw in
      do throws(SQLiteError) {
        try blob.read(into: UnsafeMutableRawBufferPointer(rebasing: raw[..<byteCount]))
        return byteCount
      } catch {
        failure = error
        return 0
      }
    }
    if let failure { throw failure }
    let complaint = target.withUnsafeReadableBytes { raw in
      BatchCheck.complaint(
        about: UnsafeRawBufferPointer(rebasing: raw[(start - target.readerIndex)...]), baseOffset: baseOffset,
        lastOffset: lastOffset)
    }
    if complaint != nil { target.moveWriterIndex(to: start) }
    return complaint
  }

  /// Base offset of the batch that holds the first record at or after `timestamp` at or behind `offset`; nil if there is none.
  func firstBatch(atOrAfter timestamp: Int64, from offset: Int64) throws(StorageError) -> Int64? {
    defer { rest() }
    return try storage { () throws(SQLiteError) in
      let firstAtOrAfter = try statement(SegmentSQL.firstAtOrAfter)
      firstAtOrAfter.bind(timestamp, at: 1)
      guard try firstAtOrAfter.step() else { return nil }
      let found = firstAtOrAfter.integer(at: 0)
      if found >= offset { return found }
      // The log start lies behind it: only batches from there on count, and the index does not know which of them.
      return try nextBatch(atOrAfter: timestamp, from: offset)
    }
  }

  /// Base offset of the first batch that ends at or behind `offset` and has a record at or after `timestamp`.
  func nextBatch(atOrAfter timestamp: Int64, from offset: Int64) throws(SQLiteError) -> Int64? {
    let behindOffset = try statement(Self.behindOffset)
    defer { behindOffset.reset() }
    behindOffset.bind(offset, at: 1)
    behindOffset.bind(timestamp, at: 2)
    return try behindOffset.step() ? behindOffset.integer(at: 0) : nil
  }

  /// Base offset of the first batch with the largest timestamp among those that end at or behind `offset` and begin below `limit`.
  func batchOfMaxTimestamp(from offset: Int64, below limit: Int64) throws(StorageError) -> Int64? {
    defer { rest() }
    return try storage { () throws(SQLiteError) in
      let maxTimestamp = try statement(Self.maxTimestamp)
      maxTimestamp.bind(offset, at: 1)
      maxTimestamp.bind(limit, at: 2)
      return try maxTimestamp.step() ? maxTimestamp.integer(at: 0) : nil
    }
  }
}

/// What every batch that comes from the disk must stand up to.
enum BatchCheck {
  /// Nil if `bytes` are a whole batch with a right CRC that says of itself what its row says.
  static func complaint(
    about bytes: UnsafeRawBufferPointer, baseOffset: Int64, lastOffset: Int64, recordCount: Int32? = nil
  ) -> String? {
    do throws(RecordsError) {
      let header = try BatchHeader(ofWhole: bytes)
      guard header.totalBytes == bytes.count else { return "the batch at \(baseOffset) has another length than it says" }
      guard header.baseOffset == baseOffset, header.lastOffset == lastOffset else {
        return "the batch at \(baseOffset) says that it has the offsets \(header.baseOffset) to \(header.lastOffset)"
      }
      if let recordCount, recordCount != header.recordCount {
        return "the batch at \(baseOffset) says that it has \(header.recordCount) records, not \(recordCount)"
      }
      try header.verifyChecksum(of: bytes)
      return nil
    } catch {
      return "the batch at \(baseOffset): \(error)"
    }
  }
}
