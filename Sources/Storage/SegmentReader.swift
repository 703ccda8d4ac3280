internal import Model
internal import Records
internal import SQLite

/// Reads the batches of one segment through a connection that is its own meanwhile, in offset order or the reverse.
///
/// Used by one thread at a time. While it stands in the active segment it keeps that segment's WAL from starting over.
public final class SegmentReader {
  /// What is known of a batch without its bytes.
  public struct Row: Sendable, Hashable {
    public var baseOffset: Int64
    public var lastOffset: Int64
    /// True bounds of the records' timestamps, milliseconds.
    public var minTimestamp: Int64
    public var maxTimestamp: Int64
    public var recordCount: Int32
    public var byteCount: Int
  }

  /// What the index by time knows of a batch.
  public struct Times: Sendable, Hashable {
    public var baseOffset: Int64
    /// True bounds of the records' timestamps, milliseconds.
    public var minTimestamp: Int64
    public var maxTimestamp: Int64
    /// Descending: no batch that follows has a timestamp above it; ascending: none below it.
    public var bound: Int64
  }

  public let segment: SegmentReference
  private let snapshot: HistorySnapshot
  /// Nil only while the reader goes.
  private var segmentConnection: SegmentConnection?
  /// It has seen an error: nobody else gets it.
  private var isSpoilt = false
  var connection: Connection { segmentConnection!.connection }
  var rows: Statement? {
    // Both hold a read transaction; a reader that is kept for the next look-up holds none.
    didSet {
      if oldValue !== rows { oldValue?.reset() }
      if rows == nil { blob = nil }
    }
  }
  let data: Statement
  /// On the batch that was looked at last.
  private var blob: Blob?
  private let headerBuffer: UnsafeMutableRawBufferPointer
  /// The base offset of the batch that `next` or `nextByTime` returned last.
  var current: Int64?
  /// All that is known of it, where it was `next`.
  private var currentRow: Row?
  /// The offsets that must still come; nil where the index says which do.
  private var missing: ClosedRange<Int64>?
  private var countsOffsets = false
  private var isFirst = true
  var isDescending = false
  let isDamaged: Bool

  /// Opens `segment`, which is one of `snapshot`.
  public init(_ segment: SegmentReference, of snapshot: HistorySnapshot) throws(StorageError) {
    self.segment = segment
    self.snapshot = snapshot
    let taken = try Self.take(segment.file, snapshot)
    isDamaged = segment.file.isDamaged
    // What others have read through it they have paid for.
    MemoryBudget.exempting { taken.connection.releaseMemory() }
    do throws(SQLiteError) { data = try taken.statement(Self.dataOfBatch) } catch {
      Self.discard(taken, snapshot)
      throw .sqlite(error)
    }
    // From here on there is something for `deinit` to give back.
    headerBuffer = .allocate(byteCount: BatchHeader.byteCount, alignment: 16)
    segmentConnection = taken
  }

  private static let dataOfBatch = "SELECT data, last_offset, record_count FROM record_batch WHERE base_offset = ?"

  private static func take(_ file: SegmentFile, _ snapshot: HistorySnapshot) throws(StorageError) -> SegmentConnection {
    if let readers = snapshot.readers { return try readers.take(file) }
    let isImmutable = try file.enterVerified(logger: snapshot.logger)
    do throws(StorageError) { return try SegmentConnection(file, isImmutable: isImmutable) } catch {
      file.leave()
      throw error
    }
  }

  private static func discard(_ connection: SegmentConnection, _ snapshot: HistorySnapshot) {
    if let readers = snapshot.readers { readers.discard(connection) } else { connection.file.leave() }
  }

  deinit {
    headerBuffer.deallocate()
    guard let taken = segmentConnection else { return }
    segmentConnection = nil
    blob = nil
    rows = nil
    taken.rest()
    guard let readers = snapshot.readers, !isSpoilt else { return Self.discard(taken, snapshot) }
    taken.connection.releaseMemory()
    readers.giveBack(taken)
  }

