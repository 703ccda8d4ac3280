internal import Model
internal import SQLite

/// A statement that is run in steps by whoever wants its rows when it wants them. Used by one thread at a time, that of its session;
/// several of one session may be under way, and see the same cut of the topics they share.
public final class PreparedQuery {
  /// A column of the answer.
  public struct Column: Sendable, Hashable {
    public var name: String
    /// The words a table's column was declared with, where this is one.
    public var declaredType: String?
  }

  private let session: SQLSession
  private let statement: Statement
  public let columns: [Column]
  private var rowCount = 0

  fileprivate init(_ session: SQLSession, _ statement: Statement) {
    self.session = session
    self.statement = statement
    columns = (0..<statement.columnCount).map {
      Column(name: statement.columnName(at: $0), declaredType: statement.columnDeclaredType(at: $0))
    }
  }

  deinit {
    // Before its session, which closes the connection.
    statement.finalize()
  }

  /// The highest number of a parameter.
  public var parameterCount: Int { statement.parameterCount }

  /// Gives parameters their values by number, the first being number 1; those without a value are NULL.
  public func bind(_ values: [SQLParameter]) {
    for (index, value) in values.prefix(statement.parameterCount).enumerated() { statement.bind(value, at: index + 1) }
  }

  /// - Returns: whether there is a row; after false there is none any more.
  public func step() throws(QueryError) -> Bool {
    let hasRow = try session.step(statement)
    if hasRow {
      rowCount += 1
      session.control.progress.note(rows: rowCount, outputBytes: 0)
    }
    return hasRow
  }

  /// Calls `body` with the row that `step` found.
  public func withRow<R, E: Error>(_ body: (borrowing ResultRow) throws(E) -> R) throws(E) -> R {
    return try body(ResultRow(statement))
  }
}

extension SQLSession {
  /// Prepares one statement, to be stepped by the caller.
  public func prepareQuery(_ sql: String) throws(QueryError) -> PreparedQuery {
    context.failure = nil
    context.refusal = nil
    return PreparedQuery(self, try prepare(sql))
  }
}

extension Statement {
  func bind(_ value: SQLParameter, at index: Int) {
    switch value {
    case .null: bindNull(at: index)
    case .integer(let value): bind(value, at: index)
    case .real(let value): bind(value, at: index)
    case .text(let value): bind(value, at: index)
    case .blob(let value): bind(value, at: index)
    }
  }
}
