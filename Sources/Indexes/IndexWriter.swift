internal import Glibc
internal import Model
public import SQLite

/// Writes one index file: as a draft, sealed, and then under its name. Nothing of it is synced: what a power loss leaves of it does not
/// verify, and is built again.
public final class IndexWriter {
  public let definitions: [IndexDefinition]
  private let draft: String
  private let shouldStop: () -> Bool
  private var connection: Connection?
  private var inserts: [Statement] = []
  /// What each index has gathered goes into its table; nil for those of words, which gather nothing.
  private var moves: [(into: Statement, clear: Statement)?] = []
  /// Values that are gathered, of records of one batch: each comes into its table once for a batch, as a rule.
  private var gathered = Gathered()
  private struct Gathered {
    var batch: Int64 = 0
    var values = 0
    var bytes = 0
  }
  private var batch: IndexExtent.BatchIdentity?
  private var end: Int64 = 0
  private var batches: Int64 = 0
  private var records: Int64 = 0

  private static let cacheKiB = 16 << 10
  private static let gatheredValuesMax = 16_384
  private static let gatheredBytesMax = 4 << 20
  private static let progressSteps = 1000

  /// - Parameters:
  ///   - directory: the partition's.
  ///   - bytesMax: the file is not to become larger.
  ///   - shouldStop: asked now and then; whatever is under way fails then.
  init(
    _ definitions: [IndexDefinition], in directory: String, named name: IndexName, bytesMax: Int64 = .max,
    shouldStop: @escaping () -> Bool = { false }
  ) throws(SQLiteError) {
    self.definitions = definitions
    self.shouldStop = shouldStop
    draft = "\(directory)/\(name.fileName.dropLast(IndexName.ending.count))\(IndexName.draftEnding)"
    unlink(draft)
    let connection = try Connection(path: draft, mode: .create)
    self.connection = connection
    try VerifiedPages.prepare(connection)
    try connection.execute(
      "PRAGMA locking_mode=EXCLUSIVE; PRAGMA cache_size=-\(Self.cacheKiB); PRAGMA temp_store=MEMORY")
    // More than SQLite counts to is without bound.
    let pages = min(max(16, bytesMax / Int64(VerifiedPages.pageSize)), Int64(UInt32.max) - 1)
    try connection.execute("PRAGMA max_page_count=\(pages)")
    connection.setProgressHandler(steps: Self.progressSteps, shouldStop)
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
            PRIMARY KEY (value, batch_offset)) WITHOUT ROWID;
          CREATE TEMP TABLE gathered_\(number)(value \(definition.declaredType), place BLOB NOT NULL)
          """)
        inserts.append(try connection.prepare("INSERT INTO temp.gathered_\(number) VALUES (?1, ?2)", isPersistent: true))
        let into = try connection.prepare(
          """
          INSERT INTO value_\(number)
          SELECT value, ?1, CAST(group_concat(place, '') AS BLOB) FROM temp.gathered_\(number) WHERE true GROUP BY value
          ON CONFLICT DO UPDATE SET records = CAST(records || excluded.records AS BLOB)
          """, isPersistent: true)
        moves.append((into, try connection.prepare("DELETE FROM temp.gathered_\(number)", isPersistent: true)))
      case .words:
        try connection.execute("CREATE VIRTUAL TABLE words_\(number) USING fts5(words, content='', columnsize=0)")
        moves.append(nil)
        inserts.append(try connection.prepare("INSERT INTO words_\(number)(words, rowid) VALUES (?1, ?2)", isPersistent: true))
      }
    }
  }

  deinit {
    inserts = []
    moves = []
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

  /// No batch up to and with this one has further records. Where the log ends in batches without any, the file ends there as well, and
  /// is known again by them.
  public func end(at batch: IndexExtent.BatchIdentity, lastOffset: Int64) {
    guard lastOffset >= end else { return }
    self.batch = batch
    end = lastOffset + 1
  }

  /// Adds one record of the batch: `bind` gives the value of an index to parameter 1 of its statement and says how many bytes it has, or
  /// nil where there is none.
  ///
  /// - Returns: why the file cannot be written; an offset that the batch cannot have is among the reasons.
  public func add<E: Error>(_ offset: Int64, bind: (Int, Statement) throws(E) -> Int?) throws(E) -> SQLiteError? {
    guard let batch else { return nil }
    guard offset >= batch.baseOffset, offset < end else {
      return SQLiteError(code: 11, message: "a record at \(offset) in the batch \(batch.baseOffset)..<\(end)")
    }
    if batch.baseOffset != gathered.batch || gathered.values >= Self.gatheredValuesMax
      || gathered.bytes >= Self.gatheredBytesMax
    {
      do throws(SQLiteError) { try moveGathered() } catch { return error }
      gathered.batch = batch.baseOffset
    }
    records += 1
    for index in definitions.indices {
      let insert = inserts[index]
      guard let bytes = try bind(index, insert) else { continue }
      switch definitions[index].kind {
      case .values:
        gathered.values += 1
        gathered.bytes += bytes
        insert.bind(RecordPlaces.bytes(UInt64(offset - batch.baseOffset)), at: 2)
      case .words: insert.bind(offset, at: 2)
      }
      do throws(SQLiteError) { try insert.run() } catch { return error }
    }
    return nil
  }

  private func moveGathered() throws(SQLiteError) {
    guard gathered.values > 0 else { return }
    for case let (into, clear)? in moves {
      into.bind(gathered.batch, at: 1)
      try into.run()
      try clear.run()
    }
    gathered.values = 0
    gathered.bytes = 0
  }

  /// Ends the file and gives it its name, which may say less than was wanted.
  ///
  /// - Returns: nil if there is no batch: then there is no file.
  func finish(topicID: TopicID, partition: Int32, _ name: IndexName, number: UInt64) throws(SQLiteError) -> IndexExtent? {
    guard let connection, let batch, end > name.from else { return nil }
    let name = IndexName(segmentBase: name.segmentBase, generation: name.generation, from: name.from, to: end)
    let extent = IndexExtent(
      topicID: topicID, partition: partition, name: name, lastBatch: batch, batches: batches, records: records)
    try moveGathered()
    for (index, definition) in definitions.enumerated() where definition.kind == .words {
      try connection.execute("INSERT INTO words_\(index + 1)(words_\(index + 1)) VALUES ('optimize')")
    }
    try extent.store(connection)
    try connection.execute("COMMIT")
    inserts = []
    moves = []
    connection.close()
    self.connection = nil
    do throws(SQLiteError) { try VerifiedPages.seal(draft, number: number, shouldStop: shouldStop) } catch {
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
