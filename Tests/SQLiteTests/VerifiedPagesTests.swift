import SQLite
import TestSupport
import Testing

@Suite("Sealed files") struct VerifiedPagesTests {
  @Test("sealing and verifying a long file end soon after somebody says so")
  func stops() throws {
    try withTemporaryDirectory { directory in
      let path = directory + "/a.db"
      let connection = try Connection(path: path, mode: .create)
      try VerifiedPages.prepare(connection)
      try connection.execute("CREATE TABLE t(bytes BLOB); INSERT INTO t VALUES (randomblob(6000000))")
      connection.close()
      func countingLooks(_ body: (() -> Bool) throws -> Bool) rethrows -> (ended: Bool, looks: Int) {
        var looks = 0
        let ended = try body {
          looks += 1
          return looks == 3
        }
        return (ended, looks)
      }
      #expect(throws: SQLiteError.self) {
        try countingLooks {
          _ = try VerifiedPages.seal(path, number: 7, shouldStop: $0) == 0; return true
        }
      }
      #expect(try VerifiedPages.seal(path, number: 7) > 6_000_000)
      let found = countingLooks { VerifiedPages.verify(path, shouldStop: $0) }
      #expect(!found.ended && found.looks == 3)
      #expect(VerifiedPages.verify(path))
    }
  }
}
