public import Model
internal import SQLite

/// What a declared column's expression may be.
public enum ColumnRules {
  /// Functions that reach outside, or that depend on more than their arguments. SQLite itself refuses the others of that kind.
  static let forbiddenFunctions: Set<String> = [
    "load_extension", "fts3_tokenizer", "sqlite_log", "match", "current_date", "current_time", "current_timestamp",
    "sqlite_version", "sqlite_source_id", "sqlite_compileoption_used", "sqlite_compileoption_get", "sqlite_offset",
    "timediff",
  ]

  /// How long one expression may be tried.
  private static let trialTime = Duration.seconds(2)

  /// Nil if every expression of `columns` can be evaluated, else a sentence that says which cannot, and why.
  public static func complaint(about columns: [DeclaredColumn]) -> String? {
    for column in columns {
      guard let definition = column.definition else { continue }
      if let why = complaint(about: column, definition) {
        return "column \(column.name): the expression '\(definition.expression)' is not possible: \(why)"
      }
    }
    return nil
  }

  private static var tooSlow: String { "it takes longer than \(trialTime.components.seconds) s" }

  private static func complaint(about column: DeclaredColumn, _ definition: DeclaredColumn.Definition) -> String? {
    let control = ScanControl()
    control.restart(time: trialTime)
    do {
      _ = try ColumnEvaluation(control: control).compile(column)
      // What SQLite asks of a generated column is what is asked here: no aggregates or windows, and nothing that may change.
      let connection = try Connection(path: ":memory:", mode: .create)
      try TextFunctions.register(on: connection, valueBytes: Limits.columnValueBytesMax)
      try TimeFunctions.register(on: connection)
      try ValueFunctions.register(on: connection)
      try RegexFunction.register(on: connection, control: control)
      try PureDates.register(on: connection)
      // SQLite writes the statement down in another, with each quote doubled.
      ColumnEvaluation.bound(connection, control, sqlBytes: 4 * Limits.columnExpressionBytesMax)
      // The schema is what is tried, in a database of its own: where it is not trusted, SQLite takes JSON's operators for unsafe in it.
      try connection.execute("PRAGMA trusted_schema=ON")
      connection.setAuthorizer { request in
        guard case .function(let name) = request.reading else { return .allow }
        return forbiddenFunctions.contains(name.lowercased()) ? .deny : .allow
      }
      let fixed = TopicColumn.declaration(of: []).replacing(" HIDDEN", with: "")
      try connection.execute(
        fixed.dropLast() + ", \"declared column\" \(definition.type.declaration) AS (\n\(definition.expression)\n) VIRTUAL)")
      // What depends on the present says so when it is computed.
      try connection.execute("INSERT INTO x(topic, partition, offset, timestamp, headers) VALUES ('', 0, 0, 0, '[]')")
      do throws(SQLiteError) { try connection.execute("SELECT * FROM x") } catch {
        if error.message.contains(PureDates.complaint) || error.message.contains("non-deterministic") { return error.message }
        if error.isInterrupt { return tooSlow }
      }
      return nil
    } catch let refusal as ColumnRefusal {
      return refusal.message
    } catch let error as SQLiteError {
      if error.isInterrupt { return tooSlow }
      // The path stands in front.
      let words = error.message.hasPrefix(":memory:: ") ? String(error.message.dropFirst(10)) : error.message
      return words.replacing("generated columns", with: "declared columns")
    } catch { return "\(error)" }
  }
}
