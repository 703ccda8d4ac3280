internal import Bytes
public import Coordination
internal import Model
internal import SQLite
internal import Synchronization

/// Consumer groups and committed offsets on disk: a fixed number of SQLite databases, a group in the one its id hashes to.
///
/// A commit is on disk when `apply` returns: these connections run with `synchronous=FULL`, so that SQLite itself syncs the WAL with
/// each commit, and they checkpoint by themselves, since each has exactly one user, the coordinator's thread.
public final class CoordinatorStore: CoordinatorPersistence {
  private let shards: Mutex<Shards>

  // Safe because: connections are used under the mutex only.
  private struct Shards: @unchecked Sendable { var all: [CoordinatorShard] }

  /// Opens or creates `coordinator/0.db` and its siblings under the data directory; durable on return.
  ///
  /// - Throws: a database that is foreign, newer, or cannot be read; nothing is left open.
  public init(dataDirectory: String, shardCount: Int) throws(StorageError) {
    let directory = "\(dataDirectory)/coordinator"
    try FileSystem.makeDirectory(directory)
    var all: [CoordinatorShard] = []
    for number in 0..<shardCount { all.append(try CoordinatorShard(path: "\(directory)/\(number).db")) }
    try FileSystem.syncDirectory(directory)
    shards = Mutex(Shards(all: all))
  }

  public func load() throws -> [StoredGroup] {
    try shards.withLock { shards in
      var groups: [StoredGroup] = []
      for shard in shards.all { groups += try storage { () throws(SQLiteError) in try shard.load() } }
      return groups
    }
  }

  /// A shard that fails does not keep the others from committing.
  public func apply(_ changes: [GroupChanges]) throws(UnappliedChanges) {
    let unapplied: UnappliedChanges? = shards.withLock { shards in
      var byShard: [Int: [GroupChanges]] = [:]
      for change in changes { byShard[Self.shard(of: change.groupID, among: shards.all.count), default: []].append(change) }
      var unapplied: UnappliedChanges?
      for (number, changes) in byShard.sorted(by: { $0.key < $1.key }) {
        do throws(StorageError) { try shards.all[number].apply(changes) } catch {
          if unapplied == nil { unapplied = UnappliedChanges(groupIDs: [], cause: error) }
          unapplied?.groupIDs.formUnion(changes.map(\.groupID))
        }
      }
      return unapplied
    }
    if let unapplied { throw unapplied }
  }

  /// Checkpoints and closes every shard.
  public func close() throws(StorageError) {
    let all = shards.withLock { shards in
      let all = shards.all
      shards.all = []
      return Shards(all: all)
    }
    for shard in all.all { shard.close() }
  }

  /// The shard of a group: CRC32C of its id, so that it is the same in every process.
  static func shard(of groupID: String, among count: Int) -> Int {
    var id = groupID
    return id.withUTF8 { Int(CRC32C.checksum(UnsafeRawBufferPointer($0)) % UInt32(count)) }
  }
}

/// One database of the coordinator.
final class CoordinatorShard {
  private let connection: Connection
  private let putOffset: Statement
  private let deleteOffset: Statement
  /// Set once a commit failed in a way that leaves the WAL in doubt; nothing is written after it until the next start.
  private var failure: StorageError?

  init(path: String) throws(StorageError) {
    do throws(SQLiteError) {
      connection = try Connection(path: path, mode: .create)
      try connection.execute("PRAGMA journal_mode=WAL")
      try connection.execute("PRAGMA synchronous=FULL")
    } catch { throw .sqlite(error) }
    do throws(MigrationError) { try Migrator.apply(.coordinator, to: connection) } catch { throw .migration(error) }
    try WALRenewal.renew(connection)
    connection.setAutomaticCheckpoint(pages: 1000)
    do throws(SQLiteError) {
      putOffset = try connection.prepare(
        "INSERT OR REPLACE INTO committed_offset VALUES (?, ?, ?, ?, ?, ?, ?, ?)", isPersistent: true)
      deleteOffset = try connection.prepare(
        "DELETE FROM committed_offset WHERE group_id = ? AND topic = ? AND partition = ?", isPersistent: true)
    } catch { throw .sqlite(error) }
  }

