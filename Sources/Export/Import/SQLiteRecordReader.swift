internal import SQLite

/// Records out of the table `records` of an SQLite file: the columns that a record has, in any order. Behind them may be others, which are
/// not taken.
final class SQLiteRecordReader: RecordReader {
  private static let known = ["topic", "partition", "offset", "timestamp", "time", "key", "value", "headers"]

  private let path: String
  private let connection: Connection
  private let statement: Statement
  private let columns: [String: Int]
  private var row: Int64 = 0
  private let rowCount: Int64
  let leftOut: [String]

  init(_ path: String) throws(ImportError) {
    self.path = path
    do throws(SQLiteError) {
      connection = try Connection(path: path, mode: .readOnly)
      connection.harden()
      let names = try Self.columnNames(connection)
      if names.isEmpty { throw SQLiteError(code: 1, message: "there is no table 'records' in it") }
      let taken = names.prefix { Self.known.contains($0) }
      leftOut = Array(names[taken.count...])
      if leftOut.contains(where: Self.known.contains), let strange = leftOut.first {
        throw SQLiteError(code: 1, message: "the table 'records' has a column '\(strange)', which is none of a record's")
      }
      if !names.contains("value") { throw SQLiteError(code: 1, message: "the table 'records' has no column 'value'") }
      columns = Dictionary(taken.enumerated().map { ($1, $0) }) { a, _ in a }
      rowCount = try connection.integer("SELECT count(*) FROM records") ?? 0
      statement = try connection.prepare(
        "SELECT \(taken.map { "\"\($0)\"" }.joined(separator: ", ")) FROM records ORDER BY rowid")
    } catch { throw ImportError(path: path, message: Self.words(error, path)) }
  }

  private static func columnNames(_ connection: Connection) throws(SQLiteError) -> [String] {
    let statement = try connection.prepare("SELECT name FROM pragma_table_info('records') ORDER BY cid")
    var names: [String] = []
    while try statement.step() { names.append(statement.text(at: 0) ?? "") }
    return names
  }

  private static func words(_ error: SQLiteError, _ path: String) -> String {
    error.message.hasPrefix("\(path): ") ? String(error.message.dropFirst(path.count + 2)) : error.message
  }

  var place: String { "row \(row)" }
  var progress: (done: Int64, all: Int64)? { (row, rowCount) }

  func next() throws(ImportError) -> ImportedRecord? {
    do throws(SQLiteError) {
      guard try statement.step() else { return nil }
    } catch { throw ImportError(path: path, place: place, message: Self.words(error, path)) }
    row += 1
    var record = ImportedRecord()
    record.partition = try integer("partition").map { Int32(clamping: $0) }
    record.timestamp = try integer("timestamp")
    record.key = try bytes("key")
    record.value = try bytes("value")
    if let text = try bytes("headers"), !text.isEmpty {
      do throws(RecordJSON.Failure) {
        guard let json = text.withUnsafeBytes({ try? JSONReader.read($0) }) else {
          throw RecordJSON.Failure(reason: "'headers' are not JSON")
        }
        record.headers = try RecordJSON.headers(json)
      } catch { throw ImportError(path: path, place: place, message: error.reason) }
    }
    return record
  }

  private func integer(_ name: String) throws(ImportError) -> Int64? {
    guard let index = columns[name], !statement.isNull(at: index) else { return nil }
    guard statement.columnKind(at: index) == .integer else {
      throw ImportError(path: path, place: place, message: "'\(name)' is not a whole number")
    }
    return statement.integer(at: index)
  }

  private func bytes(_ name: String) throws(ImportError) -> [UInt8]? {
    guard let index = columns[name] else { return nil }
    switch statement.columnKind(at: index) {
    case .null: return nil
    case .text: return Array(statement.borrowedText(at: index))
    case .blob: return Array(statement.borrowedBlob(at: index))
    case .integer, .real: throw ImportError(path: path, place: place, message: "'\(name)' is a number, not a text or blob")
    }
  }
}
