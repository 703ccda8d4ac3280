internal import Model
internal import SQLite

/// A declared column's expression, ready to be asked about one record after the other.
final class ColumnExpression {
  let column: DeclaredColumn
  /// Bits of `TopicColumn` that the expression reads.
  let inputs: UInt64
  private let affinity: Affinity
  private let statement: Statement
  private let slot: RecordSlot

  private enum Affinity { case none, text, numeric, real }

  /// - Parameter definition: that of `column`.
  init(
    _ column: DeclaredColumn, _ definition: DeclaredColumn.Definition, statement: Statement, inputs: UInt64, slot: RecordSlot
  ) {
    self.column = column
    self.statement = statement
    self.inputs = inputs
    self.slot = slot
    affinity =
      switch definition.type {
      case .text, .json, .timestamptz: .text
      case .integer, .numeric, .boolean: .numeric
      case .real: .real
      case .blob: .none
      }
  }

  /// Gives the value for a record: what a column of this type would hold after it was stored there.
  ///
  /// An expression that fails has no value: NULL.
  ///
  /// - Throws: when the query is over, or out of memory.
  func set(
    _ record: some RecordFields, topic: String, partition: Int32, into result: ResultContext
  ) throws(VirtualTableError) {
    guard try step(record, topic: topic, partition: partition) else { return result.setNull() }
    switch conversion {
    case .none: statement.withValue(at: 0) { result.set($0) }
    case .text: result.setText(statement.borrowedText(at: 0))
    case .integer(let value): result.set(value)
    case .real(let value): result.set(value)
    }
  }

  /// Hands `body` the value that `set` would give, borrowed for that call.
  func withValue(
    _ record: some RecordFields, topic: String, partition: Int32, _ body: (ColumnValue) -> Void
  ) throws(VirtualTableError) {
    guard try step(record, topic: topic, partition: partition) else { return body(.null) }
    switch conversion {
    case .none:
      switch statement.columnKind(at: 0) {
      case .null: body(.null)
      case .integer: body(.integer(statement.integer(at: 0)))
      case .real: body(.real(statement.double(at: 0)))
      case .text: body(.text(statement.borrowedText(at: 0)))
      case .blob: body(.blob(statement.borrowedBlob(at: 0)))
      }
    case .text: body(.text(statement.borrowedText(at: 0)))
    case .integer(let value): body(.integer(value))
    case .real(let value): body(.real(value))
    }
  }

  /// What the column's affinity makes of the value that the statement stands on.
  private enum Conversion {
    case none, text
    case integer(Int64)
    case real(Double)
  }

  private var conversion: Conversion {
    switch (affinity, statement.columnKind(at: 0)) {
    case (.text, .integer), (.text, .real): return .text
    case (.numeric, .text), (.real, .text), (.numeric, .real), (.real, .integer):
      return statement.withValue(at: 0) { value in
        value.withNumericAffinity { number in
          switch number.kind {
          case .integer: return affinity == .real ? .real(Double(number.int64)) : .integer(number.int64)
          case .real:
            let real = number.double
            // As SQLite stores it in a column of numbers.
            if affinity == .numeric, let whole = Int64(exactly: real), whole != .min, whole != .max { return .integer(whole) }
            return .real(real)
          default: return .text
          }
        }
      }
    default: return .none
    }
  }

  /// Binds the value for a record, before any affinity.
  ///
  /// - Parameter isWords: only what has words is wanted.
  /// - Returns: how many bytes it has; nil if it is NULL, or has no words: nothing is bound then.
  func bind(
    _ record: some RecordFields, topic: String, partition: Int32, isWords: Bool, to other: Statement, at index: Int
  ) throws(VirtualTableError) -> Int? {
    guard try step(record, topic: topic, partition: partition) else { return nil }
    let kind = statement.columnKind(at: 0)
    if kind == .null || kind == .blob && isWords { return nil }
    return statement.withValue(at: 0) { value in
      other.bind(value, at: index)
      return kind == .text || kind == .blob ? value.withBytes { $0.count } : 8
    }
  }

  /// - Returns: false where the expression fails.
  private func step(_ record: some RecordFields, topic: String, partition: Int32) throws(VirtualTableError) -> Bool {
    slot.record = record
    slot.topic = topic
    slot.partition = partition
    defer { slot.record = nil }
    do throws(SQLiteError) { return try statement.step() } catch {
      if error.isInterrupt { throw .interrupted }
      if error.isOutOfMemory { throw VirtualTableError(code: error.code, message: "out of memory") }
      return false
    }
  }
}
