internal import Coordination
internal import Glibc
internal import Model
internal import Records
internal import SQLite
internal import Synchronization

/// The write connection of one segment, and a descriptor of its -wal for our own fdatasync.
///
/// - Precondition: used by its owner only: the partition's lane, or the folding thread while that seals the segment.
final class SegmentWriter {
  let path: String
  let connection: Connection
  private(set) var walDescriptor: CInt = -1
  private var pageSize = 0
  /// Nil once it is closed.
  private var statements: Statements!

  private struct Statements {
    let begin: Statement
    let commit: Statement
    let insertBatch: Statement
    let updateState: Statement
    let upsertProducer: Statement

    init(_ connection: Connection) throws(SQLiteError) {
      begin = try connection.prepare("BEGIN IMMEDIATE", isPersistent: true)
      commit = try connection.prepare("COMMIT", isPersistent: true)
      insertBatch = try connection.prepare(SegmentSQL.insertBatch, isPersistent: true)
      updateState = try connection.prepare(
        """
        UPDATE partition_state SET log_start_offset=?, leader_epoch=?, commit_sequence=?, batch_bytes=?, min_timestamp=?,
          first_append_ms=?
        """, isPersistent: true)
      upsertProducer = try connection.prepare(SegmentSQL.upsertProducer, isPersistent: true)
    }
  }

  /// Nil until a shard of the coordinator is written to.
  private var coordinatorStatements: CoordinatorStatements?

  /// Frames the WAL holds, and how many of them are in the database file: by the WAL hook and the last checkpoint.
  private var frameCount = 0
  private var checkpointedCount = 0
  /// Bytes of frames in the WALs of all writers of the process, for the metrics.
  static let openWALBytes = Atomic<Int>(0)
  private var countedWALBytes = 0
  /// Bytes of the database file at the last checkpoint.
  private var mainFileBytes = 0

  /// Opens the segment, which lets SQLite recover its WAL.
  ///
  /// Our descriptor is opened behind SQLite's and compared with the path: a -wal that was unlinked meanwhile would accept
  /// every fdatasync and lose the data.
  ///
  /// - Parameter syncsWAL: the -wal may hold commits that were never synced, as after a crash, or whose sync failed; they are
  ///   written anew and synced before this returns.
  /// - Throws: nothing stays open.
  init(path: String, cacheKiB: Int, syncsWAL: Bool) throws(StorageError) {
    self.path = path
    let connection = try storage { () throws(SQLiteError) in
      try Connection(path: path, mode: .readWrite, vfs: GatheringVFS.name)
    }
    try LogSchema.verify(connection)
    self.connection = connection
    let isInWALMode: Bool
    do throws(SQLiteError) {
      try connection.execute(
        """
        PRAGMA \(GatheringVFS.synchronous); PRAGMA mmap_size=0; PRAGMA secure_delete=OFF; PRAGMA temp_store=MEMORY;
        PRAGMA cache_size=-\(cacheKiB); PRAGMA cache_spill=-\(Self.spillKiB); PRAGMA locking_mode=NORMAL
        """)
      isInWALMode = try connection.text("PRAGMA journal_mode") == "wal"
      pageSize = Int(try connection.integer("PRAGMA page_size") ?? 0)
      statements = try Statements(connection)
      // A first read makes SQLite open the WAL.
      _ = try connection.integer("SELECT base_offset FROM partition_state")
    } catch { throw .sqlite(error) }
    guard isInWALMode else { throw .fenced("\(path) is not in WAL mode") }
    // From here on every property has a value, so that `deinit` closes the descriptor, also when this throws: closing it here
    // as well would close a second time, by then perhaps the descriptor of somebody else.
    walDescriptor = open(path + "-wal", O_RDWR | O_CLOEXEC)
    var ours = stat()
    var named = stat()
    guard walDescriptor >= 0, fstat(walDescriptor, &ours) == 0, stat(path + "-wal", &named) == 0 else {
      throw .system(call: "open", path: path + "-wal", number: errno)
    }
    guard ours.st_ino == named.st_ino, ours.st_dev == named.st_dev, ours.st_nlink > 0 else {
      throw .fenced("\(path)-wal was replaced while it was being opened")
    }
    mainFileBytes = FileSystem.size(of: path) ?? 0
    if syncsWAL { try WALRenewal.renew(connection, walDescriptor, path + "-wal") }
    // Also where the -wal was there already: a reader may have made it, and nobody has made its name durable.
    try FileSystem.syncDirectory(FileSystem.parent(of: path))
    // Counts what an earlier life left in the WAL as not checkpointed, so that it is, and the WAL starts over.
    let walFileBytes = Int(ours.st_size)
    frameCount = walFileBytes > Self.walHeaderBytes ? (walFileBytes - Self.walHeaderBytes) / frameBytes : 0
    countWAL(bytes: walBytes)
    let start = Unmanaged.passUnretained(self)
    connection.setWALHook { frames in start._withUnsafeGuaranteedRef { $0.noteFrames(frames) } }
  }

  private static let walHeaderBytes = 32
  /// KiB of pages at which SQLite writes a transaction's pages before its COMMIT, and the headers of their frames twice. Above what a
  /// group of appends takes, so that only single requests that are larger do.
  private static let spillKiB = 4 * Limits.groupCommitBytesMax >> 10
  private var frameBytes: Int { pageSize + 24 }

