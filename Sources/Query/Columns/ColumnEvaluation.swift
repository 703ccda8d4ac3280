internal import Model
internal import SQLite

/// Where the expressions of declared columns are evaluated: a connection with nothing in it but the record that is asked about, and the
/// functions that always give the same for the same.
///
/// Its limits are its own, not those of the session that asks: an index and every query must agree on each value.
final class ColumnEvaluation {
  private let connection: Connection
  private let slot = RecordSlot()
  /// Columns that the statement under preparation reads, and how many SELECTs it has.
  private let reading = Reading()

  private final class Reading {
    var columns: UInt64 = 0
    var selects = 0
    var refusal: String?
  }

  private static let progressSteps = 2000

  init(control: ScanControl) throws(SQLiteError) {
    connection = try Connection(path: ":memory:", mode: .create)
    try connection.execute("PRAGMA temp_store=MEMORY")
    try TextFunctions.register(on: connection, valueBytes: Limits.columnValueBytesMax)
    try TimeFunctions.register(on: connection)
    try ValueFunctions.register(on: connection)
    try RegexFunction.register(on: connection, control: control)
    try PureDates.register(on: connection)
    let slot = slot
    try connection.registerTable("record") { RecordTable(slot) }
    // Connected before there is an authorizer, who would be asked about its declaration.
    _ = try connection.prepare("SELECT 1 FROM record")
    Self.bound(connection, control)
    let reading = reading
    connection.setAuthorizer { Self.permits($0, reading) }
  }

  /// Sets what an expression may cost.
  static func bound(
    _ connection: Connection, _ control: ScanControl, sqlBytes: Int = 2 * Limits.columnExpressionBytesMax
  ) {
    connection.harden()
    connection.setStatementLimits(
      valueBytes: Limits.columnValueBytesMax, sqlBytes: sqlBytes, columns: 64,
      expressionDepth: Limits.queryExpressionDepth, compoundSelects: 1, instructions: 25_000,
      functionArguments: Limits.queryFunctionArguments, likePatternBytes: Limits.queryLikePatternBytes, parameters: 1)
    connection.setProgressHandler(steps: progressSteps) { control.isCancelled || control.isLate }
  }

  private static func permits(_ request: AuthorizerRequest, _ reading: Reading) -> AuthorizerVerdict {
    switch request.reading {
    case .select:
      reading.selects += 1
      if reading.selects == 1 { return .allow }
      reading.refusal = "it has a subquery"
      return .deny
    case .column(let table):
      guard table == "record" else { return .deny }
      if let index = TopicColumn.names.firstIndex(of: request.second ?? "") { reading.columns |= 1 << UInt64(index) }
      return .allow
    case .function(let name):
      if !ColumnRules.forbiddenFunctions.contains(name.lowercased()) { return .allow }
      reading.refusal = "the function \(name) is not available in it"
      return .deny
    default:
      reading.refusal = "it is no expression"
      return .deny
    }
  }

  /// Makes a declared column ready.
  ///
  /// - Throws: a sentence that says what is wrong with its expression.
  func compile(_ column: DeclaredColumn) throws(ColumnRefusal) -> ColumnExpression {
    guard let definition = column.definition else { throw ColumnRefusal("it has no expression") }
    reading.columns = 0
    reading.selects = 0
    reading.refusal = nil
    let head = "SELECT (\n"
    let statement: Statement
    do throws(SingleStatementError) {
      statement = try connection.prepareSingle("\(head)\(definition.expression)\n) FROM record")
    } catch {
      switch error {
      case .containsNUL: throw ColumnRefusal("it contains a NUL character")
      case .noStatement, .severalStatements: throw ColumnRefusal("it is more than one expression")
      case .refused(let error, let position):
        if let refusal = reading.refusal { throw ColumnRefusal(refusal) }
        let place = position.map { max(0, $0 - head.utf8.count) }
        let isInside = place.map { $0 <= definition.expression.utf8.count } ?? false
        throw ColumnRefusal(error.message + (isInside ? " at byte \(place!)" : ""))
      }
    }
    guard statement.columnCount == 1 else { throw ColumnRefusal("it is more than one expression") }
    guard statement.parameterCount == 0 else { throw ColumnRefusal("it has a parameter") }
    return ColumnExpression(column, definition, statement: statement, inputs: reading.columns, slot: slot)
  }
}

/// Why a column cannot be: a sentence that begins with "it".
struct ColumnRefusal: Error {
  var message: String
  init(_ message: String) { self.message = message }
}