  /// One transaction, on disk on return.
  ///
  /// - Throws: nothing of `changes` was made; after a failed sync nothing can be written until the node starts again.
  func apply(_ changes: [GroupChanges]) throws(StorageError) {
    if let failure { throw failure }
    do throws(SQLiteError) {
      try connection.transaction { () throws(SQLiteError) in
        for group in changes {
          for change in group.changes { try apply(change, to: group.groupID) }
        }
      }
    } catch {
      let thrown = StorageError.sqlite(error)
      if error.isSyncFailure { failure = thrown }
      throw thrown
    }
  }

  private func apply(_ change: GroupChange, to groupID: String) throws(SQLiteError) {
    switch change {
    case .groupPut(let snapshot):
      try deleteGroup(groupID)
      try insert(snapshot, groupID)
    case .groupDeleted:
      try deleteGroup(groupID)
      try run("DELETE FROM committed_offset WHERE group_id = ?", groupID)
    case .offsetCommitted(let partition, let offset):
      putOffset.bind(groupID, at: 1)
      putOffset.bind(partition.topic, at: 2)
      putOffset.bind(Int64(partition.partition), at: 3)
      putOffset.bind(offset.offset, at: 4)
      putOffset.bind(Int64(offset.leaderEpoch), at: 5)
      putOffset.bind(offset.metadata, at: 6)
      putOffset.bind(offset.commitTimestamp, at: 7)
      if let expire = offset.expireTimestamp { putOffset.bind(expire, at: 8) } else { putOffset.bindNull(at: 8) }
      try putOffset.run()
    case .offsetDeleted(let partition):
      deleteOffset.bind(groupID, at: 1)
      deleteOffset.bind(partition.topic, at: 2)
      deleteOffset.bind(Int64(partition.partition), at: 3)
      try deleteOffset.run()
    }
  }

  private func deleteGroup(_ groupID: String) throws(SQLiteError) {
    for table in ["consumer_group", "group_member", "group_member_protocol"] {
      try run("DELETE FROM \(table) WHERE group_id = ?", groupID)
    }
  }

  private func run(_ sql: String, _ groupID: String) throws(SQLiteError) {
    let statement = try connection.prepare(sql)
    statement.bind(groupID, at: 1)
    try statement.run()
  }

  private func insert(_ group: GroupSnapshot, _ groupID: String) throws(SQLiteError) {
    let put = try connection.prepare("INSERT INTO consumer_group VALUES (?, ?, ?, ?, ?, ?)")
    put.bind(groupID, at: 1)
    put.bind(group.protocolType, at: 2)
    put.bind(group.protocolName, at: 3)
    put.bind(Int64(group.generationID), at: 4)
    put.bind(group.leaderID, at: 5)
    put.bind(group.stateTimestamp, at: 6)
    try put.run()
    let putMember = try connection.prepare("INSERT INTO group_member VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
    let putProtocol = try connection.prepare("INSERT INTO group_member_protocol VALUES (?, ?, ?, ?, ?)")
    for (position, member) in group.members.enumerated() {
      putMember.bind(groupID, at: 1)
      putMember.bind(Int64(position), at: 2)
      putMember.bind(member.identity.memberID, at: 3)
      putMember.bind(member.identity.instanceID, at: 4)
      putMember.bind(member.clientID, at: 5)
      putMember.bind(member.clientHost, at: 6)
      putMember.bind(Int64(member.sessionTimeoutMilliseconds), at: 7)
      putMember.bind(Int64(member.rebalanceTimeoutMilliseconds), at: 8)
      putMember.bind(member.assignment, at: 9)
      try putMember.run()
      for (rank, offered) in member.protocols.enumerated() {
        putProtocol.bind(groupID, at: 1)
        putProtocol.bind(Int64(position), at: 2)
        putProtocol.bind(Int64(rank), at: 3)
        putProtocol.bind(offered.name, at: 4)
        putProtocol.bind(offered.metadata, at: 5)
        try putProtocol.run()
      }
    }
  }

  func load() throws(SQLiteError) -> [StoredGroup] { try CoordinatorTables.load(connection) }

  /// Copies the WAL into the file; the next start finds nothing to recover.
  func close() {
    _ = try? connection.checkpoint(.truncate)
    // Closing then removes the -wal.
    connection.setCheckpointOnClose(true)
  }
}
