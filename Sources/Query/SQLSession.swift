public import Model
internal import SQLite

/// SQL over one cut of history: every topic is a table. The cut of a topic is taken when a statement first reads it, together with
/// those of all topics that statement names.
///
/// Read-only by construction: its database is empty and in memory, it can open no file but counted temporary ones, the authorizer
/// lets nothing pass but SELECT, and tables of topics have no way to be written. Used by one thread at a time, which blocks; only
/// `control` may be used from others.
public final class SQLSession {
  let context: ScanContext
  let limits: SQLLimits
  let cuts: TopicCuts
  private let temporary: TemporaryStorage
  let memory: MemoryBudget
  private let connection: Connection
  /// Stops the statement that runs, from any thread; the session stays stopped.
  public let control: ScanControl

  /// What a statement answered with and cost.
  public struct Summary: Sendable, Hashable {
    public var rows = 0
    public var outputBytes = 0
    public var scan = ScanStatistics()
  }

  /// What the scans of the statement that ran last cost, also if it failed.
  public var statistics: ScanStatistics { context.statistics }
  /// What is on disk now for sorts and the like, bytes.
  public var temporaryBytesUsed: Int64 { temporary.bytesUsed }

  /// How many of SQLite's instructions pass between two looks at `control`: some ten microseconds.
  private static let progressSteps = 2000

  /// - Parameter additions: what the door has besides topics.
  /// - Throws: `.unavailable`.
  public init(
    catalog: any HistoryCatalog, limits: SQLLimits, control: ScanControl, additions: SQLAdditions = SQLAdditions()
  ) throws(QueryError) {
    self.limits = limits
    self.control = control
    context = ScanContext(control: control)
    memory = MemoryBudget(bytes: limits.memoryBytes)
    cuts = TopicCuts(catalog)
    do throws(VirtualTableError) {
      temporary = try TemporaryStorage(bytesMax: Int64(limits.temporaryBytes)) { control.isCancelled || control.isLate }
    } catch {
      throw QueryError(.unavailable, error.message)
    }
    do throws(SQLiteError) {
      connection = try Connection(path: ":memory:", mode: .create, vfs: temporary.vfsName)
      try connection.execute("PRAGMA temp_store=FILE; PRAGMA cache_size=-\(max(1, limits.cacheBytes >> 10))")
      try SQLFunctions.register(on: connection, context: context, valueBytes: limits.valueBytes)
      try Self.registerTopics(
        of: catalog, cuts, taken: Self.takenNames.union(additions.tables.map { $0.name.lowercased() }), on: connection,
        context: context)
      try additions.register(on: connection, context: context)
      // Connected now, because SQLite asks the authorizer about a virtual table's declaration as if somebody created a table.
      _ = try connection.prepare("SELECT 1 FROM json_each('[]'), json_tree('[]')")
    } catch {
      throw QueryError(.unavailable, error.message)
    }
    connection.harden()
    connection.setStatementLimits(
      valueBytes: limits.valueBytes, sqlBytes: Limits.querySQLBytes, columns: Limits.queryColumns,
      expressionDepth: Limits.queryExpressionDepth, compoundSelects: Limits.queryCompoundSelects,
      instructions: Limits.queryInstructions, functionArguments: Limits.queryFunctionArguments,
      likePatternBytes: Limits.queryLikePatternBytes, parameters: Limits.queryParameters)
    let context = self.context
    connection.setAuthorizer { Self.permits($0, context) }
    connection.setProgressHandler(steps: Self.progressSteps) { control.isCancelled || control.isLate }
  }

  /// Over a cut that was taken already.
  ///
  /// - Parameter columns: what is declared for each topic.
  public convenience init(
    source: any HistorySource, columns: [String: [DeclaredColumn]] = [:], limits: SQLLimits, control: ScanControl
  ) throws(QueryError) {
    try self.init(catalog: CutCatalog(source: source, declared: columns), limits: limits, control: control)
  }

  deinit {
    // Before its VFS goes.
    connection.close()
  }

