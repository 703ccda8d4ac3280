internal import CSQLite

/// One connection to one database file.
///
/// Opened NOMUTEX: whoever holds it uses it from one thread at a time; only `interrupt` may come from another.
/// It never checkpoints on its own: `wal_autocheckpoint` is 0 and closing does not checkpoint, unless it is asked to.
public final class Connection {
  /// How a database is opened.
  public enum Mode: Sendable {
    /// Created if missing, read and written.
    case create
    /// Must exist; read and written.
    case readWrite
    /// Must exist; only read. Other connections may write.
    case readOnly
    /// Must exist, and nobody will write it any more: no locks, no -shm, no look at a -wal.
    case immutable
  }

  /// SQLite's handle, for calls this binding has no words for.
  public let handle: OpaquePointer
  public let path: String
  /// Somebody else opened it, has functions and tables of his own there, and will close it.
  public let isHosted: Bool
  var isOpen = true
  /// What a hosted connection has that keeps its meaning.
  var taken: TakenNames?
  var walCallback: WALCallback?
  var progressCallback: ProgressCallback?
  var authorizerCallback: AuthorizerCallback?

  /// - Parameter vfs: the name of a registered VFS; nil is the system's.
  /// - Throws: when the file cannot be opened; nothing is left open.
  public init(path: String, mode: Mode, vfs: String? = nil) throws(SQLiteError) {
    SQLiteLibrary.configure()
    var flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
    var name = path
    switch mode {
    case .create: flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
    case .readWrite: flags |= SQLITE_OPEN_READWRITE
    case .readOnly: flags |= SQLITE_OPEN_READONLY
    case .immutable:
      flags |= SQLITE_OPEN_READONLY | SQLITE_OPEN_URI
      name = "file:\(Self.percentEncoded(path))?immutable=1"
    }
    var opened: OpaquePointer?
    let code = sqlite3_open_v2(name, &opened, flags, vfs)
    guard code == SQLITE_OK, let opened else {
      let message = opened.map { String(cString: sqlite3_errmsg($0)) } ?? "out of memory"
      sqlite3_close_v2(opened)
      throw SQLiteError(code: code, message: "\(path): \(message)")
    }
    handle = opened
    self.path = path
    isHosted = false
    _ = csqlite_no_checkpoint_on_close(opened)
    // A misspelt column must be an error, not a string.
    _ = csqlite_set_db_flag(opened, SQLITE_DBCONFIG_DQS_DML, 0)
    _ = csqlite_set_db_flag(opened, SQLITE_DBCONFIG_DQS_DDL, 0)
    sqlite3_wal_autocheckpoint(opened, 0)
  }

  /// A connection of the program that has loaded us, to register functions and tables on; those it has itself stay as they are.
  ///
  /// - Parameter handle: stays the program's, which closes it; whatever is registered is let go of then.
  public init(hosted handle: OpaquePointer) {
    self.handle = handle
    path = ""
    isHosted = true
    isOpen = false
  }

  deinit { if isOpen { sqlite3_close_v2(handle) } }

  /// Closes the connection and every descriptor and lock it holds.
  ///
  /// - Precondition: every statement and blob of it is gone. (SQLite would keep files open behind our back otherwise.)
  public func close() {
    guard isOpen else { return }
    let code = sqlite3_close(handle)
    precondition(code == SQLITE_OK, "\(path) was closed while statements of it are alive")
    isOpen = false
  }

  /// Whether the last connection to close checkpoints and removes the -wal; it does not by default.
  public func setCheckpointOnClose(_ on: Bool) {
    _ = csqlite_set_db_flag(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, on ? 0 : 1)
  }

  /// Runs SQL text of one or more statements and ignores their rows.
  public func execute(_ sql: String) throws(SQLiteError) {
    let code = sqlite3_exec(handle, sql, nil, nil, nil)
    if code != SQLITE_OK { throw error(code, sql: sql) }
  }

  /// - Parameter isPersistent: the statement will be kept and run many times.
  public func prepare(_ sql: String, isPersistent: Bool = false) throws(SQLiteError) -> Statement {
    try Statement(self, sql, isPersistent: isPersistent)
  }

  /// The first column of the first row of `sql` as an integer; nil when there is no row, or it is NULL.
  public func integer(_ sql: String) throws(SQLiteError) -> Int64? {
    let statement = try prepare(sql)
    return try statement.step() && !statement.isNull(at: 0) ? statement.integer(at: 0) : nil
  }

  /// The first column of the first row of `sql` as text; nil when there is no row, or it is NULL.
  public func text(_ sql: String) throws(SQLiteError) -> String? {
    let statement = try prepare(sql)
    return try statement.step() ? statement.text(at: 0) : nil
  }

  /// Runs `body` in one transaction, begun IMMEDIATE: committed when it returns, rolled back when it or the commit throws.
  public func transaction<R>(_ body: () throws(SQLiteError) -> R) throws(SQLiteError) -> R {
    try execute("BEGIN IMMEDIATE")
    do throws(SQLiteError) {
      let result = try body()
      try execute("COMMIT")
      return result
    } catch {
      rollback()
      throw error
    }
  }

  /// Ends the open transaction without its changes; does nothing where there is none.
  public func rollback() {
    if isInTransaction { _ = sqlite3_exec(handle, "ROLLBACK", nil, nil, nil) }
  }

  public var isInTransaction: Bool { sqlite3_get_autocommit(handle) == 0 }
  public var lastInsertRowID: Int64 { sqlite3_last_insert_rowid(handle) }
  /// Rows the last INSERT, UPDATE or DELETE touched.
  public var changes: Int { Int(sqlite3_changes64(handle)) }

  /// How long a lock is waited for, in milliseconds; 0 returns SQLITE_BUSY at once. For readers: a lane never waits.
  public func setBusyTimeout(milliseconds: Int) { sqlite3_busy_timeout(handle, CInt(clamping: milliseconds)) }

  /// Gives back the memory of pages that nothing is being read of.
  public func releaseMemory() { sqlite3_exec(handle, "PRAGMA shrink_memory", nil, nil, nil) }

  /// Sets one of SQLite's run-time limits, for example SQLITE_LIMIT_LENGTH.
  public func setLimit(_ limit: CInt, to value: Int) { sqlite3_limit(handle, limit, CInt(clamping: value)) }

  @inline(never) func error(_ code: CInt, sql: String? = nil) -> SQLiteError {
    let extended = sqlite3_extended_errcode(handle)
    let isSame = extended & 0xFF == code & 0xFF
    let words = String(cString: isSame ? sqlite3_errmsg(handle) : sqlite3_errstr(code))
    return SQLiteError(code: isSame ? extended : code, message: isHosted ? words : "\(path): \(words)", sql: sql)
  }

  private static func percentEncoded(_ path: String) -> String {
    var out = ""
    let digits = Array("0123456789ABCDEF")
    for byte in path.utf8 {
      switch byte {
      case UInt8(ascii: "%"), UInt8(ascii: "?"), UInt8(ascii: "#"), 0...0x1F, 0x7F...:
        out.append("%")
        out.append(digits[Int(byte >> 4)])
        out.append(digits[Int(byte & 15)])
      default: out.unicodeScalars.append(Unicode.Scalar(byte))
      }
    }
    return out
  }
}