  deinit {
    if walDescriptor >= 0 { Glibc.close(walDescriptor) }
    countWAL(bytes: 0)
  }

  private func noteFrames(_ frames: Int) {
    // Fewer than before: the WAL has started over.
    if frames <= frameCount { checkpointedCount = 0 }
    frameCount = frames
    countWAL(bytes: walBytes)
  }

  private func countWAL(bytes: Int) {
    Self.openWALBytes.add(bytes - countedWALBytes, ordering: .relaxed)
    countedWALBytes = bytes
  }

  /// Bytes of frames that are in the WAL, and of those that are not in the database file yet.
  var walBytes: Int { frameCount * frameBytes }
  var uncheckpointedBytes: Int { max(0, frameCount - checkpointedCount) * frameBytes }
  var isFullyCheckpointed: Bool { checkpointedCount >= frameCount }
  /// The most bytes the database file can have once the WAL is folded into it.
  var fileBytesMax: Int { mainFileBytes + walBytes }

  // A transaction

  var isInTransaction: Bool { connection.isInTransaction }
  func begin() throws(SQLiteError) { try statements.begin.run() }
  func commit() throws(SQLiteError) { try statements.commit.run() }
  func rollback() { connection.rollback() }

  /// Inserts one batch; `bytes` are read where they lie.
  func insert(
    _ bytes: UnsafeRawBufferPointer, baseOffset: Int64, lastOffset: Int64, runningMax: Int64, minTimestamp: Int64,
    maxTimestamp: Int64, leaderEpoch: Int32, recordCount: Int32
  ) throws(SQLiteError) {
    let row = statements.insertBatch
    row.bind(baseOffset, at: 1)
    row.bind(lastOffset, at: 2)
    row.bind(runningMax, at: 3)
    row.bind(minTimestamp, at: 4)
    row.bind(maxTimestamp, at: 5)
    row.bind(Int64(leaderEpoch), at: 6)
    row.bind(Int64(recordCount), at: 7)
    row.bind(Int64(bytes.count), at: 8)
    row.bindStatic(bytes, at: 9)
    defer { row.bindNull(at: 9) }
    try row.run()
  }

  /// Writes the state that every commit changes.
  func update(_ state: PartitionState, _ extent: ActiveExtent) throws(SQLiteError) {
    let row = statements.updateState
    row.bind(state.logStartOffset, at: 1)
    row.bind(Int64(state.leaderEpoch), at: 2)
    row.bind(state.commitSequence, at: 3)
    row.bind(extent.batchBytes, at: 4)
    row.bind(extent.minTimestamp, at: 5)
    if let first = extent.firstAppendMilliseconds { row.bind(first, at: 6) } else { row.bindNull(at: 6) }
    try row.run()
  }

  func upsert(_ producer: ProducerState, id: Int64) throws(SQLiteError) {
    let row = statements.upsertProducer
    row.bind(id, at: 1)
    row.bind(Int64(producer.epoch), at: 2)
    row.bind(producer.lastAppendMilliseconds, at: 3)
    row.bind(producer.encodedBatches, at: 4)
    try row.run()
  }

  /// Makes changes of groups and offsets, in a shard of the coordinator.
  func apply(_ changes: [GroupChanges]) throws(SQLiteError) {
    if coordinatorStatements == nil { coordinatorStatements = try CoordinatorStatements(connection) }
    for group in changes { try coordinatorStatements!.apply(group.changes, to: group.groupID) }
  }

  func deleteProducers(_ ids: some Collection<Int64>) throws(SQLiteError) {
    let row = try connection.prepare(SegmentSQL.deleteProducer)
    for id in ids {
      row.bind(id, at: 1)
      try row.run()
    }
  }

  func insert(_ epoch: EpochStart) throws(SQLiteError) {
    try connection.execute("INSERT OR REPLACE INTO leader_epoch VALUES (\(epoch.epoch), \(epoch.startOffset))")
  }

  // The WAL

  /// Makes every commit so far durable.
  ///
  /// - Returns: 0, or the error number; then nothing of this WAL may be trusted any more.
  func sync() -> CInt {
    guard connection.flushGatheredWrites() else { return EIO }
    return fdatasync(walDescriptor) == 0 ? 0 : errno
  }

  /// - Precondition: no transaction is open, and every commit is synced.
  /// - Throws: a sync failure too where the file is not what the checkpoint says it is.
  func checkpoint(_ mode: CheckpointMode) throws(SQLiteError) -> CheckpointResult {
    let result = try connection.checkpoint(mode)
    guard connection.flushGatheredWrites() else {
      throw .failedSync("\(path): what a checkpoint copied could not be written")
    }
    if result.walFrames >= 0 {
      frameCount = result.walFrames
      checkpointedCount = result.checkpointedFrames
      mainFileBytes = FileSystem.size(of: path) ?? mainFileBytes
    }
    if mode == .truncate, !result.isBusy {
      frameCount = 0
      checkpointedCount = 0
    }
    countWAL(bytes: walBytes)
    return result
  }

  /// Closes everything: our descriptor of the -wal first.
  ///
  /// - Parameter removesWAL: every frame is in the database file: the -wal goes, if this is the last connection to it.
  func close(removesWAL: Bool) {
    if walDescriptor >= 0 { Glibc.close(walDescriptor) }
    walDescriptor = -1
    countWAL(bytes: 0)
    statements = nil
    coordinatorStatements = nil
    connection.setCheckpointOnClose(removesWAL)
    connection.close()
  }
}