  /// Begins anew: the next batch is the first (or, descending, the last) whose offsets and timestamps both overlap the ranges.
  public func seek(
    offsets: ClosedRange<Int64>, timestamps: ClosedRange<Int64>, isDescending: Bool
  ) throws(StorageError) {
    forgetPosition()
    isFirst = true
    self.isDescending = isDescending
    // A window of time is narrowed down by the index alone, if that can be believed; it is in offset order as well.
    let isFiltered =
      !isDamaged && (timestamps.lowerBound > segment.minTimestamp || timestamps.upperBound < segment.maxTimestamp)
    let low = max(offsets.lowerBound, segment.baseOffset.rawValue)
    let high = min(offsets.upperBound, segment.endOffset.rawValue - 1)
    missing = isFiltered || low > high ? nil : low...high
    countsOffsets = !isFiltered
    let filter =
      isFiltered
      ? """
      WHERE base_offset IN (SELECT base_offset FROM record_batch INDEXED BY record_batch_time
        WHERE running_max_timestamp >= ?3 AND max_timestamp >= ?3 AND min_timestamp <= ?4) AND
      """ : "WHERE"
    let sql = """
      SELECT base_offset, last_offset, min_timestamp, max_timestamp, record_count, byte_count FROM record_batch
      \(filter) base_offset >= coalesce((SELECT max(base_offset) FROM record_batch WHERE base_offset <= ?1), ?1)
        AND last_offset >= ?1 AND base_offset <= ?2
      ORDER BY base_offset \(isDescending ? "DESC" : "")
      """
    do throws(SQLiteError) {
      let statement = try statement(sql)
      statement.bind(offsets.lowerBound, at: 1)
      statement.bind(high, at: 2)
      if isFiltered {
        statement.bind(timestamps.lowerBound, at: 3)
        statement.bind(timestamps.upperBound, at: 4)
      }
      rows = statement
    } catch { throw failure(error, at: nil) }
  }

  func statement(_ sql: String) throws(SQLiteError) -> Statement {
    guard let segmentConnection else { throw SQLiteError(code: 21, message: "the reader is closed") }
    return try segmentConnection.statement(sql)
  }

  func forgetPosition() {
    data.reset()
    blob = nil
    rows = nil
    current = nil
    currentRow = nil
  }

  /// Goes on to the next batch; nil at the end.
  ///
  /// - Throws: `.damaged` when a batch is missing in between or at an end; the reader can be sought anew behind it.
  public func next() throws(StorageError) -> Row? {
    guard let rows else { return nil }
    data.reset()
    current = nil
    currentRow = nil
    // Not a step further than asked for: the next row may be on a page that cannot be read.
    if countsOffsets, missing == nil {
      self.rows = nil
      return nil
    }
    let next = missing.map { isDescending ? $0.upperBound : $0.lowerBound }
    let hasRow: Bool
    do throws(SQLiteError) { hasRow = try rows.step() } catch { throw failure(error, at: next) }
    guard hasRow else {
      self.rows = nil
      if let next { throw damage(at: next, nil, "no batch follows that has it") }
      return nil
    }
    var row = Row(
      baseOffset: rows.integer(at: 0), lastOffset: rows.integer(at: 1), minTimestamp: rows.integer(at: 2),
      maxTimestamp: rows.integer(at: 3), recordCount: Int32(truncatingIfNeeded: rows.integer(at: 4)),
      byteCount: Int(rows.integer(at: 5)))
    try take(row)
    if isDamaged {
      row.minTimestamp = .min
      row.maxTimestamp = .max
    }
    current = row.baseOffset
    currentRow = row
    return row
  }

  /// Takes the offsets of `row` from those that must come.
  private func take(_ row: Row) throws(StorageError) {
    guard let missing else { return }
    let next = isDescending ? missing.upperBound : missing.lowerBound
    // Only the first may reach beyond what is asked for, on the side where that begins.
    let follows = isFirst || next == (isDescending ? row.lastOffset : row.baseOffset)
    guard follows, row.baseOffset <= next, row.lastOffset >= next else {
      throw damage(at: next, row, "the next batch has the offsets \(row.baseOffset) to \(row.lastOffset)")
    }
    isFirst = false
    if isDescending {
      self.missing = row.baseOffset > missing.lowerBound ? missing.lowerBound...row.baseOffset - 1 : nil
    } else {
      self.missing = row.lastOffset < missing.upperBound ? row.lastOffset + 1...missing.upperBound : nil
    }
  }

