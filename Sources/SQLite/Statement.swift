internal import CSQLite

/// One prepared statement; bound, stepped, read and reset by the thread that holds its connection.
///
/// Parameters count from 1 and columns from 0, as in SQLite.
public final class Statement {
  public let handle: OpaquePointer
  let connection: Connection
  private var isFinalized = false

  /// - Throws: SQL that SQLite does not understand; also text without a statement.
  init(_ connection: Connection, _ sql: String, isPersistent: Bool) throws(SQLiteError) {
    var prepared: OpaquePointer?
    let code = sqlite3_prepare_v3(
      connection.handle, sql, -1, isPersistent ? UInt32(SQLITE_PREPARE_PERSISTENT) : 0, &prepared, nil)
    guard code == SQLITE_OK else { throw connection.error(code, sql: sql) }
    guard let prepared else { throw SQLiteError(code: SQLITE_MISUSE, message: "there is no statement in the text", sql: sql) }
    handle = prepared
    self.connection = connection
  }

  /// Takes over a statement that was prepared on `connection`.
  init(_ connection: Connection, adopting handle: OpaquePointer) {
    self.handle = handle
    self.connection = connection
  }

  deinit { finalize() }

  /// Lets go of it now, whoever still holds it: the optimizer may release references later than the text says, and its connection
  /// can only be closed without it. Nothing but this may be called afterwards.
  public func finalize() {
    if isFinalized { return }
    isFinalized = true
    sqlite3_finalize(handle)
  }

  public var sql: String { String(cString: sqlite3_sql(handle)) }

  // Parameters

  public func bind(_ value: Int64, at index: Int) { sqlite3_bind_int64(handle, CInt(index), value) }
  public func bind(_ value: Double, at index: Int) { sqlite3_bind_double(handle, CInt(index), value) }
  public func bindNull(at index: Int) { sqlite3_bind_null(handle, CInt(index)) }
  /// Copies `text`.
  public func bind(_ text: String, at index: Int) {
    var text = text
    text.withUTF8 { utf8 in
      // An empty buffer may have no address, and SQLite takes that for NULL.
      let start = utf8.baseAddress.map { UnsafeRawPointer($0) } ?? UnsafeRawPointer(bitPattern: 1)!
      _ = sqlite3_bind_text64(
        handle, CInt(index), start.assumingMemoryBound(to: CChar.self), UInt64(utf8.count), csqlite_transient(),
        UInt8(SQLITE_UTF8))
    }
  }
  public func bind(_ text: String?, at index: Int) {
    if let text { bind(text, at: index) } else { bindNull(at: index) }
  }
  /// Copies `bytes`.
  public func bind(_ bytes: [UInt8], at index: Int) {
    if bytes.isEmpty {
      sqlite3_bind_zeroblob(handle, CInt(index), 0)
    } else {
      bytes.withUnsafeBytes { raw in
        _ = sqlite3_bind_blob64(handle, CInt(index), raw.baseAddress, UInt64(raw.count), csqlite_transient())
      }
    }
  }
  /// Binds bytes that SQLite reads in place.
  ///
  /// - Precondition: they stay where they are, unchanged, until the parameter is bound anew or `clearBindings` ran.
  public func bindStatic(_ bytes: UnsafeRawBufferPointer, at index: Int) {
    sqlite3_bind_blob64(handle, CInt(index), bytes.baseAddress, UInt64(bytes.count), nil)
  }
  /// Binds UTF-8 text that SQLite reads in place, as `bindStatic` does bytes.
  public func bindStatic(text: UnsafeRawBufferPointer, at index: Int) {
    let start = text.baseAddress ?? UnsafeRawPointer(bitPattern: 1)!
    sqlite3_bind_text64(
      handle, CInt(index), start.assumingMemoryBound(to: CChar.self), UInt64(text.count), nil, UInt8(SQLITE_UTF8))
  }
  /// Copies the value.
  public func bind(_ value: ArgumentValue, at index: Int) { sqlite3_bind_value(handle, CInt(index), value.raw) }
  public func clearBindings() { sqlite3_clear_bindings(handle) }
  public var parameterCount: Int { Int(sqlite3_bind_parameter_count(handle)) }
  /// The index of the parameter `name` (with its `:`, `@` or `$`); nil if the statement has none such.
  public func parameterIndex(_ name: String) -> Int? {
    let index = sqlite3_bind_parameter_index(handle, name)
    return index == 0 ? nil : Int(index)
  }
  /// The name of the parameter at `index`; nil for a plain `?`.
  public func parameterName(at index: Int) -> String? {
    sqlite3_bind_parameter_name(handle, CInt(index)).map { String(cString: $0) }
  }

