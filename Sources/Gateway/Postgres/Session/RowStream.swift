import Model
import NIOCore
import Query

/// The rows of one statement on their way to a client: stepped for as long as they are wanted, each value as the type its column
/// was said to have.
final class RowStream {
  struct MisfitInColumn: Error {
    var column: Int
    var misfit: Misfit
  }

  enum Stop {
    /// There are no more rows.
    case end
    /// As many as were asked for were written.
    case rowsMax
    /// The buffer is full; there is more to do.
    case bufferFull
  }

  enum Form {
    case rows([ValueFormat])
    case copy(CopyFormat)
    /// Rows are passed over.
    case skipped
  }

  private let query: PreparedQuery
  let columns: [ResultColumn]
  /// The first row was looked at for its types, and not written yet.
  private var hasRow: Bool
  private var isAtEnd: Bool
  /// Of the row that was stepped to, from 1.
  private var rowNumber: Int

  /// - Parameters:
  ///   - query: with its parameters bound.
  ///   - known: what is known of each column without looking at a row.
  init(_ query: PreparedQuery, names: [String], known: [PostgresType?]) throws(QueryError) {
    self.query = query
    var types = known
    hasRow = false
    isAtEnd = false
    rowNumber = 0
    if known.contains(nil) {
      hasRow = try query.step()
      isAtEnd = !hasRow
      rowNumber = hasRow ? 1 : 0
      for index in types.indices where types[index] == nil {
        types[index] = hasRow ? query.withRow { row in PostgresType(firstValue: row, index) } : .text
      }
    }
    columns = zip(names, types).map { ResultColumn(name: $0, type: $1 ?? .text) }
  }

  /// Writes rows until there are no more, `rowsMax` were written (0: without bound), or `out` is full.
  ///
  /// - Parameter rowsWritten: counted up for each row, also one that is passed over.
  func write(
    _ form: Form, rowsMax: Int, rowsWritten: inout Int, into out: inout ByteBuffer
  ) throws -> Stop {
    while true {
      if isAtEnd { return .end }
      if rowsMax > 0, rowsWritten >= rowsMax { return .rowsMax }
      if out.readableBytes >= Limits.postgresSliceBytes { return .bufferFull }
      if !hasRow {
        guard try query.step() else {
          isAtEnd = true
          return .end
        }
        rowNumber += 1
      }
      hasRow = false
      if case .skipped = form {
        rowsWritten += 1
        continue
      }
      let start = out.writerIndex
      do throws(MisfitInColumn) {
        try query.withRow { (row) throws(MisfitInColumn) in try write(row, form, into: &out) }
      } catch {
        out.moveWriterIndex(to: start)
        throw explain(error)
      }
      rowsWritten += 1
    }
  }

  private func write(_ row: borrowing ResultRow, _ form: Form, into out: inout ByteBuffer) throws(MisfitInColumn) {
    if case .rows = form { out.writeInteger(UInt8(ascii: "D")) } else { out.writeInteger(UInt8(ascii: "d")) }
    let start = out.writerIndex
    out.writeInteger(UInt32(0))
    switch form {
    case .rows(let formats):
      out.writeInteger(UInt16(columns.count))
      for (index, column) in columns.enumerated() {
        do throws(Misfit) {
          try ValueWriter.write(row, index, as: column.type, formats.format(at: index), to: &out)
        } catch { throw MisfitInColumn(column: index, misfit: error) }
      }
    case .copy(let format): try format.write(row, columns, to: &out)
    case .skipped: break
    }
    out.setInteger(UInt32(truncatingIfNeeded: out.writerIndex - start), at: start)
  }

  private func explain(_ error: MisfitInColumn) -> PostgresError {
    let column = columns[error.column]
    return PostgresError(
      .dataException,
      "row \(rowNumber): column \"\(column.name)\" is of type \(column.type.sqlName), and the value is \(error.misfit.found)",
      hint: "The types of a result are fixed before its rows are read; say CAST or :: for values of several types.")
  }
}
