internal import Model
internal import Records
internal import SQLite

/// The columns that every topic has as a table, in order; those that are declared for it follow them.
enum TopicColumn: Int, CaseIterable {
  /// SQLite's own: offsets first, then partitions. Tools turn pages by it where a table has no key.
  case rowID = -1
  case topic, partition, offset, timestamp, time, key, value, headers
  case producerID, leaderEpoch, compression, batchOffset

  /// Their names in SQL.
  static let names = [
    "topic", "partition", "offset", "timestamp", "time", "key", "value", "headers", "producer_id", "leader_epoch",
    "compression", "batch_offset",
  ]
  static let count = names.count

  /// The declaration for SQLite. TEXT decides how a column compares; a word before it tells doors more about it. Keys and values have no
  /// type: they are TEXT, BLOB or NULL as their bytes are. Where SQLite knows that a column is never NULL, it takes min() of it from an
  /// ordered scan.
  static func declaration(of declared: [DeclaredColumn]) -> String {
    let columns = declared.compactMap { column in
      column.definition.map { ", \"\(column.name)\" \($0.type.declaration)" }
    }
    return """
      CREATE TABLE x(
        topic TEXT NOT NULL, partition INTEGER NOT NULL, "offset" INTEGER NOT NULL, timestamp INTEGER NOT NULL,
        time TIMESTAMPTZ TEXT, key, value, headers JSON TEXT NOT NULL,
        producer_id INTEGER HIDDEN, leader_epoch INTEGER HIDDEN, compression TEXT HIDDEN, batch_offset INTEGER HIDDEN\
      \(columns.joined()))
      """
  }

  var bit: UInt64 { 1 << UInt64(rawValue) }
  /// Bits of all of them.
  static let all: UInt64 = 1 << UInt64(count) - 1

  /// Columns that only the records themselves can tell; the others follow from the batch and the record's position in it.
  static let insideRecords: UInt64 =
    TopicColumn.timestamp.bit | TopicColumn.time.bit | TopicColumn.key.bit | TopicColumn.value.bit | TopicColumn.headers.bit
  /// Those of them that the batch's row tells where all its records are of one time.
  static let times: UInt64 = TopicColumn.timestamp.bit | TopicColumn.time.bit
  static let contents: UInt64 = TopicColumn.key.bit | TopicColumn.value.bit | TopicColumn.headers.bit
  /// Columns for which a batch's bytes have to be read, though not decompressed.
  static let insideHeader: UInt64 =
    TopicColumn.producerID.bit | TopicColumn.leaderEpoch.bit | TopicColumn.compression.bit

  /// Gives the column of a record.
  @inline(__always)
  func emit(_ record: some RecordFields, topic: String, partition: Int32, into result: ResultContext) {
    switch self {
    // SQLite asks `rowID` for it.
    case .rowID: result.setNull()
    case .topic: result.setText(topic)
    case .partition: result.set(Int64(partition))
    case .offset: result.set(record.offset)
    case .timestamp: result.set(record.timestamp)
    case .time: TimeText.set(record.timestamp, in: result)
    case .key: record.withKey { Self.set($0, in: result) }
    case .value: record.withValue { Self.set($0, in: result) }
    case .headers: record.withHeaders { result.setText($0) }
    case .producerID:
      if let id = record.batchHeader?.producerID, id >= 0 { result.set(id) } else { result.setNull() }
    case .leaderEpoch: result.set(Int64(record.batchHeader?.partitionLeaderEpoch ?? -1))
    case .compression: result.setText(record.batchHeader?.compression.description ?? "none")
    case .batchOffset: result.set(record.batchHeader?.baseOffset ?? -1)
    }
  }

  /// A key or value: TEXT if it is that, else BLOB; null is NULL.
  private static func set(_ bytes: UnsafeRawBufferPointer?, in result: ResultContext) {
    guard let bytes else { return result.setNull() }
    if TextBytes.isSQLText(bytes) { result.setText(bytes) } else { result.setBlob(bytes) }
  }
}
