internal import SQLite

/// Judges single texts by FTS5's rules: whether they match a query of words, as an index of many texts would say.
///
/// Each is put into an index of its own, in memory, with the same tokenizer and the same name of its column as index files have.
final class TextMatch {
  private let connection: Connection
  private let insert: Statement
  private let query: Statement
  private let clear: Statement

  init() throws(SQLiteError) {
    connection = try Connection(path: ":memory:", mode: .create)
    try connection.execute("PRAGMA temp_store=MEMORY; CREATE VIRTUAL TABLE text USING fts5(words, content='', columnsize=0)")
    insert = try connection.prepare("INSERT INTO text(rowid, words) VALUES (1, ?1)", isPersistent: true)
    query = try connection.prepare("SELECT 1 FROM text WHERE text MATCH ?1", isPersistent: true)
    clear = try connection.prepare("INSERT INTO text(text) VALUES ('delete-all')", isPersistent: true)
    try connection.execute("BEGIN")
  }

  /// - Throws: what is wrong with the words, as FTS5 says it.
  func check(_ words: String) throws(VirtualTableError) {
    query.bind(words, at: 1)
    defer { query.reset() }
    do throws(SQLiteError) { _ = try query.step() } catch { throw Self.words(error) }
  }

  func matches(_ words: ArgumentValue, _ text: ArgumentValue) throws(VirtualTableError) -> Bool {
    query.bind(words, at: 1)
    // Bytes have no words, but the question may be wrong all the same.
    guard text.kind != .blob else {
      defer { query.reset() }
      do throws(SQLiteError) { _ = try query.step() } catch { throw Self.words(error) }
      return false
    }
    insert.bind(text, at: 1)
    do throws(SQLiteError) {
      try insert.run()
      let found = try query.step()
      query.reset()
      try clear.run()
      return found
    } catch {
      query.reset()
      try? clear.run()
      throw Self.words(error)
    }
  }

  private static func words(_ error: SQLiteError) -> VirtualTableError {
    if error.isOutOfMemory { return VirtualTableError(code: error.code, message: "out of memory") }
    return .failed("MATCH: " + (error.message.hasPrefix(":memory:: ") ? String(error.message.dropFirst(10)) : error.message))
  }
}
