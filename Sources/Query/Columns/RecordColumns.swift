public import Model
internal import SQLite

/// A value of SQL, borrowed: its bytes are valid for the call that it is handed to.
public enum ColumnValue {
  case null
  case integer(Int64)
  case real(Double)
  /// UTF-8, as far as whoever declared the column keeps to it.
  case text(UnsafeRawBufferPointer)
  case blob(UnsafeRawBufferPointer)
}

/// Declared columns of a topic, computed for records outside of SQL: each value is the one that a SELECT of the column has.
///
/// Used by one thread at a time.
public final class RecordColumns {
  private let topic: String
  private let control: ScanControl
  private var expressions: [ColumnExpression] = []

  /// - Parameter columns: those that have a definition.
  /// - Throws: `.unavailable` where one cannot be computed here, naming it.
  public init(_ columns: [DeclaredColumn], of topic: String, control: ScanControl) throws(HistoryError) {
    self.topic = topic
    self.control = control
    if columns.isEmpty { return }
    let evaluation: ColumnEvaluation
    do throws(SQLiteError) { evaluation = try ColumnEvaluation(control: control) } catch {
      throw HistoryError(.unavailable, error.message)
    }
    for column in columns {
      do throws(ColumnRefusal) { expressions.append(try evaluation.compile(column)) } catch {
        try control.check()
        throw HistoryError(.unavailable, "the column \(column.name) of topic \(topic) cannot be computed: \(error.message)")
      }
    }
  }

  /// Hands `body` the value of the column at `index` for the record that the scan stands on.
  public func withValue(
    _ index: Int, of scan: RecordScan, partition: Int32, _ body: (ColumnValue) -> Void
  ) throws(HistoryError) {
    do throws(VirtualTableError) {
      try expressions[index].withValue(scan.scan, topic: topic, partition: partition, body)
    } catch {
      try control.check()
      throw HistoryError(.unavailable, error.message)
    }
  }
}