  private func damage(at offset: Int64, _ row: Row?, _ words: String) -> StorageError {
    met(
      StorageDamage(
        file: segment.path, baseOffset: row.map { Offset($0.baseOffset) }, offset: Offset(offset),
        reason: "offset \(offset) is missing: \(words)"))
  }

  /// The bytes of the batch that was returned last, verified; borrowed until the next call.
  ///
  /// - Throws: `.damaged`; the reader can go on behind it.
  public func bytes() throws(StorageError) -> UnsafeRawBufferPointer {
    guard let current else { throw .closed }
    do throws(SQLiteError) {
      data.reset()
      data.bind(current, at: 1)
      guard try data.step() else { throw SQLiteError(code: 11, message: "the batch at \(current) is gone") }
    } catch { throw failure(error, at: current) }
    let bytes = data.borrowedBlob(at: 0)
    try check(bytes, current, lastOffset: data.integer(at: 1), recordCount: Int32(truncatingIfNeeded: data.integer(at: 2)))
    return bytes
  }

  private func check(
    _ bytes: UnsafeRawBufferPointer, _ baseOffset: Int64, lastOffset: Int64, recordCount: Int32
  ) throws(StorageError) {
    let complaint = BatchCheck.complaint(
      about: bytes, baseOffset: baseOffset, lastOffset: lastOffset, recordCount: recordCount)
    if let complaint {
      throw met(
        StorageDamage(file: segment.path, baseOffset: Offset(baseOffset), offset: Offset(baseOffset), reason: complaint))
    }
  }

  /// Copies the batch that was returned last, verified, to where `room` says for so many bytes: straight from the pages, so that it is
  /// the only copy.
  ///
  /// - Throws: `.damaged`, with what was read left in the room; the reader can go on behind it.
  public func copyBytes(to room: (Int) -> UnsafeMutableRawBufferPointer) throws(StorageError) {
    guard let currentRow, let blob = try blobOfCurrent(), blob.byteCount <= Limits.storedBatchBytesMax else {
      let bytes = try bytes()
      return room(bytes.count).copyMemory(from: bytes)
    }
    let target = UnsafeMutableRawBufferPointer(rebasing: room(blob.byteCount)[..<blob.byteCount])
    do throws(SQLiteError) { try blob.read(into: target) } catch { throw blobFailure(error, at: currentRow.baseOffset) }
    try check(
      UnsafeRawBufferPointer(target), currentRow.baseOffset, lastOffset: currentRow.lastOffset,
      recordCount: currentRow.recordCount)
  }

  /// The header of that batch; nothing else of it is read or verified. Borrowed until the next call.
  public func headerBytes() throws(StorageError) -> UnsafeRawBufferPointer {
    if isDamaged { return try bytes() }
    guard let current else { throw .closed }
    if let blob = try blobOfCurrent(), blob.byteCount >= headerBuffer.count {
      do throws(SQLiteError) { try blob.read(into: headerBuffer) } catch { throw blobFailure(error, at: current) }
      return UnsafeRawBufferPointer(headerBuffer)
    }
    // Too short to be a batch: that is found out, and said, there.
    return try bytes()
  }

  private func blobOfCurrent() throws(StorageError) -> Blob? {
    guard let current else { return nil }
    do throws(SQLiteError) {
      if let blob {
        try blob.move(toRow: current)
      } else {
        blob = try Blob(connection, table: "record_batch", column: "data", row: current)
      }
      return blob
    } catch { throw blobFailure(error, at: current) }
  }

  /// A blob that has failed is of no more use.
  private func blobFailure(_ error: SQLiteError, at offset: Int64) -> StorageError {
    blob = nil
    return failure(error, at: offset)
  }

  func failure(_ error: SQLiteError, at offset: Int64?) -> StorageError {
    isSpoilt = true
    guard error.isCorruption else { return .sqlite(error) }
    return met(StorageDamage(file: segment.path, baseOffset: nil, offset: offset.map { Offset($0) }, reason: error.message))
  }

  /// Whoever looks after damage learns of it at once.
  private func met(_ damage: StorageDamage) -> StorageError {
    isSpoilt = true
    snapshot.readers?.noteDamage(of: segment.file)
    return .damaged(damage)
  }
}
