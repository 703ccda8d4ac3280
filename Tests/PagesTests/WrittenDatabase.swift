import Glibc
import Model
import Pages
import SQLite
import TestSupport

/// Bytes of a file; of a -wal at any time, of a database only while no connection of this process has it open.
func fileBytes(_ path: String) -> [UInt8] {
  guard let file = fopen(path, "r") else { return [] }
  defer { fclose(file) }
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 1 << 16)
  while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
  return bytes
}

func writeFile(_ path: String, _ bytes: [UInt8]) throws {
  guard let file = fopen(path, "w") else { throw SystemCallError(call: "fopen \(path)", number: errno) }
  fwrite(bytes, 1, bytes.count, file)
  fclose(file)
}

/// Reads out of bytes as if they were a file.
func reading(_ bytes: [UInt8]) -> (Int, UnsafeMutableRawBufferPointer) -> Int {
  { offset, buffer in
    guard offset < bytes.count else { return 0 }
    let count = min(buffer.count, bytes.count - offset)
    bytes.withUnsafeBytes { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[offset..<offset + count])) }
    return count
  }
}

/// The pages of a database in memory, as a replica has them.
struct Image: Equatable {
  let pageSize: PageSize
  var bytes: [UInt8]
  var sums: PageSums
  var position: CommitPosition

  init(pageSize: PageSize, bytes: [UInt8], position: CommitPosition = .zero) {
    self.pageSize = pageSize
    self.bytes = bytes
    self.position = position
    sums = Image.sums(bytes, pageSize)
  }

  static func sums(_ bytes: [UInt8], _ pageSize: PageSize) -> PageSums {
    var sums = PageSums(pageSize: pageSize)
    for start in stride(from: 0, to: bytes.count, by: pageSize.bytes) {
      bytes.withUnsafeBytes { sums.append(UnsafeRawBufferPointer(rebasing: $0[start..<start + pageSize.bytes])) }
    }
    return sums
  }

  func page(_ number: PageNumber) -> ArraySlice<UInt8> {
    bytes[number.byteOffset(pageSize: pageSize)..<number.byteOffset(pageSize: pageSize) + pageSize.bytes]
  }

  /// Applies a set as a replica does: written aside, taken over when all is well.
  mutating func apply(_ set: PageSet) -> PagesError? {
    var after = bytes
    let byteCount = set.header.pageCountAfter * pageSize.bytes
    if after.count < byteCount { after += [UInt8](repeating: 0xAA, count: byteCount - after.count) }
    let before = self
    let refusal = sums.apply(set, at: &position) { number, room in
      room.copyBytes(from: before.page(number))
    } write: { number, page in
      after.replaceSubrange(number.byteOffset(pageSize: pageSize)..<number.byteOffset(pageSize: pageSize) + page.count, with: page)
    }
    if refusal == nil { bytes = Array(after[..<byteCount]) }
    return refusal
  }
}

/// A database that SQLite writes with transactions of every kind, and the page set of each commit, captured from its -wal.
final class WrittenDatabase {
  let path: String
  let pageSize: PageSize
  /// As it was before the first set.
  private(set) var beginning: Image
  private(set) var image: Image
  private(set) var sets: [PageSet] = []
  /// How often the -wal was begun anew.
  private(set) var restarts = 0
  /// Frames that held an older version of a page of the same commit.
  private(set) var rewrittenFrames = 0
  private var random: SeededRandom
  private let connection: Connection
  private var reader: WALReader?
  private let usesDeltas: Bool
  private var nextID: Int64 = 1

  init(_ path: String, pageSize: PageSize, seed: UInt64, usesDeltas: Bool) throws {
    self.path = path
    self.pageSize = pageSize
    self.usesDeltas = usesDeltas
    random = SeededRandom(seed: seed)
    do {
      let connection = try Connection(path: path, mode: .create)
      try connection.execute("PRAGMA page_size=\(pageSize.bytes); PRAGMA auto_vacuum=\(seed & 1 == 0 ? 0 : 2)")
      try connection.execute("PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, k TEXT, v BLOB)")
      connection.setCheckpointOnClose(true)
      connection.close()
    }
    image = Image(pageSize: pageSize, bytes: fileBytes(path))
    beginning = image
    connection = try Connection(path: path, mode: .readWrite)
    // So small that pages of a transaction are spilled into the -wal before its commit.
    try connection.execute("PRAGMA cache_size=8; PRAGMA synchronous=OFF; SELECT count(*) FROM t")
  }

  var events: Int64 { nextID }

