internal import Model
internal import SQLite

/// An index file that is open for look-ups. Used by one thread at a time.
final class IndexFile {
  let path: String
  let extent: IndexExtent
  /// The numbers of the indexes in it, by definition.
  let numbers: [String: Int64]
  /// The log has been seen to have the file's last batch.
  var isConfirmed = false
  private let connection: Connection
  private var statements: [String: Statement] = [:]

  private static let cacheKiB = 512
  private static let progressSteps = 2000

  init(_ path: String) throws(IndexError) {
    self.path = path
    do throws(SQLiteError) {
      guard let vfs = VerifiedPages.vfsName else { throw SQLiteError(code: 1, message: "SQLite refused a VFS") }
      let connection = try Connection(path: path, mode: .immutable, vfs: vfs)
      try connection.execute(
        "PRAGMA mmap_size=0; PRAGMA query_only=1; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-\(Self.cacheKiB)")
      do throws(MigrationError) { try Migrator.verify(.index, of: connection) } catch {
        if case .sqlite(let error) = error { throw error }
        throw SQLiteError(code: 26, message: "\(error)")
      }
      guard let extent = try IndexExtent.load(connection) else { throw SQLiteError(code: 11, message: "no extent") }
      var numbers: [String: Int64] = [:]
      let rows = try connection.prepare("SELECT definition, number FROM indexed")
      while try rows.step() { numbers[rows.text(at: 0) ?? ""] = rows.integer(at: 1) }
      self.connection = connection
      self.extent = extent
      self.numbers = numbers
    } catch { throw Self.meaning(of: error, path) }
  }

  /// The offsets of the records among which every answer is, ascending.
  ///
  /// - Parameter shouldStop: asked now and then.
  /// - Returns: nil if there are so many that scanning costs no more.
  func offsets(
    _ definition: IndexDefinition, _ probe: IndexProbe, shouldStop: @escaping () -> Bool
  ) throws(IndexError) -> [Int64]? {
    guard let number = numbers[definition.text] else { throw .notUsable }
    connection.setProgressHandler(steps: Self.progressSteps, shouldStop)
    defer { connection.setProgressHandler(steps: 0, nil) }
    let countMax = max(64, Int(clamping: extent.records / 4))
    var found: [Int64] = []
    do throws(SQLiteError) {
      switch probe {
      case .anyOf(let values):
        let statement = try statement("SELECT batch_offset, records FROM value_\(number) WHERE value = ?1")
        for value in values {
          statement.bind(value, at: 1)
          guard try Self.gather(statement, into: &found, countMax) else { return nil }
        }
      case .range(let lower, let upper, let includesNumbers):
        let conditions = [
          lower.map { "value \($0.isIncluded ? ">=" : ">") ?1" }, upper.map { "value \($0.isIncluded ? "<=" : "<") ?2" },
        ].compactMap(\.self)
        if conditions.isEmpty { return nil }
        let statement = try statement(
          "SELECT batch_offset, records FROM value_\(number) WHERE \(conditions.joined(separator: " AND "))")
        if let lower { statement.bind(lower.value, at: 1) }
        if let upper { statement.bind(upper.value, at: 2) }
        guard try Self.gather(statement, into: &found, countMax) else { return nil }
        if case .text(let text) = upper?.value, includesNumbers {
          // Compared as numbers, texts such as '10' precede every text that is none.
          let numbers = try self.statement(
            "SELECT batch_offset, records, value FROM value_\(number) WHERE value >= ?1 AND value < ':' AND typeof(value) = 'text'"
          )
          numbers.bind(text, at: 1)
          guard try Self.gather(numbers, into: &found, countMax, onlyNumbers: true) else { return nil }
        }
      case .words(let words):
        let statement = try statement("SELECT rowid FROM words_\(number) WHERE words_\(number) MATCH ?1")
        statement.bind(words, at: 1)
        guard try Self.gather(statement, into: &found, countMax) else { return nil }
      }
    } catch { throw Self.meaning(of: error, path) }
    found.sort()
    var last: Int64?
    found.removeAll { offset in
      defer { last = offset }
      return offset == last
    }
    return found
  }

  /// - Returns: false if there are more than `countMax`, with those found before.
  private static func gather(
    _ statement: Statement, into found: inout [Int64], _ countMax: Int, onlyNumbers: Bool = false
  ) throws(SQLiteError) -> Bool {
    defer { statement.reset() }
    let hasPlaces = statement.columnCount > 1
    while try statement.step() {
      if onlyNumbers, statement.withValue(at: 2, { $0.withNumericAffinity { $0.kind == .text } }) { continue }
      let offset = statement.integer(at: 0)
      if hasPlaces {
        RecordPlaces.forEach(statement.borrowedBlob(at: 1)) { found.append(offset &+ Int64(clamping: $0)) }
      } else {
        found.append(offset)
      }
      if found.count > countMax { return false }
    }
    return true
  }

  private func statement(_ sql: String) throws(SQLiteError) -> Statement {
    if let known = statements[sql] { return known }
    let made = try connection.prepare(sql, isPersistent: true)
    statements[sql] = made
    return made
  }

  private static func meaning(of error: SQLiteError, _ path: String) -> IndexError {
    if error.isInterrupt { return .stopped }
    if error.isOutOfMemory { return .unavailable("out of memory") }
    // CANTOPEN: somebody has removed it. A plain error is about the question.
    return [1, 14].contains(error.primaryCode) ? .notUsable : .damaged("\(error)")
  }
}

/// The records of a batch that have a value: how far each is from the batch's first offset, seven bits a byte, least significant first.
enum RecordPlaces {
  static func bytes(_ place: UInt64) -> [UInt8] {
    var rest = place
    var bytes: [UInt8] = []
    while rest > 0x7F {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    return bytes + [UInt8(rest)]
  }

  static func forEach(_ bytes: UnsafeRawBufferPointer, _ body: (UInt64) -> Void) {
    var place: UInt64 = 0
    var shift: UInt64 = 0
    for byte in bytes {
      place |= UInt64(byte & 0x7F) << shift
      shift += 7
      if byte & 0x80 == 0 {
        body(place)
        (place, shift) = (0, 0)
      }
    }
  }
}

extension Statement {
  func bind(_ value: IndexValue, at index: Int) {
    switch value {
    case .integer(let value): bind(value, at: index)
    case .real(let value): bind(value, at: index)
    case .text(let value): bind(value, at: index)
    case .blob(let value): bind(value, at: index)
    }
  }
}
