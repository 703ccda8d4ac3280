import Hummingbird
import Query

/// Why an answer failed, as a client is told it: `{"error":{"code":…,"message":…,"position":…}}`.
struct AnswerFailure: Error, Hashable, Sendable {
  /// For programs; one of `codes`.
  var code: String
  var message: String
  /// The byte of the SQL text that is meant.
  var position: Int?

  /// Every code there is, and what it means.
  static let codes: [(code: String, meaning: String)] = [
    ("request", "the request itself is not understood"),
    ("sql", "the SQL is not understood, or fails on the data"),
    ("not_permitted", "the statement does something else than read"),
    ("parameter", "a parameter is missing or unknown"),
    ("limit", "a limit of time, bytes, disk or memory was hit"),
    ("cancelled", "the statement was cancelled"),
    ("history", "records could not be read: damaged, or gone"),
    ("busy", "too much is running already; try again"),
    ("unavailable", "the node cannot do it now"),
    ("not_found", "there is no such thing"),
    ("abandoned", "nobody wanted the answer any more"),
  ]

  init(_ code: String, _ message: String, position: Int? = nil) {
    self.code = code
    self.message = message
    self.position = position
  }

  init(_ error: any Error) {
    switch error {
    case let failure as AnswerFailure: self = failure
    case let error as QueryError: self.init(Self.code(of: error), error.message, position: error.position)
    case let error as HistoryError: self.init(error.reason == .damaged ? "history" : "unavailable", error.message)
    default: self.init("request", "\(error)")
    }
  }

  private static func code(of error: QueryError) -> String {
    switch error.kind {
    case .sql: "sql"
    case .notPermitted: "not_permitted"
    case .parameter: "parameter"
    case .limit(.concurrency): "busy"
    case .limit: "limit"
    case .cancelled: "cancelled"
    case .history: "history"
    case .output, .unavailable: "unavailable"
    }
  }

  var status: HTTPResponse.Status {
    switch code {
    case "busy", "unavailable": .serviceUnavailable
    case "not_found": .notFound
    case "history": .internalServerError
    default: .badRequest
    }
  }

  /// `{"code":…}`
  var json: String {
    let place = position.map { ",\"position\":\($0)" } ?? ""
    return "{\"code\":\(JSONText.string(code)),\"message\":\(JSONText.string(message))\(place)}"
  }
}