  /// Runs one statement and hands its rows to `writer`.
  ///
  /// - Parameter parameters: by name, without the `:`, `@` or `$` of the statement; every parameter of it needs one, and no others.
  /// - Throws: rows that were written stay written; `writer.end` is called only where all rows were.
  public func run(
    _ sql: String, parameters: [String: SQLParameter], into writer: some RowWriter
  ) throws(QueryError) -> Summary {
    memory.restart()
    return try memory.spend { () throws(QueryError) in try runWithinMemory(sql, parameters: parameters, into: writer) }
  }

  private func runWithinMemory(
    _ sql: String, parameters: [String: SQLParameter], into writer: some RowWriter
  ) throws(QueryError) -> Summary {
    context.statistics = ScanStatistics()
    context.failure = nil
    context.refusal = nil
    control.restart(time: limits.time)
    writer.output.bytesMax = limits.outputBytes
    let statement = try prepare(sql)
    try Self.bind(parameters, to: statement)
    var summary = Summary()
    let row = ResultRow(statement)
    // The first row is computed before anything is written, so that most failures leave no output at all.
    var hasRow = try step(statement)
    let columns = (0..<statement.columnCount).map { statement.columnName(at: $0) }
    do {
      try writer.begin(columns: columns)
      while hasRow {
        try writer.write(row)
        try writer.output.flushIfFull()
        summary.rows += 1
        control.progress.note(rows: summary.rows, outputBytes: writer.output.bytesWritten)
        hasRow = try step(statement)
      }
      try writer.end()
      try writer.output.flush()
    } catch let error as QueryError {
      throw error
    } catch {
      throw QueryError(.output, "the rows could not be written: \(error)", cause: error)
    }
    summary.outputBytes = writer.output.bytesWritten
    summary.scan = context.statistics
    return summary
  }

  func step(_ statement: Statement) throws(QueryError) -> Bool {
    do throws(SQLiteError) {
      return try memory.spend { () throws(SQLiteError) in try statement.step() }
    } catch { throw explain(error, position: nil) }
  }

  func prepare(_ sql: String) throws(QueryError) -> Statement {
    let statement = try prepareOnce(sql)
    guard statement.isQueryPlan else { return statement }
    // Whether it asks for the plan SQLite says once it is prepared; plans are described while it is.
    context.explanation = Explanation()
    defer { context.explanation = nil }
    return try prepareOnce(sql)
  }

  private func prepareOnce(_ sql: String) throws(QueryError) -> Statement {
    let statement: Statement
    do throws(SingleStatementError) {
      statement = try memory.spend { () throws(SingleStatementError) in try connection.prepareSingle(sql) }
    } catch {
      switch error {
      case .noStatement: throw QueryError(.sql, "there is no SQL statement")
      case .severalStatements: throw QueryError(.sql, "there is more than one SQL statement; one is run at a time")
      case .containsNUL: throw QueryError(.sql, "the SQL text contains a NUL character")
      case .refused(let error, let position): throw explain(error, position: position)
      }
    }
    // A statement without columns (REINDEX) is none that asks for something.
    guard statement.isReadOnly, statement.columnCount > 0 else {
      throw QueryError(.notPermitted, "only reading is possible here")
    }
    return statement
  }

  static func bind(_ parameters: [String: SQLParameter], to statement: Statement) throws(QueryError) {
    var unused = Set(parameters.keys)
    for index in 1..<(statement.parameterCount + 1) {
      let spelled = statement.parameterName(at: index)
      let name = spelled.map { String($0.dropFirst()) } ?? String(index)
      guard let value = parameters[name] else {
        throw QueryError(.parameter, "parameter \(spelled ?? "?\(index)") has no value")
      }
      unused.remove(name)
      statement.bind(value, at: index)
    }
    if let name = unused.min() { throw QueryError(.parameter, "the statement has no parameter :\(name)") }
  }

