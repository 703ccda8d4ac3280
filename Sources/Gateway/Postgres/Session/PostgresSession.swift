import Model
import NIOCore
import Query

/// What a connection knows once it is let in, and the work for its messages: statements, portals, the transaction block.
///
/// Works in slices: it answers until there is nothing left to answer or the answer has some length, and then gives its thread back.
/// Blocks while it works.
// Safe because: one slice at a time has it; the channel's handler begins the next when it has the answer of the one before.
final class PostgresSession: @unchecked Sendable {
  enum Progress: Sendable {
    /// All messages are answered.
    case idle
    /// There is more to answer once the client has taken this.
    case more
    /// The client is done.
    case closed
  }

  /// A statement that is giving rows.
  struct Activity {
    enum Purpose { case simple, portal, fetch, copy }
    var rows: RowStream
    var cut: PostgresCut
    var form: RowStream.Form
    var purpose: Purpose
    var tag: String
    var rowsMax: Int
    var rowsWritten = 0
    /// Of the extended protocol, where an error ends all up to the next Sync.
    var isExtended = false
    var portal: Portal?
    var text: QueryText
  }

  typealias QueryText = PostgresStatement.QueryText

  let history: PostgresHistory
  let running: RunningStatement
  let identity: PostgresIdentity
  var settings: PostgresSettings
  var status = TransactionStatus.idle
  /// What the transaction block has read, it reads again.
  var blockCut: PostgresCut?
  var statements: [String: Prepared] = [:]
  var statementBytes = 0
  var portals: [String: Portal] = [:]
  private var queue: [FrontendMessage] = []
  private var queueStart = 0
  /// What is left of a simple query; nil while none is worked on.
  private var script: ArraySlice<PostgresStatement>?
  var activity: Activity?
  private var skipsToSync = false
  /// When a statement began to wait for its client.
  private var heldBackSince: ContinuousClock.Instant?

  init(history: PostgresHistory, settings: PostgresSettings, identity: PostgresIdentity, running: RunningStatement) {
    self.history = history
    self.settings = settings
    self.identity = identity
    self.running = running
  }

  /// The answer to what the start-up packet asked for.
  func greet(into out: inout ByteBuffer) {
    out.writeAuthenticationOk()
    for name in PostgresSettings.reported { out.writeParameterStatus(name, settings.value(name) ?? "") }
    out.writeBackendKey(processID: identity.processID, secret: identity.secret)
    out.writeReadyForQuery(.idle)
  }

  /// Answers messages, the new ones behind those that are left.
  func work(_ messages: [FrontendMessage], into out: inout ByteBuffer) -> Progress {
    queue.append(contentsOf: messages)
    if let since = heldBackSince, let activity {
      // A client that is slow does not spend its statement's time.
      activity.cut.control.extend(by: ContinuousClock.now - since)
    }
    heldBackSince = nil
    while true {
      if activity != nil {
        if !advance(into: &out) {
          heldBackSince = .now
          return .more
        }
        continue
      }
      if out.readableBytes >= Limits.postgresSliceBytes { return .more }
      if script != nil {
        runScript(into: &out)
        continue
      }
      guard queueStart < queue.count else {
        queue.removeAll(keepingCapacity: false)
        queueStart = 0
        return .idle
      }
      let message = queue[queueStart]
      queueStart += 1
      if message == .terminate { return .closed }
      handle(message, into: &out)
    }
  }

  /// Lets go of everything that is open.
  func dispose() {
    activity = nil
    script = nil
    portals = [:]
    blockCut = nil
    statements = [:]
    running.end()
  }

