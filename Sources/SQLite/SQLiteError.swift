internal import CSQLite

// Extended result codes are macros with arithmetic, which Swift does not import.
let ioErrorSync: CInt = SQLITE_IOERR | 4 << 8  // SQLITE_IOERR_FSYNC
let ioErrorDirectorySync: CInt = SQLITE_IOERR | 5 << 8  // SQLITE_IOERR_DIR_FSYNC
let ioErrorShortRead: CInt = SQLITE_IOERR | 2 << 8  // SQLITE_IOERR_SHORT_READ
let ioErrorSharedMemorySize: CInt = SQLITE_IOERR | 19 << 8  // SQLITE_IOERR_SHMSIZE

/// What SQLite refused, with its extended result code.
public struct SQLiteError: Error, Sendable {
  /// SQLite's extended result code, for example SQLITE_IOERR_FSYNC.
  public var code: CInt
  /// SQLite's own words.
  public var message: String
  /// The statement that failed, where there was one.
  public var sql: String?

  public init(code: CInt, message: String, sql: String? = nil) {
    self.code = code
    self.message = message
    self.sql = sql
  }

  /// The code without its extension, for example SQLITE_IOERR.
  public var primaryCode: CInt { code & 0xFF }
  /// Another connection holds a lock that was needed.
  public var isBusy: Bool { primaryCode == SQLITE_BUSY || primaryCode == SQLITE_LOCKED }
  /// There was no room on the disk.
  public var isDiskFull: Bool { primaryCode == SQLITE_FULL || code == ioErrorSharedMemorySize }
  /// The error of a sync that failed, found out by other means.
  public static func failedSync(_ message: String) -> SQLiteError { SQLiteError(code: ioErrorSync, message: message) }

  /// A sync failed: the kernel may have dropped what was written and will not say so again.
  public var isSyncFailure: Bool { code == ioErrorSync || code == ioErrorDirectorySync }
  /// The file's structure is damaged, it is no database, or shorter than it says.
  public var isCorruption: Bool {
    primaryCode == SQLITE_CORRUPT || primaryCode == SQLITE_NOTADB || code == ioErrorShortRead
  }
  /// The statement was stopped by `interrupt` or by the progress handler.
  public var isInterrupt: Bool { primaryCode == SQLITE_INTERRUPT }
}

extension SQLiteError: CustomStringConvertible {
  public var description: String {
    "\(message) (SQLite result code \(code))" + (sql.map { " in: \($0)" } ?? "")
  }
}
