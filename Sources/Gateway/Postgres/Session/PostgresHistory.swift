import Model
public import Query
import Synchronization

/// What the Postgres door asks of the rooms behind it.
public struct PostgresHistory: Sendable {
  /// Asked on read threads.
  public var catalog: any HistoryCatalog
  public var limits: SQLLimits
  /// Where statements are noted while they run.
  public var queries: QueryRegistry
  /// What is open on the whole node.
  let open = OpenCuts()
  /// Runs work on a thread that may block.
  public var runOnReadThread: @Sendable (@escaping @Sendable () -> Void) -> Void

  public init(
    catalog: any HistoryCatalog, limits: SQLLimits, queries: QueryRegistry = QueryRegistry(),
    runOnReadThread: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void
  ) {
    self.catalog = catalog
    self.limits = limits
    self.queries = queries
    self.runOnReadThread = runOnReadThread
  }
}

/// The statement that a connection runs now, for whoever wants to stop it. Any thread.
final class RunningStatement: Sendable {
  private struct State {
    var control: ScanControl?
    var ticket: QueryTicket?
    var isGone = false
  }
  private let state = Mutex(State())

  /// A statement is `control`'s from now on, up to `end`; called again for the same one it goes on.
  ///
  /// - Returns: false if nobody wants an answer any more.
  /// - Throws: `.limit(.concurrency)`; what ran before runs on.
  func begin(_ control: ScanControl, _ sql: String, in queries: QueryRegistry) throws(QueryError) -> Bool {
    let isKnown = state.withLock { $0.control === control && $0.ticket != nil }
    let ticket = isKnown ? nil : try queries.begin(sql: sql, door: "postgres", control: control)
    return state.withLock { state in
      if let ticket { (state.control, state.ticket) = (control, ticket) }
      return !state.isGone
    }
  }

  func end() {
    // Its place goes with the ticket, behind the lock.
    let ticket = state.withLock { state in
      defer { (state.control, state.ticket) = (nil, nil) }
      return state.ticket
    }
    withExtendedLifetime(ticket) {}
  }

  /// Stops what runs; what comes after it is not affected.
  func cancel() { state.withLock { $0.control }?.cancel() }

  /// Stops what runs and all that would.
  func abandon() {
    state.withLock { state in
      state.isGone = true
      return state.control
    }?.cancel()
  }
}

/// SQL over one cut of history, for one statement or for those of one transaction block.
final class PostgresCut {
  let session: SQLSession
  let control: ScanControl
  private let open: OpenCuts

  /// - Throws: also when too many are open on the node.
  init(_ history: PostgresHistory, additions: SQLAdditions) throws(QueryError) {
    open = history.open
    let isAdmitted = open.take()
    control = ScanControl()
    if !isAdmitted {
      open.give()
      throw QueryError(
        .limit(.concurrency),
        "\(Limits.postgresCutsMax) statements, portals and transactions of Postgres clients are open on the node already")
    }
    do throws(QueryError) {
      session = try SQLSession(catalog: history.catalog, limits: history.limits, control: control, additions: additions)
    } catch {
      open.give()
      throw error
    }
  }

  deinit { open.give() }
}

/// How many cuts the connections of a node hold: each pins segments and has a SQLite connection with its page cache.
final class OpenCuts: Sendable {
  private let count = Atomic<Int>(0)

  /// - Returns: false if that is one too many; it is to be given back all the same.
  func take() -> Bool { count.add(1, ordering: .relaxed).newValue <= Limits.postgresCutsMax }
  func give() { count.subtract(1, ordering: .relaxed) }
}

extension PostgresError {
  /// - Parameters:
  ///   - text: what the client sent.
  ///   - translated: what SQLite got.
  init(_ error: QueryError, text: [UInt8]? = nil, translated: TranslatedSQL? = nil) {
    var position: Int?
    if let byte = error.position, let text, let source = translated?.source(of: byte) {
      position = SQLLexer.characters(before: source, in: text) + 1
    }
    // SQLite puts the name of its database in front of what a step says.
    let prefix = ":memory:: "
    var plain = error
    if plain.message.hasPrefix(prefix) { plain.message.removeFirst(prefix.count) }
    self.init(Self.code(of: plain), plain.message, position: position)
  }

  private static func code(of error: QueryError) -> SQLState {
    switch error.kind {
    case .sql:
      let message = error.message
      if message.hasPrefix("no such table") { return .undefinedTable }
      if message.hasPrefix("no such column") { return .undefinedColumn }
      if message.hasPrefix("no such function") || message.hasPrefix("wrong number of arguments") { return .undefinedFunction }
      if message.contains("syntax error") || message.contains("incomplete input") { return .syntaxError }
      if let code = PostgresFunctions.code(of: message) { return code }
      if message.hasPrefix("malformed JSON") { return .invalidTextRepresentation }
      return message.contains("overflow") ? .numericOutOfRange : .syntaxError
    case .notPermitted: return .readOnlyTransaction
    case .parameter: return .undefinedParameter
    case .limit(.time): return .queryCanceled
    case .limit(.temporaryBytes): return .diskFull
    case .limit(.concurrency): return .configurationLimit
    case .limit: return .programLimit
    case .cancelled: return .queryCanceled
    case .history: return .dataCorrupted
    case .output: return .internalError
    case .unavailable: return .outOfMemory
    }
  }
}
