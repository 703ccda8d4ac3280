internal import CSQLite

/// Called every so many steps of SQLite's machine; true stops the statement.
final class ProgressCallback {
  let body: () -> Bool
  init(_ body: @escaping () -> Bool) { self.body = body }
}

/// One thing a statement wants to do, as SQLite's authorizer names it (SQLITE_READ, SQLITE_INSERT, …).
public struct AuthorizerRequest: Sendable {
  public var action: CInt
  /// The two details SQLite gives for `action`: for SQLITE_READ the table and the column.
  public var first: String?
  public var second: String?
  public var database: String?
  /// The trigger or view that asks, if one does.
  public var trigger: String?
}

public enum AuthorizerVerdict: Sendable {
  case allow, deny, ignore
  var code: CInt {
    switch self {
    case .allow: SQLITE_OK
    case .deny: SQLITE_DENY
    case .ignore: SQLITE_IGNORE
    }
  }
}

final class AuthorizerCallback {
  let body: (AuthorizerRequest) -> AuthorizerVerdict
  init(_ body: @escaping (AuthorizerRequest) -> AuthorizerVerdict) { self.body = body }
}

extension Connection {
  /// Stops whatever the connection is doing; the one call that may come from any thread while it is open.
  public func interrupt() { sqlite3_interrupt(handle) }

  /// Calls `body` about every `steps` instructions; when it returns true the statement ends with SQLITE_INTERRUPT.
  public func setProgressHandler(steps: Int, _ body: (() -> Bool)?) {
    guard let body else {
      sqlite3_progress_handler(handle, 0, nil, nil)
      progressCallback = nil
      return
    }
    let callback = ProgressCallback(body)
    progressCallback = callback
    sqlite3_progress_handler(
      handle, CInt(clamping: steps),
      { context in Unmanaged<ProgressCallback>.fromOpaque(context!)._withUnsafeGuaranteedRef { $0.body() ? 1 : 0 } },
      Unmanaged.passUnretained(callback).toOpaque())
  }

  /// Asks `body` about each action of each statement while it is prepared; nil removes the question.
  public func setAuthorizer(_ body: ((AuthorizerRequest) -> AuthorizerVerdict)?) {
    guard let body else {
      sqlite3_set_authorizer(handle, nil, nil)
      authorizerCallback = nil
      return
    }
    let callback = AuthorizerCallback(body)
    authorizerCallback = callback
    sqlite3_set_authorizer(
      handle,
      { context, action, first, second, database, trigger in
        Unmanaged<AuthorizerCallback>.fromOpaque(context!)._withUnsafeGuaranteedRef {
          $0.body(
            AuthorizerRequest(
              action: action, first: first.map { String(cString: $0) }, second: second.map { String(cString: $0) },
              database: database.map { String(cString: $0) }, trigger: trigger.map { String(cString: $0) })
          ).code
        }
      }, Unmanaged.passUnretained(callback).toOpaque())
  }
}
