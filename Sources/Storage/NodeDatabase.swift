internal import Glibc
public import Model
public import SQLite
internal import Synchronization

/// `quire.db`: what the node knows besides its records.
///
/// Its commits are durable by SQLite's own sync (`synchronous=FULL`); calls are made one after the other.
public final class NodeDatabase: Sendable {
  // Safe because: only touched with the lock of the mutex held.
  private struct State: @unchecked Sendable {
    var connection: Connection?
    var clusterID: String
    /// A sync failed: nothing of this database is promised any more until it is opened anew.
    var failure: String?
  }
  private let state: Mutex<State>
  public var clusterID: String { state.withLock { $0.clusterID } }
  public let nodeID: NodeID
  let closedCleanly: Bool

  /// Opens the database, or creates it where nothing else is, and notes that the node runs.
  ///
  /// - Throws: `.damaged` where it is not what was written, or is gone although there are partitions.
  ///
  /// - Parameter isReplaced: it is known that it is not there.
  init(path: String, nodeID: NodeID, now: Int64, isReplaced: Bool = false) throws(StorageError) {
    let isNew = !FileSystem.exists(path)
    if !isReplaced { try NodeDatabaseDamage.checkPresence(path) }
    let connection: Connection
    do throws(StorageError) {
      connection = try storage { () throws(SQLiteError) in
        let connection = try Connection(path: path, mode: .create)
        try connection.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA mmap_size=0")
        connection.setAutomaticCheckpoint(pages: 1000)
        return connection
      }
      do throws(MigrationError) { try Migrator.apply(.node, to: connection) } catch { throw .migration(error) }
      try NodeDatabaseDamage.checkStructure(connection)
      try WALRenewal.renew(connection)
    } catch { throw NodeDatabaseDamage.explained(error, path) }
    if isNew { try FileSystem.syncDirectory(FileSystem.parent(of: path)) }
    var random = SystemRandomNumberGenerator()
    let newClusterID = TopicID.random { random.next() }.description
    let clusterID: String
    (clusterID, self.nodeID, closedCleanly) = try storage { () throws(SQLiteError) in
      try connection.transaction { () throws(SQLiteError) in
        let insert = try connection.prepare("INSERT OR IGNORE INTO identity VALUES (1, ?, ?, ?)")
        insert.bind(newClusterID, at: 1)
        insert.bind(Int64(nodeID.rawValue), at: 2)
        insert.bind(now, at: 3)
        try insert.run()
        let clean = try connection.integer("SELECT is_clean FROM node_state") == 1
        try connection.execute("UPDATE node_state SET is_clean = 0")
        // The logs went on behind what was written down: until a partition is opened and written down anew, its row says only
        // what readers of the files may see, also after an orderly close of a life that never opened it.
        if !clean { try connection.execute("UPDATE partition_checkpoint SET log_end_offset = -1") }
        return (
          try connection.text("SELECT cluster_id FROM identity") ?? "",
          NodeID(Int32(truncatingIfNeeded: try connection.integer("SELECT node_id FROM identity") ?? 0)), clean
        )
      }
    }
    state = Mutex(State(connection: connection, clusterID: clusterID))
  }

  /// Runs `body` in a transaction of its own, one caller after the other; durable on return. Blocks: not on an event loop.
  ///
  /// - Throws: what `body` or the commit threw; nothing of it was kept. After a failed sync every call fails.
  public func perform<R>(_ body: (Connection) throws(SQLiteError) -> R) throws(StorageError) -> R {
    var outcome: Result<R, StorageError>?
    state.withLock { state in
      guard let connection = state.connection else {
        outcome = .failure(.closed)
        return
      }
      if let failure = state.failure {
        outcome = .failure(.fenced(failure))
        return
      }
      do throws(SQLiteError) {
        outcome = .success(try connection.transaction { () throws(SQLiteError) in try body(connection) })
      } catch {
        if error.isSyncFailure { state.failure = "\(connection.path) could not be synced and takes nothing more: \(error)" }
        outcome = .failure(.sqlite(error))
      }
    }
    return try outcome!.get()
  }

  /// As `perform`, and the node belongs to another cluster from then on: for one that has no records of its own.
  ///
  /// - Parameter clusterID: nil for the one it has.
  public func perform(
    adopting clusterID: String?, _ body: (Connection) throws(SQLiteError) -> Void
  ) throws(StorageError) {
    try perform { connection throws(SQLiteError) in
      try body(connection)
      guard let clusterID else { return }
      let row = try connection.prepare("UPDATE identity SET cluster_id = ?")
      row.bind(clusterID, at: 1)
      try row.run()
    }
    if let clusterID { state.withLock { $0.clusterID = clusterID } }
  }

  /// So many producer ids that were never taken, also not before a crash. Blocks.
  public func takeProducerIDs(count: Int64) throws(StorageError) -> Range<Int64> {
    try perform { connection throws(SQLiteError) in
      let first = try connection.integer("SELECT next_producer_id FROM node_state") ?? 0
      try connection.execute("UPDATE node_state SET next_producer_id = \(first + count)")
      return first..<first + count
    }
  }

  // High-watermark checkpoints

  struct PartitionKey: Hashable, Sendable {
    var topicID: TopicID
    var partition: Int32
  }

  func checkpoints() throws(StorageError) -> [PartitionKey: LogOffsets] {
    try perform { connection throws(SQLiteError) in try Self.checkpoints(connection) }
  }

  static func checkpoints(_ connection: Connection) throws(SQLiteError) -> [PartitionKey: LogOffsets] {
    var found: [PartitionKey: LogOffsets] = [:]
    let rows = try connection.prepare(
      "SELECT topic_id, partition, log_start_offset, high_watermark, log_end_offset FROM partition_checkpoint")
    while try rows.step() {
      guard let id = TopicID(bytes: rows.blob(at: 0)) else { continue }
      found[PartitionKey(topicID: id, partition: Int32(truncatingIfNeeded: rows.integer(at: 1)))] = LogOffsets(
        logStartOffset: Offset(rows.integer(at: 2)), highWatermark: Offset(rows.integer(at: 3)),
        logEndOffset: Offset(rows.integer(at: 4)), leaderEpoch: .zero)
    }
    return found
  }

  /// - Parameter isClean: this is the last word of the node: it closed in order.
  func writeCheckpoints(
    _ changed: [PartitionKey: LogOffsets], removed: [PartitionKey] = [], isClean: Bool = false
  ) throws(StorageError) {
    try perform { connection throws(SQLiteError) in
      let row = try connection.prepare("INSERT OR REPLACE INTO partition_checkpoint VALUES (?,?,?,?,?)")
      for (key, offsets) in changed {
        row.bind(key.topicID.bytes, at: 1)
        row.bind(Int64(key.partition), at: 2)
        row.bind(offsets.logStartOffset.rawValue, at: 3)
        row.bind(offsets.highWatermark.rawValue, at: 4)
        row.bind(offsets.logEndOffset.rawValue, at: 5)
        try row.run()
      }
      let remove = try connection.prepare("DELETE FROM partition_checkpoint WHERE topic_id = ? AND partition = ?")
      for key in removed {
        remove.bind(key.topicID.bytes, at: 1)
        remove.bind(Int64(key.partition), at: 2)
        try remove.run()
      }
      if isClean { try connection.execute("UPDATE node_state SET is_clean = 1") }
    }
  }

  func close() {
    state.withLock { state in
      state.connection?.setCheckpointOnClose(true)
      state.connection?.close()
      state.connection = nil
    }
  }
}
