internal import Glibc
internal import Model
internal import Query
internal import SQLite
internal import Storage

/// The data directories and segment files that one connection of the host reads.
///
/// Kept by what it registers on the connection, and gone when that closes.
final class Attachments {
  private let connection: Connection
  private let sql: HostedSQL
  private var tables: [String: HostedTables] = [:]
  private var environment: String?

  init(on connection: Connection) {
    self.connection = connection
    let host = HostConnection(connection)
    sql = HostedSQL { host.connection.isInterrupted() }
  }

  /// Registers functions, the module `quire`, and the topics of a data directory that the environment names.
  func register(environment path: String?) throws(LoadError) {
    do throws(SQLiteError) {
      try sql.registerFunctions(on: connection)
      try connection.registerTableMaker("quire") { [self] (words) throws(VirtualTableError) in try make(words) }
      try connection.registerFunction("quire_version", argumentCount: 0) { (_, result) throws(VirtualTableError) in
        result.setText(programVersion)
      }
      for count in 0...2 {
        try connection.registerFunction("quire_attach", argumentCount: count, hasSideEffects: true) {
          [self] (arguments, result) throws(VirtualTableError) in
          result.set(Int64(try attach(arguments)))
        }
      }
    } catch { throw LoadError(error.message) }
    guard let path, !path.isEmpty else { return }
    do throws(VirtualTableError) {
      let directory = try Source(path: path)
      environment = directory.path
      try registerNames(of: directory)
    } catch { throw LoadError("QUIRE_DATA_DIR: \(error.message)") }
  }

  /// Lets each topic and system table be a table by its name alone; it is looked at when a statement first names it.
  private func registerNames(of source: Source) throws(VirtualTableError) {
    let tables = tables(of: source)
    let names = try namesOf(tables)
    do throws(SQLiteError) {
      for name in names {
        try connection.registerTable(name) { () throws(VirtualTableError) in try tables.make(name) }
      }
    } catch { throw .failed(error.message) }
  }

  private func namesOf(_ tables: HostedTables) throws(VirtualTableError) -> [String] {
    do throws(HistoryError) { return try tables.names() } catch { throw .failed(error.message) }
  }

  private func tables(of source: Source) -> HostedTables {
    if let known = tables[source.path] { return known }
    let made = sql.tables { () throws(HistoryError) in try source.look() }
    tables[source.path] = made
    return made
  }

  /// `CREATE VIRTUAL TABLE schema.name USING quire(…)`: a data directory and a topic (that of the table's name without one), or a
  /// segment file; without either, the data directory of the environment.
  private func make(_ words: [String]) throws(VirtualTableError) -> VirtualTable {
    let name = words.count > 1 ? words[1] : ""
    let arguments = words.dropFirst(2).map { Self.unquoted($0) }.filter { !$0.isEmpty }
    guard arguments.count <= 2 else {
      throw .failed("quire takes a data directory and a topic, or a segment file")
    }
    guard let path = arguments.first ?? environment else {
      throw .failed("quire needs a data directory or a segment file: quire('DATA_DIR', 'topic')")
    }
    let source = try Source(path: path)
    let tables = tables(of: source)
    switch source.kind {
    case .directory: return try tables.make(arguments.count > 1 ? arguments[1] : name)
    case .segment:
      let topics: [String]
      do throws(HistoryError) { topics = try tables.topics() } catch { throw .failed(error.message) }
      guard let topic = topics.first else { throw .failed("\(path) has no topic") }
      guard arguments.count < 2 || arguments[1] == topic else {
        throw .failed("\(path) is a segment of the topic \(topic), not of \(arguments[1])")
      }
      return try tables.make(topic)
    }
  }

  /// `quire_attach(directory, schema)`: makes a table of each topic and system table, but for names that no table may have.
  ///
  /// - Returns: how many there are.
  private func attach(_ arguments: FunctionArguments) throws(VirtualTableError) -> Int {
    func text(_ index: Int) -> String? {
      guard arguments.count > index, arguments[index].kind != .null else { return nil }
      return arguments[index].withBytes { String(decoding: $0, as: UTF8.self) }
    }
    guard let path = text(0) ?? environment else {
      throw .failed("quire_attach needs a data directory: quire_attach('DATA_DIR'), or QUIRE_DATA_DIR in the environment")
    }
    let source = try Source(path: path)
    let schema = text(1) ?? "temp"
    // Some names SQLite keeps to itself: a topic of such a name can be had by `quire(…)`, under another.
    let names = try namesOf(tables(of: source)).filter { !$0.lowercased().hasPrefix("sqlite_") }
    for name in names {
      do throws(SQLiteError) {
        try connection.execute(
          """
          CREATE VIRTUAL TABLE IF NOT EXISTS \(Self.quoted(schema)).\(Self.quoted(name))
          USING quire(\(Self.literal(source.path)), \(Self.literal(name)))
          """)
      } catch { throw .failed("quire_attach: \(error.message)") }
    }
    return names.count
  }

  /// An argument of a virtual table as it was meant: SQLite hands on what was written.
  static func unquoted(_ word: String) -> String {
    guard let first = word.first, word.count >= 2 else { return word }
    let last: Character = first == "[" ? "]" : first
    guard "'\"`[".contains(first), word.last == last else { return word }
    let inside = word.dropFirst().dropLast()
    return first == "[" ? String(inside) : String(inside).replacing("\(first)\(first)", with: "\(first)")
  }

  private static func quoted(_ name: String) -> String { "\"\(name.replacing("\"", with: "\"\""))\"" }
  private static func literal(_ text: String) -> String { "'\(text.replacing("'", with: "''"))'" }
}

/// The host's connection, for the thread that runs a statement of it.
// Safe because: SQLite lets one thread at a time use a connection, and whoever asks is within a call of it.
private final class HostConnection: @unchecked Sendable {
  let connection: Connection
  init(_ connection: Connection) { self.connection = connection }
}

/// A data directory or a segment file.
private struct Source {
  enum Kind { case directory, segment }
  /// From the root, without links.
  let path: String
  let kind: Kind

  init(path: String) throws(VirtualTableError) {
    guard let real = realpath(path, nil) else {
      throw .failed("\(path): \(String(cString: strerror(errno)))")
    }
    self.path = String(cString: real)
    free(real)
    var status = stat()
    kind = stat(self.path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR ? .directory : .segment
  }

  func look() throws(HistoryError) -> any HistoryCatalog {
    do throws(StorageError) {
      switch kind {
      case .directory: return DirectoryCatalog(try OfflineStore(dataDirectory: path), hasNodeTables: false)
      case .segment: return SegmentCatalog(try OfflineSegment(path: path))
      }
    } catch { throw HistoryError(.unavailable, "\(error)") }
  }
}
