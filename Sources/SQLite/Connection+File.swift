internal import CSQLite

extension Connection {
  /// Copies bytes of the database file as they lie there, whatever the -wal has in their place; zeros behind its end.
  ///
  /// Through SQLite's own descriptor: closing another one of the file would drop the locks of the process. No lock is taken: whoever
  /// reads like this knows that nobody folds pages into the file meanwhile, or checks what he read.
  public func readDatabaseFile(at offset: Int64, into room: UnsafeMutableRawBufferPointer) throws(SQLiteError) {
    var file: UnsafeMutablePointer<sqlite3_file>?
    var code = sqlite3_file_control(handle, "main", SQLITE_FCNTL_FILE_POINTER, &file)
    guard code == SQLITE_OK, let file, let methods = file.pointee.pMethods else {
      throw SQLiteError(code: code, message: "\(path): SQLite does not lend its file")
    }
    code = methods.pointee.xRead(file, room.baseAddress!, CInt(room.count), offset)
    // A short read fills the rest with zeros.
    if code == ioErrorShortRead { code = SQLITE_OK }
    if code != SQLITE_OK { throw SQLiteError(code: code, message: "\(path): bytes at \(offset) cannot be read") }
  }
}
