internal import SQLite

/// What a log's database is: a segment, or a shard of the coordinator, which has a segment's tables beside its own.
enum LogSchema {
  /// - Throws: it is neither, or a newer Quire wrote it.
  static func verify(_ connection: Connection) throws(StorageError) {
    let id = try storage { () throws(SQLiteError) in try connection.integer("PRAGMA application_id") }
    let isCoordinator = id == Int64(DatabaseFamily.coordinator.applicationID)
    let version: Int
    do throws(MigrationError) {
      version = try Migrator.verify(isCoordinator ? .coordinator : .segment, of: connection)
    } catch { throw .migration(error) }
    // The first version had no log's tables.
    guard !isCoordinator || version > 1 else {
      throw .migration(
        .foreign(file: connection.path, applicationID: DatabaseFamily.coordinator.applicationID, family: .segment))
    }
  }
}