  // Running

  /// - Returns: true when there is a row, false at the end.
  /// - Throws: what SQLite answered; the statement has been reset.
  public func step() throws(SQLiteError) -> Bool {
    let code = sqlite3_step(handle)
    if code == SQLITE_ROW { return true }
    if code == SQLITE_DONE { return false }
    throw failure(code)
  }

  /// Steps a statement to its end, ignoring rows, and resets it.
  public func run() throws(SQLiteError) {
    while true {
      let code = sqlite3_step(handle)
      if code == SQLITE_ROW { continue }
      if code != SQLITE_DONE { throw failure(code) }
      sqlite3_reset(handle)
      return
    }
  }

  /// Makes the statement ready to be stepped again; its parameters stay bound. Ends its read transaction.
  public func reset() { sqlite3_reset(handle) }

  @inline(never) private func failure(_ code: CInt) -> SQLiteError {
    let error = connection.error(code, sql: sql)
    sqlite3_reset(handle)
    return error
  }

  /// It is an EXPLAIN QUERY PLAN.
  public var isQueryPlan: Bool { sqlite3_stmt_isexplain(handle) == 2 }

  /// The statement changes nothing.
  public var isReadOnly: Bool { sqlite3_stmt_readonly(handle) != 0 }

  // Columns of the current row

  public var columnCount: Int { Int(sqlite3_column_count(handle)) }
  public func columnName(at index: Int) -> String { sqlite3_column_name(handle, CInt(index)).map { String(cString: $0) } ?? "" }
  /// The type a column of a table was declared with, where the result column is just that; nil for expressions.
  public func columnDeclaredType(at index: Int) -> String? {
    sqlite3_column_decltype(handle, CInt(index)).map { String(cString: $0) }
  }
  /// SQLITE_INTEGER, SQLITE_FLOAT, SQLITE_TEXT, SQLITE_BLOB or SQLITE_NULL.
  public func columnType(at index: Int) -> CInt { sqlite3_column_type(handle, CInt(index)) }
  public func isNull(at index: Int) -> Bool { columnType(at: index) == SQLITE_NULL }
  public func integer(at index: Int) -> Int64 { sqlite3_column_int64(handle, CInt(index)) }
  public func double(at index: Int) -> Double { sqlite3_column_double(handle, CInt(index)) }
  /// The column as text (bytes that are not UTF-8 are replaced); nil for NULL.
  public func text(at index: Int) -> String? {
    guard let start = sqlite3_column_text(handle, CInt(index)) else { return nil }
    let bytes = UnsafeBufferPointer(start: start, count: Int(sqlite3_column_bytes(handle, CInt(index))))
    return String(decoding: bytes, as: UTF8.self)
  }
  /// The column's bytes where SQLite holds them: valid until the next `step` or `reset`, and until another type is asked of it.
  public func borrowedBlob(at index: Int) -> UnsafeRawBufferPointer {
    let start = sqlite3_column_blob(handle, CInt(index))
    return UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(handle, CInt(index))))
  }
  /// The column's text where SQLite holds it, as long as `borrowedBlob`.
  public func borrowedText(at index: Int) -> UnsafeRawBufferPointer {
    let start = sqlite3_column_text(handle, CInt(index))
    return UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(handle, CInt(index))))
  }
  /// Calls `body` with the column as a value, which it may look at, bind or return.
  public func withValue<R>(at index: Int, _ body: (ArgumentValue) -> R) -> R {
    body(ArgumentValue(raw: sqlite3_column_value(handle, CInt(index))))
  }
  /// A copy of the column's bytes.
  public func blob(at index: Int) -> [UInt8] { [UInt8](borrowedBlob(at: index)) }
}
