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

/// Where two files differ first, in words; nil if they are the same. (`==` of large arrays looks for all differences when it fails.)
func difference(_ a: [UInt8], _ b: [UInt8], pageBytes: Int) -> String? {
  let common = min(a.count, b.count)
  var offset = 0
  while offset < common, a[offset] == b[offset] { offset += 1 }
  if offset == common, a.count == b.count { return nil }
  return "sizes \(a.count) and \(b.count), from page \(offset / pageBytes + 1), byte \(offset % pageBytes) on"
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

/// Reads out of a -wal, which has no locks that closing a descriptor could drop.
final class LogFile {
  private let descriptor: CInt

  init(_ path: String) { descriptor = open(path, O_RDONLY | O_CLOEXEC) }
  deinit { close(descriptor) }

  func read(_ offset: Int, _ buffer: UnsafeMutableRawBufferPointer) -> Int {
    max(0, pread(descriptor, buffer.baseAddress!, buffer.count, off_t(offset)))
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

  func page(_ number: PageNumber) -> [UInt8] {
    Array(bytes[number.byteOffset(pageSize: pageSize)..<number.byteOffset(pageSize: pageSize) + pageSize.bytes])
  }

  func copy(_ number: PageNumber, to room: UnsafeMutableRawBufferPointer) {
    let start = number.byteOffset(pageSize: pageSize)
    bytes.withUnsafeBytes { room.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<start + pageSize.bytes])) }
  }

  static func put(_ number: PageNumber, _ page: UnsafeRawBufferPointer, into bytes: inout [UInt8]) {
    let start = (Int(number.rawValue) - 1) * page.count
    bytes.withUnsafeMutableBytes {
      UnsafeMutableRawBufferPointer(rebasing: $0[start..<start + page.count]).copyMemory(from: page)
    }
  }

  /// Applies a set as a replica does: written aside, taken over when all is well.
  mutating func apply(_ set: PageSet) -> PagesError? {
    var after = bytes
    let byteCount = set.header.pageCountAfter * pageSize.bytes
    if after.count < byteCount { after += [UInt8](repeating: 0xAA, count: byteCount - after.count) }
    let before = self
    let refusal = sums.apply(set, at: &position) { number, room in
      before.copy(number, to: room)
    } write: { number, page in
      Image.put(number, page, into: &after)
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
    // Without spilling: where ROLLBACK TO takes frames back that were written over, SQLite 3.40 commits frames without checksums, which
    // are in the wal-index and not in the log.
    let savepoints = { (body: () throws -> Void) in
      try self.connection.execute("PRAGMA cache_size=10000; SAVEPOINT s")
      try body()
      try self.connection.execute("ROLLBACK TO s; RELEASE s; PRAGMA cache_size=8")
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
    let pageCount = Int(try connection.integer("PRAGMA page_count") ?? 0)
    if pageCount != image.sums.pageCount { throw UnseenCommit(step: roll, frames: reader?.chain.frameCount ?? 0) }
  }

  /// SQLite has made a commit that a reader of the -wal cannot take.
  struct UnseenCommit: Error {
    var step: UInt64
    var frames: Int
  }

  private func insert(rows: Int, largest: Int = 400) throws {
    let statement = try connection.prepare("INSERT INTO t(id, k, v) VALUES(?1, ?2, ?3)")
    for _ in 0..<rows {
      statement.bind(nextID, at: 1)
      statement.bind("key \(random.next() % 1000)", at: 2)
      statement.bind(blob(Int(random.next() % UInt64(largest))), at: 3)
      try statement.run()
      statement.reset()
      nextID += 1
    }
  }

  private func blob(_ count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count { withUnsafeBytes(of: random.next()) { bytes += $0 } }
    return Array(bytes[..<count])
  }

  private func capture() throws {
    let wal = LogFile(path + "-wal")
    if reader == nil {
      guard case .success(let header) = WALReader.header(read: wal.read) else { return }
      reader = WALReader(from: WALChain(header))
    }
    while true {
      switch reader!.next(read: wal.read) {
      case .commit(let commit): try take(commit, reader!.chain.header, wal)
      case .end(.restarted(let header)):
        restarts += 1
        reader = header.map { WALReader(from: WALChain($0)) }
        if reader == nil { return }
      case .end: return
      }
    }
  }

  private func take(_ commit: WALCommit, _ header: WALHeader, _ wal: LogFile) throws {
    rewrittenFrames += commit.frames.count - commit.pages.count
    let before = image.position
    var after = before
    after.commitSequence += 1
    let events = Offset(Int64(sets.count))..<Offset(Int64(sets.count + 1))
    let old = image
    let first = header.byteOffset(ofFrame: commit.frames.lowerBound)
    var frames = [UInt8](repeating: 0, count: commit.frames.count * header.frameBytes)
    precondition(frames.withUnsafeMutableBytes { wal.read(first, $0) } == frames.count)
    let set = try frames.withUnsafeBytes { bytes in
      // All of them, in the order in which they were written, older versions included.
      let pages = commit.frames.map { index in
        let start = header.byteOffset(ofFrame: index) - first
        let number = bytes.loadUnaligned(fromByteOffset: start, as: UInt32.self).bigEndian
        return (
          number: PageNumber(number),
          bytes: UnsafeRawBufferPointer(rebasing: bytes[start + 24..<start + 24 + pageSize.bytes])
        )
      }
      let captured = image.sums.capture(pages: pages, pageCount: commit.pageCount, before: before, after: after, events: events)
      {
        number, room in
        if !usesDeltas { return false }
        old.copy(number, to: room)
        return true
      }
      for page in pages where page.number.rawValue <= commit.pageCount {
        let end = page.number.byteOffset(pageSize: pageSize) + pageSize.bytes
        if image.bytes.count < end { image.bytes += [UInt8](repeating: 0, count: end - image.bytes.count) }
        Image.put(page.number, page.bytes, into: &image.bytes)
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