  /// SQLite's error as what it means here.
  private func explain(_ error: SQLiteError, position: Int?) -> QueryError {
    if memory.isExhausted {
      return QueryError(.limit(.memory), "the query needs more than its limit of \(limits.memoryBytes) bytes of memory")
    }
    if let failure = context.failure {
      switch failure.reason {
      case .cancelled: return QueryError(.cancelled, "the query was cancelled")
      case .tooSlow: return timeIsOver()
      case .tooLarge: return QueryError(.limit(.valueBytes), failure.message)
      case .damaged, .unavailable: return QueryError(.history, failure.message)
      }
    }
    if control.isCancelled { return QueryError(.cancelled, "the query was cancelled") }
    if error.isInterrupt { return timeIsOver() }
    if error.isDiskFull {
      return temporary.wasExhausted
        ? QueryError(
          .limit(.temporaryBytes), "the query needs more than its limit of \(limits.temporaryBytes) bytes of temporary disk")
        : QueryError(.unavailable, "the disk for temporary files is full")
    }
    if error.isTooBig {
      return QueryError(.limit(.valueBytes), "a text or blob is larger than the limit of \(limits.valueBytes) bytes")
    }
    if error.isOutOfMemory { return QueryError(.unavailable, "out of memory") }
    if error.isAuthorization {
      return QueryError(.notPermitted, "only SELECT is possible here" + (context.refusal.map { ": \($0)" } ?? ""))
    }
    // The database has no name that means something to whoever asks.
    let words = error.message.hasPrefix(":memory:: ") ? String(error.message.dropFirst(10)) : error.message
    return QueryError(.sql, words, position: position)
  }

  private func timeIsOver() -> QueryError {
    let seconds = (control.time ?? limits.time).map { "\($0)" } ?? "its limit"
    return QueryError(.limit(.time), "the query took longer than its limit of \(seconds)")
  }

  /// Functions that reach outside the query.
  private static let forbiddenFunctions: Set<String> = ["load_extension", "fts3_tokenizer", "sqlite_log"]

  private static func permits(_ request: AuthorizerRequest, _ context: ScanContext) -> AuthorizerVerdict {
    // A statement that takes long to understand asks this often, and the progress handler not at all.
    if !context.isDeclaring, context.isOver { return .deny }
    if context.isDeclaring { return .allow }
    switch request.reading {
    case .select, .column, .recursion: return .allow
    case .function(let name):
      if !forbiddenFunctions.contains(name.lowercased()) { return .allow }
      context.refusal = "the function \(name) is not available"
      return .deny
    case nil:
      context.refusal = "the statement would change or configure something"
      return .deny
    }
  }

  /// Names that belong to SQLite: its modules and its schema tables.
  static let takenNames: Set<String> = {
    let modules = try? Connection(path: ":memory:", mode: .create).moduleNames()
    return Set((modules ?? []).map { $0.lowercased() })
      .union(["hop", "sqlite_schema", "sqlite_master", "sqlite_temp_schema", "sqlite_temp_master"])
  }()

  private static func registerTopics(
    of history: any HistoryCatalog, _ cuts: TopicCuts, taken: Set<String>, on connection: Connection, context: ScanContext
  ) throws(SQLiteError) {
    let system = history.makeSystemTables { () throws(HistoryError) in try cuts.all() }
    for table in system {
      try connection.registerTable(table.name) { () throws(VirtualTableError) in SystemVirtualTable(table, context) }
    }
    let catalog = TopicCatalog(history.topics, taken: taken.union(system.map { $0.name.lowercased() }))
    for table in catalog.tables {
      try connection.registerTable(table.name) { () throws(VirtualTableError) in
        let size: TopicSize?
        do throws(HistoryError) { size = try cuts.prepare(table.topic) } catch {
          context.failure = error
          throw .failed(error.message)
        }
        guard let size else { throw .failed("the topic \(table.topic) is gone") }
        return TopicTable(
          topic: table.topic, size: size, columns: cuts.columns(of: table.topic), cuts: cuts, context: context)
      }
    }
    for (name, advice) in catalog.ambiguous {
      try connection.registerTable(name) { () throws(VirtualTableError) in throw .failed(advice) }
    }
  }
}
