public import Model
internal import SQLite

/// What an index file is of.
public struct IndexExtent: Hashable, Sendable {
  public var topicID: TopicID
  public var partition: Int32
  public var name: IndexName
  /// The last batch that is covered, with records or without. After a crash the log may have lost it, and have another in its place.
  public var lastBatch: BatchIdentity
  public var batches: Int64
  public var records: Int64

  /// What tells a batch from any other that may come to lie where it lay: what was written after a crash has a later leader epoch.
  public struct BatchIdentity: Hashable, Sendable {
    public var baseOffset: Int64
    public var leaderEpoch: Int32
    public var crc: UInt32

    public init(baseOffset: Int64, leaderEpoch: Int32, crc: UInt32) {
      self.baseOffset = baseOffset
      self.leaderEpoch = leaderEpoch
      self.crc = crc
    }
  }

  static func load(_ connection: Connection) throws(SQLiteError) -> IndexExtent? {
    let row = try connection.prepare(
      """
      SELECT topic_id, partition, segment_base, segment_generation, from_offset, to_offset, last_batch_offset, last_batch_epoch,
        last_batch_crc, batches, records FROM extent
      """)
    guard try row.step(), let topicID = TopicID(bytes: row.blob(at: 0)) else { return nil }
    return IndexExtent(
      topicID: topicID, partition: Int32(truncatingIfNeeded: row.integer(at: 1)),
      name: IndexName(
        segmentBase: row.integer(at: 2), generation: row.integer(at: 3), from: row.integer(at: 4), to: row.integer(at: 5)),
      lastBatch: BatchIdentity(
        baseOffset: row.integer(at: 6), leaderEpoch: Int32(truncatingIfNeeded: row.integer(at: 7)),
        crc: UInt32(truncatingIfNeeded: row.integer(at: 8))),
      batches: row.integer(at: 9), records: row.integer(at: 10))
  }

  func store(_ connection: Connection) throws(SQLiteError) {
    let row = try connection.prepare("INSERT INTO extent VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
    row.bind(topicID.bytes, at: 1)
    let numbers = [
      Int64(partition), name.segmentBase, name.generation, name.from, name.to, lastBatch.baseOffset,
      Int64(lastBatch.leaderEpoch), Int64(lastBatch.crc), batches, records,
    ]
    for (index, number) in numbers.enumerated() { row.bind(number, at: index + 2) }
    try row.run()
  }
}