  /// Runs one more step, and captures what it committed.
  func step() throws {
    let roll = random.next() % 100
    let savepoints = { (body: () throws -> Void) in
      try self.connection.execute("SAVEPOINT s")
      try body()
      try self.connection.execute("ROLLBACK TO s; RELEASE s")
    }
    switch roll {
    case 0..<50:
      try connection.execute("BEGIN")
      try insert(rows: 1 + Int(random.next() % 12))
      if roll < 10 { try savepoints { try insert(rows: 20) } }
      if roll < 20 { try connection.execute("UPDATE t SET k = k || 'x' WHERE id % 7 = \(random.next() % 7)") }
      try connection.execute("COMMIT")
    case 50..<60: try insert(rows: 60, largest: 3 * pageSize.bytes)
    case 60..<70: try connection.execute("DELETE FROM t WHERE id % 5 = \(random.next() % 5)")
    case 70..<75:
      try connection.execute("BEGIN")
      try insert(rows: 40)
      try connection.execute("ROLLBACK")
    case 75..<80: try connection.execute("CREATE INDEX IF NOT EXISTS i ON t(k)")
    case 80..<83: try connection.execute("DROP INDEX IF EXISTS i")
    case 83..<86: try connection.execute("VACUUM")
    case 86..<90: try connection.execute("PRAGMA incremental_vacuum(3)")
    case 90..<97: _ = try connection.checkpoint(.passive)
    default: _ = try connection.checkpoint(.truncate)
    }
    try capture()
  }

  private func insert(rows: Int, largest: Int = 400) throws {
    let statement = try connection.prepare("INSERT INTO t(id, k, v) VALUES(?1, ?2, ?3)")
    for _ in 0..<rows {
      statement.bind(nextID, at: 1)
      statement.bind("key \(random.next() % 1000)", at: 2)
      statement.bind((0..<Int(random.next() % UInt64(largest))).map { _ in UInt8(truncatingIfNeeded: random.next()) }, at: 3)
      try statement.run()
      statement.reset()
      nextID += 1
    }
  }

  private func capture() throws {
    let wal = fileBytes(path + "-wal")
    if reader == nil {
      guard case .success(let header) = WALReader.header(read: reading(wal)) else { return }
      reader = WALReader(from: WALChain(header))
    }
    while true {
      switch reader!.next(read: reading(wal)) {
      case .commit(let commit): try take(commit, reader!.chain.header, wal)
      case .end(.restarted(let header)):
        restarts += 1
        reader = header.map { WALReader(from: WALChain($0)) }
        if reader == nil { return }
      case .end: return
      }
    }
  }

  private func take(_ commit: WALCommit, _ header: WALHeader, _ wal: [UInt8]) throws {
    rewrittenFrames += commit.frames.count - commit.pages.count
    let before = image.position
    var after = before
    after.commitSequence += 1
    let events = Offset(Int64(sets.count))..<Offset(Int64(sets.count + 1))
    let old = image
    let set = try wal.withUnsafeBytes { bytes in
      // All of them, in the order in which they were written, older versions included.
      let pages = commit.frames.map { index in
        let start = header.byteOffset(ofFrame: index)
        let number = bytes.loadUnaligned(fromByteOffset: start, as: UInt32.self).bigEndian
        return (
          number: PageNumber(number),
          bytes: UnsafeRawBufferPointer(rebasing: bytes[start + 24..<start + 24 + pageSize.bytes])
        )
      }
      let captured = image.sums.capture(pages: pages, pageCount: commit.pageCount, before: before, after: after, events: events) {
        number, room in
        if !usesDeltas { return false }
        room.copyBytes(from: old.page(number))
        return true
      }
      for page in pages where page.number.rawValue <= commit.pageCount {
        let end = page.number.byteOffset(pageSize: pageSize) + pageSize.bytes
        if image.bytes.count < end { image.bytes += [UInt8](repeating: 0, count: end - image.bytes.count) }
        image.bytes.replaceSubrange(end - pageSize.bytes..<end, with: page.bytes)
      }
      image.bytes.removeLast(image.bytes.count - commit.pageCount * pageSize.bytes)
      return try captured.get()
    }
    image.position = after
    sets.append(set)
  }

  /// Closes the database, with everything in its file, and returns that.
  func finish() throws -> [UInt8] {
    let result = try connection.checkpoint(.truncate)
    precondition(result.isComplete && !result.isBusy)
    connection.setCheckpointOnClose(true)
    connection.close()
    return fileBytes(path)
  }
}
