internal import CSQLite

/// Reads one column of one row at a time, in pieces, straight from the pages: a large value is copied once.
///
/// Holds a read transaction of its connection while it is open.
public final class Blob {
  private let handle: OpaquePointer
  private let connection: Connection

  /// - Throws: when the row does not exist or the column holds no blob or text.
  public init(_ connection: Connection, table: String, column: String, row: Int64) throws(SQLiteError) {
    var opened: OpaquePointer?
    let code = sqlite3_blob_open(connection.handle, "main", table, column, row, 0, &opened)
    guard code == SQLITE_OK, let opened else { throw connection.error(code) }
    handle = opened
    self.connection = connection
  }

  deinit { sqlite3_blob_close(handle) }

  /// Goes to another row of the same table and column.
  ///
  /// - Throws: when there is none; the blob is then of no more use.
  public func move(toRow row: Int64) throws(SQLiteError) {
    let code = sqlite3_blob_reopen(handle, row)
    if code != SQLITE_OK { throw connection.error(code) }
  }

  public var byteCount: Int { Int(sqlite3_blob_bytes(handle)) }

  /// Fills `target` with the bytes from `offset` on.
  public func read(into target: UnsafeMutableRawBufferPointer, from offset: Int = 0) throws(SQLiteError) {
    guard let start = target.baseAddress, target.count > 0 else { return }
    let code = sqlite3_blob_read(handle, start, CInt(target.count), CInt(offset))
    if code != SQLITE_OK { throw connection.error(code) }
  }
}
