public import Query
import Synchronization

/// What the Postgres door asks of the rooms behind it.
public struct PostgresHistory: Sendable {
  /// Asked on read threads.
  public var catalog: any HistoryCatalog
  public var limits: SQLLimits
  /// Runs work on a thread that may block.
  public var runOnReadThread: @Sendable (@escaping @Sendable () -> Void) -> Void

  public init(
    catalog: any HistoryCatalog, limits: SQLLimits,
    runOnReadThread: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void
  ) {
    self.catalog = catalog
    self.limits = limits
    self.runOnReadThread = runOnReadThread
  }
}

/// The statement that a connection runs now, for whoever wants to stop it. Any thread.
final class RunningStatement: Sendable {
  private struct State {
    var control: ScanControl?
    var isGone = false
  }
  private let state = Mutex(State())

  /// - Returns: false if nobody wants an answer any more.
  func begin(_ control: ScanControl) -> Bool {
    state.withLock { state in
      if !state.isGone { state.control = control }
      return !state.isGone
    }
  }

  func end() { state.withLock { $0.control = nil } }

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

  init(_ history: PostgresHistory, additions: SQLAdditions) throws(QueryError) {
    control = ScanControl()
    session = try SQLSession(catalog: history.catalog, limits: history.limits, control: control, additions: additions)
  }
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
    case .limit: return .programLimit
    case .cancelled: return .queryCanceled
    case .history: return .dataCorrupted
    case .output: return .internalError
    case .unavailable: return .outOfMemory
    }
  }
}
