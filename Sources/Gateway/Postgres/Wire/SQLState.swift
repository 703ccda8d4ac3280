/// The five letters by which Postgres' errors are known to programs.
struct SQLState: Hashable, Sendable {
  var text: String

  init(_ text: String) { self.text = text }

  static let protocolViolation = SQLState("08P01")
  static let featureNotSupported = SQLState("0A000")
  static let dataException = SQLState("22000")
  static let numericOutOfRange = SQLState("22003")
  static let invalidDatetime = SQLState("22007")
  static let characterNotInRepertoire = SQLState("22021")
  static let invalidParameterValue = SQLState("22023")
  static let invalidTextRepresentation = SQLState("22P02")
  static let invalidBinaryRepresentation = SQLState("22P03")
  static let activeTransaction = SQLState("25001")
  static let readOnlyTransaction = SQLState("25006")
  static let noActiveTransaction = SQLState("25P01")
  static let failedTransaction = SQLState("25P02")
  static let invalidStatementName = SQLState("26000")
  static let invalidCursorName = SQLState("34000")
  static let syntaxError = SQLState("42601")
  static let undefinedColumn = SQLState("42703")
  static let undefinedObject = SQLState("42704")
  static let undefinedFunction = SQLState("42883")
  static let undefinedTable = SQLState("42P01")
  static let undefinedParameter = SQLState("42P02")
  static let duplicateCursor = SQLState("42P03")
  static let duplicateStatement = SQLState("42P05")
  static let outOfMemory = SQLState("53200")
  static let diskFull = SQLState("53100")
  static let tooManyConnections = SQLState("53300")
  static let configurationLimit = SQLState("53400")
  static let programLimit = SQLState("54000")
  static let statementTooComplex = SQLState("54001")
  static let objectNotInPrerequisiteState = SQLState("55000")
  static let queryCanceled = SQLState("57014")
  static let adminShutdown = SQLState("57P01")
  static let dataCorrupted = SQLState("XX001")
  static let internalError = SQLState("XX000")
}

/// An error as a client is told it; the connection goes on.
struct PostgresError: Error, Hashable, Sendable {
  var code: SQLState
  var message: String
  var detail: String?
  var hint: String?
  /// Characters into the statement's text, from 1.
  var position: Int?

  init(_ code: SQLState, _ message: String, detail: String? = nil, hint: String? = nil, position: Int? = nil) {
    self.code = code
    self.message = message
    self.detail = detail
    self.hint = hint
    self.position = position
  }
}
