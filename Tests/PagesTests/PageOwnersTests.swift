import Pages
import SQLite
import TestSupport
import Testing

@Suite("Whose page a page is") struct PageOwnersTests {
  @Test("is what SQLite's own statistics say, also where pages are moved and freed", arguments: [512, 4096, 65_536], [0, 2])
  func owners(pageBytes: Int, vacuum: Int) throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/a.db"
      let connection = try Connection(path: path, mode: .create)
      try connection.execute("PRAGMA page_size=\(pageBytes); PRAGMA auto_vacuum=\(vacuum)")
      try connection.execute(
        """
        CREATE TABLE one(id INTEGER PRIMARY KEY, name TEXT UNIQUE, data BLOB);
        CREATE TABLE two(a TEXT PRIMARY KEY, b BLOB) WITHOUT ROWID;
        CREATE INDEX one_data ON one(substr(data, 1, 900), id);
        CREATE VIEW seen AS SELECT 1;
        CREATE TABLE gone(x);
        WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
          INSERT INTO one SELECT i, 'name ' || i, randomblob(i * 7) FROM n;
        WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
          INSERT INTO two SELECT hex(randomblob(i * 9)), randomblob(i * 200) FROM n;
        INSERT INTO gone SELECT data FROM one;
        DELETE FROM gone WHERE rowid % 3 > 0;
        DELETE FROM one WHERE id % 4 = 0;
        """)
      if vacuum == 0 { try connection.execute("DROP TABLE gone") }
      var expected: [Int64: String] = [:]
      do {
        let rows = try connection.prepare("SELECT pageno, name FROM dbstat")
        while try rows.step() { expected[rows.integer(at: 0)] = rows.text(at: 1) }
      }
      let pageCount = Int(try connection.integer("PRAGMA page_count") ?? 0)
      let free = Int(try connection.integer("PRAGMA freelist_count") ?? 0)
      connection.close()

      let file = fileBytes(path)
      let header = try #require(file.withUnsafeBytes { DatabaseHeader($0) })
      #expect(header.pageSize.bytes == pageBytes && header.pageCount == pageCount && header.hasPointerMap == (vacuum != 0))
      let owners = PageOwners(header, pageCount: pageCount) { number, room in
        let start = number.byteOffset(pageSize: header.pageSize)
        room.copyBytes(from: file[start..<start + pageBytes])
      }
      var freeFound = 0
      for page in 1...pageCount {
        switch owners[PageNumber(UInt32(page))] {
        case .schema: #expect(expected[Int64(page)] == "sqlite_schema" || expected[Int64(page)] == "sqlite_master")
        case .table(let name), .index(let name, _): #expect(expected[Int64(page)] == name)
        case .freelist: freeFound += 1
        case .pointerMap: #expect(vacuum != 0 && expected[Int64(page)] == nil)
        case .lockPage, .unknown: Issue.record("page \(page): \(expected[Int64(page)] ?? "nothing")")
        }
      }
      #expect(freeFound == free && (free > 0 || pageBytes > 4096))
      #expect(owners.root(ofTable: "two") != nil && owners.root(ofTable: "three") == nil)
    }
  }
}
