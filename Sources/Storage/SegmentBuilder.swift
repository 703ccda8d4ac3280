internal import Model
internal import SQLite

/// Makes new segment files: complete, durable and in WAL mode before they get their name.
enum SegmentBuilder {
  /// Writes a segment with `state` and whatever `fill` adds, and gives it its name in `directory`.
  ///
  /// Order: write as `.tmp` without any sync, fsync the file, rename, fsync the directory. A crash leaves a `.tmp`, which
  /// recovery removes, or the whole segment.
  ///
  /// - Throws: nothing but the `.tmp` may be left.
  static func build(
    _ state: PartitionState, in directory: String, pageSize: Int, now: Int64,
    fill: (Connection) throws(StorageError) -> Void = { _ in }
  ) throws(StorageError) {
    let name = SegmentName(baseOffset: state.baseOffset, generation: state.generation).fileName
    let path = "\(directory)/\(name)"
    let draft = path + ".tmp"
    try removeDatabase(draft)
    do throws(StorageError) {
      try write(state, to: draft, pageSize: pageSize, now: now, fill: fill)
      try install(draft, as: path)
    } catch {
      try? removeDatabase(draft)
      throw error
    }
    try FileSystem.syncDirectory(directory)
  }

  /// Makes a draft that nobody has open durable, and gives it its name; the directory is the caller's to sync.
  static func install(_ draft: String, as path: String) throws(StorageError) {
    try FileSystem.syncFile(draft)
    // A -wal that a crash left of an earlier file of this name would be replayed into the new one.
    if !FileSystem.exists(path) { try removeDatabase(path) }
    try FileSystem.rename(draft, to: path)
  }

  /// Removes a database file and what SQLite keeps beside it; the database first, so that no crash leaves one without its WAL.
  static func removeDatabase(_ path: String) throws(StorageError) {
    try FileSystem.remove(path)
    try FileSystem.remove(path + "-wal")
    try FileSystem.remove(path + "-shm")
    try FileSystem.remove(path + "-journal")
    try FileSystem.remove(path + KeptSums.ending)
  }

  private static func write(
    _ state: PartitionState, to draft: String, pageSize: Int, now: Int64, fill: (Connection) throws(StorageError) -> Void
  ) throws(StorageError) {
    let connection = try storage { () throws(SQLiteError) in
      let connection = try Connection(path: draft, mode: .create)
      // Nothing of the draft is worth anything before the fsync that follows.
      try connection.execute("PRAGMA page_size=\(pageSize); PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF")
      return connection
    }
    do throws(MigrationError) { try Migrator.apply(state.isCoordinator ? .coordinator : .segment, to: connection) } catch {
      throw .migration(error)
    }
    try storage { () throws(SQLiteError) in
      try connection.execute("BEGIN")
      try insert(state, into: connection, now: now)
    }
    try fill(connection)
    try storage { () throws(SQLiteError) in
      try connection.execute("COMMIT")
      // The last write: two bytes of the header say that the database is in WAL mode.
      try connection.execute("PRAGMA journal_mode=WAL")
    }
    connection.setCheckpointOnClose(true)
    connection.close()
  }

  private static func insert(_ state: PartitionState, into connection: Connection, now: Int64) throws(SQLiteError) {
    let row = try connection.prepare("INSERT INTO partition_state VALUES (1,?,?,?,?,?,?,?,?,?,0,?,NULL)")
    row.bind(state.topicID.bytes, at: 1)
    row.bind(state.topicPartition.topic, at: 2)
    row.bind(Int64(state.topicPartition.partition), at: 3)
    row.bind(state.baseOffset, at: 4)
    row.bind(state.generation, at: 5)
    row.bind(now, at: 6)
    row.bind(state.logStartOffset, at: 7)
    row.bind(Int64(state.leaderEpoch), at: 8)
    row.bind(state.commitSequence, at: 9)
    row.bind(Int64.max, at: 10)
    try row.run()
    let producers = try connection.prepare(SegmentSQL.upsertProducer)
    for (id, producer) in state.producers.sorted(by: { $0.key < $1.key }) {
      producers.bind(id, at: 1)
      producers.bind(Int64(producer.epoch), at: 2)
      producers.bind(producer.lastAppendMilliseconds, at: 3)
      producers.bind(producer.encodedBatches, at: 4)
      try producers.run()
    }
    let epochs = try connection.prepare("INSERT INTO leader_epoch VALUES (?,?)")
    for epoch in state.epochs {
      epochs.bind(Int64(epoch.epoch), at: 1)
      epochs.bind(epoch.startOffset, at: 2)
      try epochs.run()
    }
    let segments = try connection.prepare(SegmentSQL.upsertSegment)
    for segment in state.segments { try SegmentSQL.run(segments, with: segment) }
  }
}
