/// The columns of a topic as a table, in order.
enum TopicColumn: Int, CaseIterable {
  /// SQLite's own: offsets first, then partitions. Tools turn pages by it where a table has no key.
  case rowID = -1
  case topic, partition, offset, timestamp, time, key, value, headers
  case producerID, leaderEpoch, compression, batchOffset

  /// The declaration for SQLite. TEXT decides how a column compares; a word before it tells doors more about it. Keys and values have no
  /// type: they are TEXT, BLOB or NULL as their bytes are. Where SQLite knows that a column is never NULL, it takes min() of it from an
  /// ordered scan.
  static let declaration = """
    CREATE TABLE x(
      topic TEXT NOT NULL, partition INTEGER NOT NULL, "offset" INTEGER NOT NULL, timestamp INTEGER NOT NULL,
      time TIMESTAMPTZ TEXT, key, value, headers JSON TEXT NOT NULL,
      producer_id INTEGER HIDDEN, leader_epoch INTEGER HIDDEN, compression TEXT HIDDEN, batch_offset INTEGER HIDDEN)
    """

  var bit: UInt64 { 1 << UInt64(rawValue) }

  /// Columns that only the records themselves can tell; the others follow from the batch and the record's position in it.
  static let insideRecords: UInt64 =
    TopicColumn.timestamp.bit | TopicColumn.time.bit | TopicColumn.key.bit | TopicColumn.value.bit | TopicColumn.headers.bit
  /// Those of them that the batch's row tells where all its records are of one time.
  static let times: UInt64 = TopicColumn.timestamp.bit | TopicColumn.time.bit
  static let contents: UInt64 = TopicColumn.key.bit | TopicColumn.value.bit | TopicColumn.headers.bit
  /// Columns for which a batch's bytes have to be read, though not decompressed.
  static let insideHeader: UInt64 =
    TopicColumn.producerID.bit | TopicColumn.leaderEpoch.bit | TopicColumn.compression.bit
}
