internal import CSQLite

/// Why SQL text from outside was not prepared.
public enum SingleStatementError: Error, Sendable {
  /// Only white space and comments.
  case noStatement
  case severalStatements
  /// SQLite ends at a NUL and would not see what follows.
  case containsNUL
  /// What SQLite says; `position` is a byte in the text, where it knows one.
  case refused(SQLiteError, position: Int?)
}

extension Connection {
  /// Prepares SQL text that must hold one statement; comments and semicolons may stand around it.
  ///
  /// What follows the statement is parsed too, never run: a second statement is an error, not ignored.
  public func prepareSingle(_ sql: String) throws(SingleStatementError) -> Statement {
    if sql.utf8.contains(0) { throw .containsNUL }
    var text = Array(sql.utf8CString)
    let count = text.count - 1
    var found: OpaquePointer?
    var failure: SingleStatementError?
    text.withUnsafeMutableBufferPointer { text in
      var start = UnsafePointer(text.baseAddress!)
      let end = start + count
      while start < end {
        var prepared: OpaquePointer?
        var tail: UnsafePointer<CChar>?
        let code = sqlite3_prepare_v3(handle, start, -1, 0, &prepared, &tail)
        guard code == SQLITE_OK else {
          // A second statement that is not understood is first of all a second statement.
          if found != nil { return failure = .severalStatements }
          let offset = Int(sqlite3_error_offset(handle))
          let position = offset < 0 ? nil : UnsafePointer(text.baseAddress!).distance(to: start) + offset
          return failure = .refused(plainError(code), position: position)
        }
        if let prepared {
          if found != nil {
            sqlite3_finalize(prepared)
            return failure = .severalStatements
          }
          found = prepared
        }
        guard let tail, tail > start else { return }
        start = tail
      }
    }
    if let failure {
      sqlite3_finalize(found)
      throw failure
    }
    guard let found else { throw .noStatement }
    return Statement(self, adopting: found)
  }

  /// The last error in SQLite's own words, without the database's path: for people who wrote SQL, not for operators.
  func plainError(_ code: CInt) -> SQLiteError {
    let extended = sqlite3_extended_errcode(handle)
    return SQLiteError(
      code: extended & 0xFF == code & 0xFF ? extended : code, message: String(cString: sqlite3_errmsg(handle)))
  }

  /// Lets `name` be a table whose rows come from Swift; it is made when a statement first names it.
  public func registerTable(
    _ name: String, _ make: @escaping () throws(VirtualTableError) -> VirtualTable
  ) throws(SQLiteError) {
    if isTaken(module: name) { return }
    let maker = VirtualTableMaker { (_) throws(VirtualTableError) in try make() }
    let code = VirtualTableModule.register(name, on: handle, maker: maker, isEponymous: true)
    if code != SQLITE_OK { throw error(code) }
  }

  /// Names of the virtual table modules that the library brings (json_each, fts5, …).
  public func moduleNames() throws(SQLiteError) -> [String] {
    let statement = try prepare("SELECT name FROM pragma_module_list")
    var names: [String] = []
    while try statement.step() { names.append(statement.text(at: 0) ?? "") }
    return names
  }

  /// Sets what makes a connection fit for SQL from strangers: nothing in the schema is trusted, nothing in it can be written around,
  /// nothing can be loaded, and no other database can be attached. Who may do what is the authorizer's matter.
  public func harden() {
    _ = csqlite_set_db_flag(handle, SQLITE_DBCONFIG_DEFENSIVE, 1)
    _ = csqlite_set_db_flag(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    _ = csqlite_set_db_flag(handle, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0)
    _ = csqlite_set_db_flag(handle, SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0)
    _ = csqlite_set_db_flag(handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    _ = csqlite_set_db_flag(handle, SQLITE_DBCONFIG_ENABLE_VIEW, 0)
    setLimit(SQLITE_LIMIT_ATTACHED, to: 0)
    setLimit(SQLITE_LIMIT_TRIGGER_DEPTH, to: 0)
    setLimit(SQLITE_LIMIT_WORKER_THREADS, to: 0)
  }

  /// Bounds on one statement, each as SQLite counts it.
  public func setStatementLimits(
    valueBytes: Int, sqlBytes: Int, columns: Int, expressionDepth: Int, compoundSelects: Int, instructions: Int,
    functionArguments: Int, likePatternBytes: Int, parameters: Int
  ) {
    setLimit(SQLITE_LIMIT_LENGTH, to: valueBytes)
    setLimit(SQLITE_LIMIT_SQL_LENGTH, to: sqlBytes)
    setLimit(SQLITE_LIMIT_COLUMN, to: columns)
    setLimit(SQLITE_LIMIT_EXPR_DEPTH, to: expressionDepth)
    setLimit(SQLITE_LIMIT_COMPOUND_SELECT, to: compoundSelects)
    setLimit(SQLITE_LIMIT_VDBE_OP, to: instructions)
    setLimit(SQLITE_LIMIT_FUNCTION_ARG, to: functionArguments)
    setLimit(SQLITE_LIMIT_LIKE_PATTERN_LENGTH, to: likePatternBytes)
    setLimit(SQLITE_LIMIT_VARIABLE_NUMBER, to: parameters)
  }
}

extension AuthorizerRequest {
  /// What a statement that only reads does.
  public enum Reading: Sendable {
    case select
    case column(table: String)
    case function(String)
    case recursion
  }

  /// The request as reading; nil for anything that changes something, or looks at or sets how the connection works.
  public var reading: Reading? {
    switch action {
    case SQLITE_SELECT: .select
    case SQLITE_READ: .column(table: first ?? "")
    case SQLITE_FUNCTION: .function(second ?? "")
    case SQLITE_RECURSIVE: .recursion
    default: nil
    }
  }
}

extension SQLiteError {
  /// A text, blob or row is longer than SQLITE_LIMIT_LENGTH.
  public var isTooBig: Bool { primaryCode == SQLITE_TOOBIG }
  public var isOutOfMemory: Bool { primaryCode == SQLITE_NOMEM }
  /// The authorizer did not permit something.
  public var isAuthorization: Bool { primaryCode == SQLITE_AUTH }
}

/// The type of a value in a result row.
public enum ColumnKind: Sendable { case null, integer, real, text, blob }

extension Statement {
  public func columnKind(at index: Int) -> ColumnKind {
    switch sqlite3_column_type(handle, CInt(index)) {
    case SQLITE_INTEGER: .integer
    case SQLITE_FLOAT: .real
    case SQLITE_TEXT: .text
    case SQLITE_BLOB: .blob
    default: .null
    }
  }
  public var isExplain: Bool { sqlite3_stmt_isexplain(handle) != 0 }
}
