import Export
import Glibc
import SQLite
import Synchronization
import TestSupport
import Testing

@Suite("quire pages") struct PagesCommandTests {
  /// A segment as far as its position goes, closed, with everything in its file.
  private func segment(_ path: String) throws -> [UInt8] {
    let connection = try Connection(path: path, mode: .create)
    try connection.execute("PRAGMA page_size=4096; PRAGMA journal_mode=WAL")
    try Migrator.apply(.segment, to: connection)
    try connection.execute(
      "INSERT INTO partition_state VALUES(1, zeroblob(16), 'plays', 0, 4096, 0, 0, 4096, 3, 40, 0, 0, NULL)")
    connection.setCheckpointOnClose(true)
    connection.close()
    return Binary.bytes(path)
  }

  private func json(_ text: String) throws -> JSON { try Array(text.utf8).withUnsafeBytes { try JSONReader.read($0) } }

  private func append(_ offset: Int, to connection: Connection) throws {
    try connection.execute(
      """
      BEGIN;
      INSERT INTO record_batch VALUES(\(offset), \(offset), 0, 0, 0, 3, 1, 900, randomblob(900 + \(offset) % 5 * 3000));
      UPDATE partition_state SET commit_sequence = commit_sequence + 1;
      COMMIT
      """)
  }

  @Test("what is extracted from an open database makes of an older copy the file that its checkpoint makes")
  func extractAndApply() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/live.db"
      let copies = ["\(directory)/one.db", "\(directory)/two.db"]
      let old = try segment(path)
      for copy in copies { try Binary.write(old, to: copy) }
      let connection = try Connection(path: path, mode: .readWrite)
      for offset in 0..<12 { try append(4096 + offset, to: connection) }
      // A commit that does not move the position goes along with the next.
      try connection.execute("CREATE TABLE more(x)")
      try append(5000, to: connection)

