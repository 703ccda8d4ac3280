internal import Glibc
internal import Logging
internal import Model
internal import SQLite

/// What becomes of a node whose `quire.db` is not what was written there.
enum NodeDatabaseDamage {
  /// - Throws: `.damaged` where the database is gone, or empty, and partitions are there.
  static func checkPresence(_ path: String) throws(StorageError) {
    guard FileSystem.size(of: path) ?? 0 == 0, FileSystem.size(of: path + "-wal") ?? 0 == 0 else { return }
    let topics = FileSystem.parent(of: path) + "/topics"
    guard FileSystem.exists(topics), try FileSystem.list(topics).contains(where: { !$0.hasPrefix(LogStore.gravePrefix) }) else {
      return
    }
    throw damaged(
      path, FileSystem.exists(path) ? "it is empty, and there are partitions" : "it is gone, and there are partitions")
  }

  static func checkStructure(_ connection: Connection) throws(StorageError) {
    let found = try storage { () throws(SQLiteError) in try connection.text("PRAGMA integrity_check(1)") }
    guard found == "ok" else { throw damaged(connection.path, found ?? "its structure cannot be read") }
  }

  /// A failure to open it, as damage where it is that.
  static func explained(_ error: StorageError, _ path: String) -> StorageError {
    switch error {
    case .sqlite(let cause), .migration(.sqlite(let cause)):
      cause.isCorruption ? damaged(path, cause.message) : error
    default: error
    }
  }

  private static func damaged(_ path: String, _ reason: String) -> StorageError {
    .damaged(StorageDamage(file: path, baseOffset: nil, offset: nil, reason: reason))
  }

  /// Opens the database. Where it is damaged, and all that it has is known elsewhere, it is set aside, and the node begins with a new one: as another
  /// data directory, which is in sync nowhere until it has everything again.
  static func open(
    _ path: String, _ options: StoreOptions, now: Int64, _ logger: Logger
  ) throws(StorageError) -> NodeDatabase {
    do throws(StorageError) { return try NodeDatabase(path: path, nodeID: options.nodeID, now: now) } catch {
      guard case .damaged(let damage) = error, options.replacesDamagedNodeDatabase else { throw error }
      var number = 1
      while FileSystem.exists("\(path).damaged-\(number)") { number += 1 }
      let aside = "\(path).damaged-\(number)"
      for ending in ["", "-wal"] where FileSystem.exists(path + ending) {
        try FileSystem.rename(path + ending, to: aside + ending)
      }
      try FileSystem.remove(path + "-shm")
      try FileSystem.syncDirectory(FileSystem.parent(of: path))
      logger.error(
        "the node database is damaged and begins anew; the node's partitions are compared with those of other nodes",
        metadata: ["file": "\(path)", "reason": "\(damage.reason)", "set-aside": "\(aside)"])
      return try NodeDatabase(path: path, nodeID: options.nodeID, now: now, isReplaced: true)
    }
  }
}
