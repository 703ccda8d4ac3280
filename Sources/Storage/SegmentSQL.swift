internal import Model
internal import SQLite

/// The statements on a segment's tables that more than one place needs.
enum SegmentSQL {
  static let insertBatch = """
    INSERT INTO record_batch(base_offset, last_offset, running_max_timestamp, min_timestamp, max_timestamp, leader_epoch,
      record_count, byte_count, data) VALUES (?,?,?,?,?,?,?,?,?)
    """
  static let upsertSegment = """
    INSERT OR REPLACE INTO segment(base_offset, end_offset, generation, batch_bytes, min_timestamp, max_timestamp, file_bytes,
      file_hash) VALUES (?,?,?,?,?,?,?,?)
    """
  static let upsertProducer = """
    INSERT OR REPLACE INTO producer_state(producer_id, producer_epoch, last_append_ms, batches) VALUES (?,?,?,?)
    """
  static let deleteProducer = "DELETE FROM producer_state WHERE producer_id = ?"
  /// The batch that holds the first record at or after a time, by the index alone.
  static let firstAtOrAfter = """
    SELECT base_offset FROM record_batch WHERE running_max_timestamp >= ? ORDER BY running_max_timestamp, base_offset LIMIT 1
    """

  static func run(_ statement: Statement, with segment: SegmentRecord) throws(SQLiteError) {
    statement.bind(segment.baseOffset, at: 1)
    statement.bind(segment.endOffset, at: 2)
    statement.bind(segment.generation, at: 3)
    statement.bind(segment.batchBytes, at: 4)
    statement.bind(segment.minTimestamp, at: 5)
    statement.bind(segment.maxTimestamp, at: 6)
    if let seal = segment.seal {
      statement.bind(seal.fileBytes, at: 7)
      statement.bind(withUnsafeBytes(of: seal.hash.bigEndian) { [UInt8]($0) }, at: 8)
    } else {
      statement.bindNull(at: 7)
      statement.bindNull(at: 8)
    }
    try statement.run()
  }

  /// A number of a state that is computed with. Damaged pages hold any number, and sums of such must not trap.
  ///
  /// - Throws: as SQLite does where it sees damage, if it is none that was ever written.
  private static func sound(_ row: Statement, _ column: Int) throws(SQLiteError) -> Int64 {
    let value = row.integer(at: column)
    guard value.magnitude < 1 << 60 else {
      let words = "\(row.columnName(at: column)) is \(value), which nobody wrote"
      throw SQLiteError(code: corruptRow, message: words, sql: row.sql)
    }
    return value
  }

  /// SQLITE_CORRUPT.
  private static let corruptRow: CInt = 11

  /// The partition's state and the extent of its batches, as the segment behind `connection` holds them.
  ///
  /// - Parameter withProducers: false for who appends nothing: there may be many.
  /// - Throws: also where its numbers are such that nobody wrote them.
  static func load(
    _ connection: Connection, withProducers: Bool = true
  ) throws(SQLiteError) -> (state: PartitionState, extent: ActiveExtent)? {
    let statements = try StateStatements(connection)
    defer { statements.finalize() }
    guard var found = try load(statements) else { return nil }
    if withProducers { found.state.producers = try producers(connection) }
    return found
  }

  /// The same without its producers, for who looks again and again.
  static func load(_ statements: StateStatements) throws(SQLiteError) -> (state: PartitionState, extent: ActiveExtent)? {
    defer { statements.reset() }
    let row = statements.state
    guard try row.step(), let topicID = TopicID(bytes: row.blob(at: 0)) else { return nil }
    var state = PartitionState(
      topicID: topicID,
      topicPartition: TopicPartition(topic: row.text(at: 1) ?? "", partition: Int32(clamping: row.integer(at: 2))),
      baseOffset: try sound(row, 3), generation: try sound(row, 4), logStartOffset: try sound(row, 5),
      leaderEpoch: Int32(clamping: row.integer(at: 6)), commitSequence: try sound(row, 7))
    var extent = ActiveExtent(
      endOffset: state.baseOffset, batchBytes: try sound(row, 8), minTimestamp: row.integer(at: 9),
      firstAppendMilliseconds: row.isNull(at: 10) ? nil : try sound(row, 10))
    let last = statements.lastBatch
    if state.isCoordinator {
      extent.endOffset = state.commitSequence
    } else if try last.step() {
      extent.endOffset = try sound(last, 0) + 1
      extent.maxTimestamp = last.integer(at: 1)
    }
    let epochs = statements.epochs
    while try epochs.step() {
      state.epochs.append(
        EpochStart(epoch: Int32(truncatingIfNeeded: epochs.integer(at: 0)), startOffset: epochs.integer(at: 1)))
    }
    let segments = statements.segments
    while try segments.step() {
      var record = SegmentRecord(
        baseOffset: try sound(segments, 0), endOffset: try sound(segments, 1), generation: try sound(segments, 2),
        batchBytes: try sound(segments, 3), minTimestamp: segments.integer(at: 4), maxTimestamp: segments.integer(at: 5))
      let hash = segments.borrowedBlob(at: 7)
      if hash.count == 8 {
        record.seal = SegmentRecord.Seal(
          fileBytes: try sound(segments, 6), hash: UInt64(bigEndian: hash.loadUnaligned(as: UInt64.self)))
      }
      state.segments.append(record)
    }
    return (state, extent)
  }

  private static func producers(_ connection: Connection) throws(SQLiteError) -> [Int64: ProducerState] {
    var found: [Int64: ProducerState] = [:]
    let producers = try connection.prepare("SELECT producer_id, producer_epoch, last_append_ms, batches FROM producer_state")
    while try producers.step() {
      found[producers.integer(at: 0)] = ProducerState(
        epoch: Int16(truncatingIfNeeded: producers.integer(at: 1)), lastAppendMilliseconds: try sound(producers, 2),
        batches: ProducerState.decodeBatches(producers.borrowedBlob(at: 3)))
    }
    return found
  }
}

/// What reads a segment's state, prepared.
///
/// - Precondition: `finalize` comes before its connection is closed.
struct StateStatements {
  let state: Statement
  let lastBatch: Statement
  let epochs: Statement
  let segments: Statement

  init(_ connection: Connection) throws(SQLiteError) {
    state = try connection.prepare(
      """
      SELECT topic_id, topic, partition, base_offset, generation, log_start_offset, leader_epoch, commit_sequence, batch_bytes,
        min_timestamp, first_append_ms FROM partition_state
      """)
    lastBatch = try connection.prepare(
      "SELECT last_offset, running_max_timestamp FROM record_batch ORDER BY base_offset DESC LIMIT 1")
    epochs = try connection.prepare("SELECT epoch, start_offset FROM leader_epoch ORDER BY epoch")
    segments = try connection.prepare(
      """
      SELECT base_offset, end_offset, generation, batch_bytes, min_timestamp, max_timestamp, file_bytes, file_hash
      FROM segment ORDER BY base_offset
      """)
  }

  /// Ends their read transactions.
  func reset() { for statement in [state, lastBatch, epochs, segments] { statement.reset() } }

  func finalize() { for statement in [state, lastBatch, epochs, segments] { statement.finalize() } }
}
