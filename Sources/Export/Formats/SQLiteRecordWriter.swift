internal import Model
internal import Query
internal import SQLite

/// Records as rows of a plain SQLite table, with indexes; any tool opens it.
///
///     CREATE TABLE records (topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL, timestamp INTEGER NOT NULL,
///                           time TEXT, key, value, headers TEXT NOT NULL)
///
/// The columns are those that a topic has in SQL: `time` is UTC, keys and values are TEXT if they are UTF-8 without NUL, else BLOB, and
/// NULL where they are null; headers are a JSON array of pairs. Declared columns follow with their types, and an index where they have one.
final class SQLiteRecordWriter: RecordWriter {
  private let schema: ExportSchema
  private var columns: ExportColumns { schema.fixed }
  private let path: String
  private let connection: Connection
  private var insert: Statement?
  private var headers: [UInt8] = []
  private var time = [UInt8](repeating: 0, count: TimeText.byteCount)

  /// Rows go to the file at once, in one transaction until the next checkpoint. Bytes of page cache:
  private static let cacheBytes = 16 << 20

  /// - Parameter path: an empty file, or one that was written up to a checkpoint.
  init(_ schema: ExportSchema, path: String) throws(ExportError) {
    self.schema = schema
    self.path = path
    do throws(SQLiteError) {
      connection = try Connection(path: path, mode: .readWrite)
      // A rollback journal, so that a killed export can be gone on with at its last checkpoint; what is synced when is our caller's.
      try connection.execute(
        "PRAGMA journal_mode=DELETE; PRAGMA synchronous=FULL; PRAGMA cache_size=-\(Self.cacheBytes >> 10); PRAGMA temp_store=FILE"
      )
      try connection.execute("BEGIN IMMEDIATE; CREATE TABLE IF NOT EXISTS records (\(Self.declaration(schema)))")
      let count = Self.names(schema.fixed).count + schema.fields.count
      insert = try connection.prepare(
        "INSERT INTO records VALUES (\(Array(repeating: "?", count: count).joined(separator: ", ")))", isPersistent: true)
    } catch { throw Self.failure(path, error) }
  }

  private static func names(_ columns: ExportColumns) -> [String] {
    columns.list.flatMap { $0 == "timestamp" ? ["timestamp", "time"] : $0 == "timestamp_type" ? [] : [$0] }
  }

  private static func type(_ field: ExportField) -> String {
    switch field.type {
    case .text, .integer, .real, .numeric, .boolean, .blob: field.type.rawValue
    // SQLite would take these words for numbers.
    case .json, .timestamptz: "TEXT"
    }
  }

  private static func declaration(_ schema: ExportSchema) -> String {
    let types = [
      "topic": "TEXT NOT NULL", "partition": "INTEGER NOT NULL", "offset": "INTEGER NOT NULL", "timestamp": "INTEGER NOT NULL",
      "time": "TEXT", "headers": "TEXT NOT NULL",
    ]
    let fixed = names(schema.fixed).map { name in "\(name)\(types[name].map { " \($0)" } ?? "")" }
    return (fixed + schema.fields.map { "\"\($0.name)\" \(type($0))" }).joined(separator: ", ")
  }

  private static func failure(_ path: String, _ error: SQLiteError) -> ExportError {
    .output(path: path, message: error.isDiskFull ? "the disk is full" : error.message)
  }

  func write(_ record: ExportRecord) throws(ExportError) {
    guard let insert else { return }
    var index = 0
    func column(_ column: ExportColumns, _ bind: (Int) -> Void) {
      guard columns.contains(column) else { return }
      index += 1
      bind(index)
    }
    headers.removeAll(keepingCapacity: true)
    if columns.contains(.headers) { HeadersJSON.append(record.headers, to: &headers) }
    let failed: SQLiteError? = headers.withUnsafeBytes { headers in
      time.withUnsafeMutableBytes { time in
        column(.topic) { insert.bind(record.part.topic, at: $0) }
        column(.partition) { insert.bind(Int64(record.part.partition), at: $0) }
        column(.offset) { insert.bind(record.offset, at: $0) }
        column(.timestamp) { insert.bind(record.timestamp, at: $0) }
        column(.timestamp) { at in
          guard TimeText.hasText(record.timestamp) else { return insert.bindNull(at: at) }
          TimeText.write(record.timestamp, to: time)
          insert.bindStatic(text: UnsafeRawBufferPointer(time), at: at)
        }
        column(.key) { Self.bind(record.key, insert, $0) }
        column(.value) { Self.bind(record.value, insert, $0) }
        column(.headers) { insert.bindStatic(text: headers, at: $0) }
        for value in record.values {
          index += 1
          Self.bind(value, insert, index)
        }
        do throws(SQLiteError) { try insert.run() } catch { return error }
        return nil
      }
    }
    if let failed { throw Self.failure(path, failed) }
  }

  private static func bind(_ bytes: UnsafeRawBufferPointer?, _ statement: Statement, _ index: Int) {
    guard let bytes else { return statement.bindNull(at: index) }
    if TextBytes.isSQLText(bytes) {
      statement.bindStatic(text: bytes, at: index)
    } else {
      statement.bindStatic(bytes, at: index)
    }
  }

  private static func bind(_ value: ColumnValue, _ statement: Statement, _ index: Int) {
    switch value {
    case .null: statement.bindNull(at: index)
    case .integer(let value): statement.bind(value, at: index)
    case .real(let value): statement.bind(value, at: index)
    case .text(let bytes): statement.bindStatic(text: bytes, at: index)
    case .blob(let bytes):
      // Without an address an empty one would be NULL.
      if bytes.isEmpty { statement.bind([], at: index) } else { statement.bindStatic(bytes, at: index) }
    }
  }

  var bufferedBytes: Int { 0 }

  func checkpoint() throws(ExportError) -> [UInt8] {
    do throws(SQLiteError) {
      try connection.execute("COMMIT; BEGIN IMMEDIATE")
      let count = try connection.integer("SELECT max(rowid) FROM records") ?? 0
      var state: [UInt8] = []
      state.appendLittleEndian(count)
      return state
    } catch { throw Self.failure(path, error) }
  }

  func resume(_ state: [UInt8], bytes: Int64) throws(ExportError) {
    guard state.count == 8 else { throw .refused("what the interrupted export noted down is damaged") }
    let last = state.withUnsafeBytes { Int64(littleEndian: $0.loadUnaligned(as: Int64.self)) }
    do throws(SQLiteError) {
      if try connection.integer("SELECT coalesce(max(rowid), 0) FROM records") ?? 0 < last {
        throw SQLiteError(code: 1, message: "it has fewer rows than were noted down of it")
      }
      try connection.execute("DELETE FROM records WHERE rowid > \(last)")
    } catch { throw Self.failure(path, error) }
  }

  func finish() throws(ExportError) {
    insert = nil
    var sql = ""
    if columns.isSuperset(of: [.topic, .partition, .offset]) {
      sql += "CREATE UNIQUE INDEX records_position ON records (topic, partition, offset);"
    }
    if columns.contains(.timestamp) { sql += "CREATE INDEX records_timestamp ON records (timestamp);" }
    if columns.contains(.key) { sql += "CREATE INDEX records_key ON records (key);" }
    for field in schema.fields where field.isIndexed {
      sql += "CREATE INDEX \"records_column_\(field.name)\" ON records (\"\(field.name)\");"
    }
    do throws(SQLiteError) { try connection.execute(sql + "COMMIT") } catch { throw Self.failure(path, error) }
    connection.close()
  }
}