      let changes = "\(directory)/changes.pages"
      let extracted = try Binary.run(["pages", "extract", path, "--output", changes], in: directory)
      #expect(
        extracted.status == 0 && extracted.errors.contains("13 page sets") && extracted.errors.contains("up to 3/4096/53"),
        "\(extracted)")
      let merged = "\(directory)/merged.pages"
      #expect(try Binary.run(["pages", "extract", path, "--output", merged, "--merged"], in: directory).status == 0)
      #expect(Binary.bytes(merged).count < Binary.bytes(changes).count)
      let dumped = try Binary.run(["pages", "dump", changes, "--format", "json"], in: directory)
      let sets = try #require(try json(dumped.output)["sets"]?.array)
      #expect(dumped.status == 0 && sets.count == 13)
      #expect(sets.first?["from"]?.string == "3/4096/40" && sets.last?["to"]?.string == "3/4096/53")

      for (copy, file) in zip(copies, [changes, merged]) {
        let applied = try Binary.run(["pages", "apply", file, copy], in: directory)
        #expect(applied.status == 0, "\(applied)")
      }
      // Nobody was the last to close it, and nothing was checkpointed.
      #expect(Binary.bytes(path + "-wal").count > 13 * 4096)
      let same = try Binary.run(["pages", "verify", path, "--against", copies[0]], in: directory)
      #expect(same.status == 0 && same.output.contains("page for page the same"), "\(same)")
      try connection.execute("SELECT count(*) FROM record_batch")
      connection.setCheckpointOnClose(true)
      connection.close()
      for copy in copies { #expect((Binary.bytes(copy) == Binary.bytes(path)) == true) }
      #expect(try directoryEntries(directory).filter { $0.contains(".quire-") } == [])
    }
  }

  @Test("page sets are applied where they belong, or nowhere")
  func refusals() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/live.db"
      let copy = "\(directory)/copy.db"
      let changes = "\(directory)/changes.pages"
      let old = try segment(path)
      try Binary.write(old, to: copy)
      let connection = try Connection(path: path, mode: .readWrite)
      for offset in 0..<4 { try append(4096 + offset, to: connection) }
      #expect(try Binary.run(["pages", "extract", path, "--output", changes], in: directory).status == 0)

      // A database that is open here is not looked into: closing it again would drop SQLite's locks.
      func expectRefusal(_ file: String, _ database: String, _ words: String, isOpen: Bool = false) throws {
        func state() -> [UInt8] {
          var status = stat()
          stat(database, &status)
          return isOpen ? withUnsafeBytes(of: (status.st_ino, status.st_mtim.tv_nsec)) { Array($0) } : Binary.bytes(database)
        }
        let before = state()
        let result = try Binary.run(["pages", "apply", file, database], in: directory)
        #expect(result.status == 1 && result.errors.contains(words), "\(result)")
        #expect((state() == before) == true)
      }
      // Into a database that somebody has open: this process, which must keep its locks.
      try expectRefusal(changes, path, "it is open, or was not closed", isOpen: true)
      let idle = try Connection(path: copy, mode: .readWrite)
      _ = try idle.integer("SELECT count(*) FROM record_batch")
      unlink(copy + "-wal")
      try expectRefusal(changes, copy, "is open in another process", isOpen: true)
      idle.close()
      // One byte of the copy is another.
      var damaged = old
      damaged[9000] ^= 1
      try Binary.write(damaged, to: copy)
      try expectRefusal(changes, copy, "the database has sum")
      // Twice.
      try Binary.write(old, to: copy)
      #expect(try Binary.run(["pages", "apply", changes, copy], in: directory).status == 0)
      try expectRefusal(changes, copy, "the database is at 3/4096/44, the page set goes on from 3/4096/40")
      // A file that is cut off, or damaged, in its second half: the first sets are right, and not applied either.
      try Binary.write(old, to: copy)
      let file = Binary.bytes(changes)
      try Binary.write(Array(file.dropLast(10)), to: changes)
      try expectRefusal(changes, copy, "ends inside of a page set")
      damaged = file
      damaged[file.count - 20] ^= 8
      try Binary.write(damaged, to: changes)
      try expectRefusal(changes, copy, "the hash of its entries is wrong")
      #expect(try Binary.run(["pages", "dump", changes], in: directory).status == 1)
      connection.close()
    }
  }

  @Test("pages that differ are named with the table or index they belong to")
  func differences() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/a.db"
      let other = "\(directory)/b.db"
      let connection = try Connection(path: path, mode: .create)
      try connection.execute(
        "CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT); CREATE INDEX names ON people(name); PRAGMA journal_mode=WAL")
      try connection.execute(
        "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) INSERT INTO people SELECT i, 'p' || i FROM n")
      connection.setCheckpointOnClose(true)
      connection.close()
      let file = Binary.bytes(path)
      let first = try Binary.run(["pages", "verify", path, "--format", "json"], in: directory)
      let sum = try #require(try json(first.output)["sum"]?.string)
      #expect(first.status == 0 && sum.utf8.count == 16)
      #expect(try Binary.run(["pages", "verify", path, "--sum", sum], in: directory).status == 0)
      try Binary.write(file, to: other)
      let changing = try Connection(path: other, mode: .readWrite)
      try changing.execute("UPDATE people SET name = 'somebody' WHERE id = 450")
      changing.close()
      let result = try Binary.run(["pages", "verify", path, "--against", other], in: directory)
      #expect(
        result.status == 1 && result.output.contains("table people") && result.output.contains("index names of people"),
        "\(result)")
      #expect(try Binary.run(["pages", "verify", other, "--sum", sum], in: directory).status == 1)
      #expect(
        (Binary.bytes(other) == file) == true && fileExists(other + "-wal"),
        "a database with commits in its WAL alone was touched")
      #expect(try Binary.run(["pages", "verify", path, "--sum", "12"], in: directory).status == 2)
      #expect(try Binary.run(["pages", "verify", "\(directory)/none.db"], in: directory).status == 1)
    }
  }

  @Test("a tail that is torn is no damage, and a frame in front of whole ones is")
  func dump() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/a.db"
      _ = try segment(path)
      let connection = try Connection(path: path, mode: .readWrite)
      for offset in 0..<5 { try append(4096 + offset, to: connection) }
      let whole = Binary.bytes(path + "-wal")
      connection.close()
      let log = "\(directory)/x-wal"
      func commits(_ bytes: [UInt8]) throws -> (status: CInt, commits: Int?, valid: JSON?) {
        try Binary.write(bytes, to: log)
        let result = try Binary.run(["pages", "dump", log, "--format", "json"], in: directory)
        let json = try json(result.output)
        return (result.status, json["commits"]?.array?.count, json["is_valid"])
      }
      #expect(try commits(whole) == (0, 5, .bool(true)))
      #expect(try commits(Array(whole.dropLast(100))) == (0, 4, .bool(true)))
      var damaged = whole
      damaged[32 + 4120 + 500] ^= 1
      #expect(try commits(damaged) == (1, 0, .bool(false)))
      let table = try Binary.run(["pages", "dump", log], in: directory)
      #expect(table.status == 1 && table.output.contains("frame 2 is damaged"), "\(table)")
      try Binary.write([], to: log)
      #expect(try Binary.run(["pages", "dump", log], in: directory).status == 0)
      #expect(try Binary.run(["pages", "dump", path], in: directory).status == 1)
    }
  }

  @Test("a database is taken at one commit while another process writes and checkpoints it")
  func live() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/live.db"
      let setup = try Connection(path: path, mode: .create)
      try setup.execute(
        "PRAGMA page_size=1024; PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, a INTEGER, pad BLOB)")
      try setup.execute(
        "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) INSERT INTO t SELECT i, 100, zeroblob(700) FROM n")
      setup.close()
      let writer = Writer(path)
      let thread = try writer.start()
      defer { writer.stop(thread) }
      for round in 0..<6 {
        let full = "\(directory)/\(round).pages"
        let copy = "\(directory)/\(round).db"
        var extracted = try Binary.run(["pages", "extract", path, "--full", "--output", full], in: directory)
        // It may be too fast for pages that are read a second time.
        for _ in 0..<20 where extracted.status != 0 {
          extracted = try Binary.run(["pages", "extract", path, "--full", "--output", full], in: directory)
        }
        #expect(extracted.status == 0, "\(extracted)")
        #expect(try Binary.run(["pages", "apply", full, copy], in: directory).status == 0)
        let connection = try Connection(path: copy, mode: .readWrite)
        #expect(try connection.text("PRAGMA integrity_check") == "ok")
        #expect(try connection.integer("SELECT sum(a) FROM t") == 30_000)
        connection.close()
      }
    }
  }

  /// Moves amounts between rows, which keeps their sum, and checkpoints now and then.
  private final class Writer: Sendable {
    private let path: String
    private let isStopping = Atomic(false)
    init(_ path: String) { self.path = path }

    func start() throws -> pthread_t {
      var thread = pthread_t()
      let code = pthread_create(
        &thread, nil,
        { context in
          Unmanaged<Writer>.fromOpaque(context!).takeRetainedValue().run()
          return nil
        }, Unmanaged.passRetained(self).toOpaque())
      guard code == 0 else { throw SystemCallError(call: "pthread_create", number: code) }
      return thread
    }

    func stop(_ thread: pthread_t) {
      isStopping.store(true, ordering: .relaxed)
      pthread_join(thread, nil)
    }

    private func run() {
      guard let connection = try? Connection(path: path, mode: .readWrite) else { return }
      var random = SeededRandom(seed: 5)
      var round = 0
      while !isStopping.load(ordering: .relaxed) {
        let (from, to) = (random.next() % 300 + 1, random.next() % 300 + 1)
        try? connection.execute(
          "BEGIN; UPDATE t SET a = a - 1 WHERE id = \(from); UPDATE t SET a = a + 1 WHERE id = \(to); COMMIT")
        round += 1
        if round % 40 == 0 { _ = try? connection.checkpoint(.passive) }
        usleep(2000)
      }
      connection.close()
    }
  }
}
