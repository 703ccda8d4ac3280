internal import Model
internal import Records
internal import SQLite

/// Reads the batches of one segment through a connection of its own, in offset order or the reverse.
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
  var connection: Connection?
  var rows: Statement? {
    // Both hold a read transaction; a reader that is kept for the next look-up holds none.
    didSet {
      if oldValue !== rows { oldValue?.reset() }
      if rows == nil { header = nil }
    }
  }
  var data: Statement?
  /// The statements of `seek`, by their text: look-ups by an index seek for each batch.
  private var seeks: [String: Statement] = [:]
  private var header: Blob?
  private let headerBuffer = UnsafeMutableRawBufferPointer.allocate(byteCount: BatchHeader.byteCount, alignment: 16)
  /// The base offset of the batch that `next` or `nextByTime` returned last.
  var current: Int64?
  /// The offsets that must still come; nil where the index says which do.
  private var missing: ClosedRange<Int64>?
  private var countsOffsets = false
  private var isFirst = true
  var isDescending = false
  let isDamaged: Bool
  /// `deinit` runs too when `init` throws.
  private var hasEntered = false

  /// Opens `segment`, which is one of `snapshot`.
  public init(_ segment: SegmentReference, of snapshot: HistorySnapshot) throws(StorageError) {
    self.segment = segment
    self.snapshot = snapshot
    let isImmutable = try segment.file.enterVerified(logger: snapshot.logger)
    hasEntered = true
    isDamaged = segment.file.isDamaged
    do throws(SQLiteError) {
      let connection = try Connection(path: segment.path, mode: isImmutable ? .immutable : .readOnly)
      connection.setBusyTimeout(milliseconds: 5_000)
      try connection.execute("PRAGMA mmap_size=0; PRAGMA query_only=1; PRAGMA temp_store=MEMORY")
      data = try connection.prepare(
        "SELECT data, last_offset, record_count FROM record_batch WHERE base_offset = ?", isPersistent: true)
      self.connection = connection
    } catch { throw .sqlite(error) }
  }

  deinit {
    headerBuffer.deallocate()
    header = nil
    rows = nil
    seeks = [:]
    data = nil
    connection = nil
    if hasEntered { segment.file.leave() }
  }

  /// Begins anew: the next batch is the first (or, descending, the last) whose offsets and timestamps both overlap the ranges.
  public func seek(
    offsets: ClosedRange<Int64>, timestamps: ClosedRange<Int64>, isDescending: Bool
  ) throws(StorageError) {
    guard let connection else { throw .closed }
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
      let statement: Statement
      if let known = seeks[sql] { statement = known } else { statement = try connection.prepare(sql, isPersistent: true) }
      seeks[sql] = statement
      statement.bind(offsets.lowerBound, at: 1)
      statement.bind(high, at: 2)
      if isFiltered {
        statement.bind(timestamps.lowerBound, at: 3)
        statement.bind(timestamps.upperBound, at: 4)
      }
      rows = statement
    } catch { throw .sqlite(error) }
  }

  func forgetPosition() {
    data?.reset()
    header = nil
    rows = nil
    current = nil
  }

  /// Goes on to the next batch; nil at the end.
  ///
  /// - Throws: `.damaged` when a batch is missing in between or at an end; the reader can be sought anew behind it.
  public func next() throws(StorageError) -> Row? {
    guard let rows else { return nil }
    data?.reset()
    current = nil
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
    .damaged(
      StorageDamage(
        file: segment.path, baseOffset: row.map { Offset($0.baseOffset) }, offset: Offset(offset),
        reason: "offset \(offset) is missing: \(words)"))
  }

  /// The bytes of the batch that was returned last, verified; borrowed until the next call.
  ///
  /// - Throws: `.damaged`; the reader can go on behind it.
  public func bytes() throws(StorageError) -> UnsafeRawBufferPointer {
    guard let current, let data else { throw .closed }
    do throws(SQLiteError) {
      data.reset()
      data.bind(current, at: 1)
      guard try data.step() else { throw SQLiteError(code: 11, message: "the batch at \(current) is gone") }
    } catch { throw failure(error, at: current) }
    let bytes = data.borrowedBlob(at: 0)
    let complaint = BatchCheck.complaint(
      about: bytes, baseOffset: current, lastOffset: data.integer(at: 1),
      recordCount: Int32(truncatingIfNeeded: data.integer(at: 2)))
    if let complaint {
      throw .damaged(
        StorageDamage(file: segment.path, baseOffset: Offset(current), offset: Offset(current), reason: complaint))
    }
    return bytes
  }

  /// The header of that batch; nothing else of it is read or verified. Borrowed until the next call.
  public func headerBytes() throws(StorageError) -> UnsafeRawBufferPointer {
    if isDamaged { return try bytes() }
    guard let current, let connection else { throw .closed }
    do throws(SQLiteError) {
      if let header {
        try header.move(toRow: current)
      } else {
        header = try Blob(connection, table: "record_batch", column: "data", row: current)
      }
      if let header, header.byteCount >= headerBuffer.count {
        try header.read(into: headerBuffer)
        return UnsafeRawBufferPointer(headerBuffer)
      }
    } catch {
      header = nil
      throw failure(error, at: current)
    }
    // Too short to be a batch: that is found out, and said, there.
    return try bytes()
  }

  func failure(_ error: SQLiteError, at offset: Int64?) -> StorageError {
    guard error.isCorruption else { return .sqlite(error) }
    return .damaged(
      StorageDamage(file: segment.path, baseOffset: nil, offset: offset.map { Offset($0) }, reason: error.message))
  }

  /// Stops whatever a call on another thread is doing.
  public func interrupt() { connection?.interrupt() }
}
