internal import CSQLite

/// The SQLite library this process is linked with.
public enum SQLiteLibrary {
  public static var version: String { String(cString: sqlite3_libversion()) }

  /// Tells SQLite, once and before its first use, that connections are guarded by their owners and that nobody reads its
  /// memory statistics (both cost a mutex for each allocation), and gives it an allocator that knows budgets. Later calls do nothing.
  ///
  /// A SQLite that is in use already, as that of a program that has loaded us, stays as it is.
  public static func configure() { _ = configured }

  private static let configured: Bool = {
    guard csqlite_config_multithread() == SQLITE_OK else { return false }
    _ = csqlite_config_no_memory_statistics()
    BudgetedMemory.install()
    return sqlite3_initialize() == SQLITE_OK
  }()
}