  private func handle(_ message: FrontendMessage, into out: inout ByteBuffer) {
    if skipsToSync, message != .sync {
      if case .query = message {} else { return }
    }
    do throws(PostgresError) {
      switch message {
      case .query(let sql): try begin(sql, into: &out)
      case .parse(let parse): try self.parse(parse, into: &out)
      case .bind(let bind): try self.bind(bind, into: &out)
      case .describe(let subject): try describe(subject, into: &out)
      case .execute(let portal, let rowsMax): try execute(portal, rowsMax: rowsMax, into: &out)
      case .close(let subject): close(subject, into: &out)
      case .sync:
        skipsToSync = false
        if status == .idle { endTransaction() }
        out.writeReadyForQuery(status)
      case .flush, .copyData, .terminate: break
      case .malformed(let malformed): throw PostgresError(malformed.code, malformed.message)
      }
    } catch {
      fail(error, isExtended: message.isExtended, into: &out)
    }
  }

  // The simple protocol

  private func begin(_ sql: String, into out: inout ByteBuffer) throws(PostgresError) {
    skipsToSync = false
    portals[""] = nil
    let statements = try PostgresScript.parse(sql, columnType: PostgresCatalog.columnType)
    if statements.isEmpty { out.writeEmptyQueryResponse() }
    script = statements[...]
  }

  private func runScript(into out: inout ByteBuffer) {
    guard let statement = script?.popFirst() else {
      script = nil
      if status == .idle { endTransaction() }
      return out.writeReadyForQuery(status)
    }
    do throws(PostgresError) {
      try permit(statement)
      try run(statement, into: &out)
    } catch {
      fail(error, isExtended: false, into: &out)
    }
  }

  /// In a block that has failed, nothing but its end is done.
  func permit(_ statement: PostgresStatement) throws(PostgresError) {
    if status == .failed, !statement.isTransactionEnd {
      throw PostgresError(
        .failedTransaction, "current transaction is aborted, commands ignored until end of transaction block")
    }
  }

  /// Goes on with the rows that are under way.
  ///
  /// - Returns: false when the buffer is full.
  private func advance(into out: inout ByteBuffer) -> Bool {
    guard var current = activity else { return true }
    let failure: PostgresError
    do {
      let stop = try current.rows.write(
        current.form, rowsMax: current.rowsMax, rowsWritten: &current.rowsWritten, into: &out)
      activity = current
      switch stop {
      case .bufferFull: return false
      case .rowsMax where current.purpose == .portal: out.writePortalSuspended()
      case .rowsMax, .end: complete(current, into: &out)
      }
      activity = nil
      running.end()
      return true
    } catch let error as PostgresError {
      failure = error
    } catch let error as QueryError {
      failure = PostgresError(error, text: current.text.text, translated: current.text.translated)
    } catch {
      failure = PostgresError(.internalError, "\(error)")
    }
    activity = nil
    fail(failure, isExtended: current.isExtended, into: &out)
    return true
  }

  private func complete(_ activity: Activity, into out: inout ByteBuffer) {
    if activity.purpose == .copy { out.writeCopyDone() }
    // EXPLAIN does not count its rows.
    out.writeCommandComplete(activity.tag == "EXPLAIN" ? activity.tag : "\(activity.tag) \(activity.rowsWritten)")
    if activity.purpose == .portal { activity.portal?.isDone = true }
  }

  private func fail(_ error: PostgresError, isExtended: Bool, into out: inout ByteBuffer) {
    running.end()
    out.writeError(error)
    if status == .inBlock { status = .failed }
    if status == .failed {
      // A block that has failed reads nothing any more.
      portals = [:]
      blockCut = nil
    }
    if isExtended {
      skipsToSync = true
    } else {
      script = nil
      if status == .idle { endTransaction() }
      out.writeReadyForQuery(status)
    }
  }

  /// What was open in the transaction is gone with it.
  func endTransaction() {
    portals = [:]
    blockCut = nil
  }
}

/// How a session is known to others.
struct PostgresIdentity: Sendable {
  var processID: UInt32
  /// Whoever knows it may cancel what the session runs.
  var secret: UInt32
}

extension FrontendMessage {
  fileprivate var isExtended: Bool {
    switch self {
    case .parse, .bind, .describe, .execute, .close: true
    case .malformed(let malformed): malformed.isExtended
    default: false
    }
  }
}
