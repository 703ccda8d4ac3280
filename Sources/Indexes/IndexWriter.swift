internal import Glibc
internal import Model
public import SQLite

/// Writes one index file: as a draft, sealed, and then under its name. Nothing of it is synced: what a power loss leaves of it does not
/// verify, and is built again.
public final class IndexWriter {
  public let definitions: [IndexDefinition]
  private let draft: String
  private var connection: Connection?
  private var inserts: [Statement] = []
  private var batch: IndexExtent.BatchIdentity?
  private var end: Int64 = 0
  private var batches: Int64 = 0
  private var records: Int64 = 0

  private static let cacheKiB = 16 << 10

  /// - Parameter directory: the partition's.
  init(_ definitions: [IndexDefinition], in directory: String, named name: IndexName) throws(SQLiteError) {
    self.definitions = definitions
    draft = "\(directory)/\(name.fileName.dropLast(IndexName.ending.count))\(IndexName.draftEnding)"
    unlink(draft)
    let connection = try Connection(path: draft, mode: .create)
    self.connection = connection
    try VerifiedPages.prepare(connection)
    try connection.execute(
      "PRAGMA locking_mode=EXCLUSIVE; PRAGMA cache_size=-\(Self.cacheKiB); PRAGMA temp_store=MEMORY")
    do throws(MigrationError) { try Migrator.apply(.index, to: connection) } catch {
      if case .sqlite(let error) = error { throw error }
      throw SQLiteError(code: 1, message: "\(error)")
    }
    try connection.execute("BEGIN")
    let indexed = try connection.prepare("INSERT INTO indexed VALUES (?, ?)")
    for (index, definition) in definitions.enumerated() {
      let number = index + 1
      indexed.bind(Int64(number), at: 1)
      indexed.bind(definition.text, at: 2)
      try indexed.run()
      switch definition.kind {
      case .values:
        try connection.execute(
          """
          CREATE TABLE value_\(number)(
            value \(definition.declaredType), batch_offset INTEGER NOT NULL, records BLOB NOT NULL,
            PRIMARY KEY (value, batch_offset)) WITHOUT ROWID
          """)
        inserts.append(
          try connection.prepare(
            """
            INSERT INTO value_\(number) VALUES (?1, ?2, ?3)
            ON CONFLICT DO UPDATE SET records = CAST(records || excluded.records AS BLOB)
            """, isPersistent: true))
      case .words:
        try connection.execute("CREATE VIRTUAL TABLE words_\(number) USING fts5(words, content='', columnsize=0)")
        inserts.append(try connection.prepare("INSERT INTO words_\(number)(words, rowid) VALUES (?1, ?2)", isPersistent: true))
      }
    }
  }

  deinit {
    inserts = []
    if connection != nil {
      connection = nil
      unlink(draft)
    }
  }

  /// The records that follow are of this batch.
  public func begin(_ batch: IndexExtent.BatchIdentity, lastOffset: Int64) {
    self.batch = batch
    end = lastOffset + 1
    batches += 1
  }

  /// Adds one record of the batch: `bind` gives the value of an index to parameter 1 of its statement, or says that there is none.
  public func add<E: Error>(_ offset: Int64, bind: (Int, Statement) throws(E) -> Bool) throws(E) -> SQLiteError? {
    guard let batch else { return nil }
    records += 1
    for index in definitions.indices {
      let insert = inserts[index]
      guard try bind(index, insert) else { continue }
      switch definitions[index].kind {
      case .values:
        insert.bind(batch.baseOffset, at: 2)
        insert.bind(RecordPlaces.bytes(UInt64(offset - batch.baseOffset)), at: 3)
      case .words: insert.bind(offset, at: 2)
      }
      do throws(SQLiteError) { try insert.run() } catch { return error }
    }
    return nil
  }

  /// Ends the file and gives it its name, which may say less than was wanted.
  ///
  /// - Returns: nil if no batch was added: then there is no file.
  func finish(topicID: TopicID, partition: Int32, _ name: IndexName, number: UInt64) throws(SQLiteError) -> IndexExtent? {
    guard let connection, let batch, end > name.from else { return nil }
    let name = IndexName(segmentBase: name.segmentBase, generation: name.generation, from: name.from, to: end)
    let extent = IndexExtent(
      topicID: topicID, partition: partition, name: name, lastBatch: batch, batches: batches, records: records)
    for (index, definition) in definitions.enumerated() where definition.kind == .words {
      try connection.execute("INSERT INTO words_\(index + 1)(words_\(index + 1)) VALUES ('optimize')")
    }
    try extent.store(connection)
    try connection.execute("COMMIT")
    inserts = []
    connection.close()
    self.connection = nil
    do throws(SQLiteError) { try VerifiedPages.seal(draft, number: number) } catch {
      unlink(draft)
      throw error
    }
    let directory = draft.lastIndex(of: "/").map { String(draft[..<$0]) } ?? "."
    guard rename(draft, "\(directory)/\(name.fileName)") == 0 else {
      unlink(draft)
      throw SQLiteError(code: 10, message: "\(draft): \(String(cString: strerror(errno)))")
    }
    return extent
  }
}
