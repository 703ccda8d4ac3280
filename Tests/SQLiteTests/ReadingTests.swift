import Glibc
import SQLite
import TestSupport
import Testing

@Suite("Reading ahead of SQLite") struct ReadingTests {
  private func database(_ path: String) throws -> Connection {
    let writer = try Connection(path: path, mode: .create, vfs: GatheringVFS.name)
    try writer.execute("PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA \(GatheringVFS.synchronous)")
    try writer.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, bytes BLOB) STRICT")
    for id in 1...40 { try writer.execute("INSERT INTO t VALUES (\(id), randomblob(500000))") }
    _ = try writer.checkpoint(.passive)
    return writer
  }

  /// Reads each blob once.
  private static let digest = "SELECT max(substr(hex(bytes), 900000, 40)) || total(length(bytes)) FROM t"

  @Test("reads a long stretch in few calls, and the same bytes", arguments: [Connection.Mode.readOnly, .immutable])
  func fewCalls(_ mode: Connection.Mode) throws {
    try withTemporaryDirectory { directory in
      let path = directory + "/a.db"
      let writer = try database(path)
      if mode == .immutable { _ = try writer.checkpoint(.truncate) }
      let expected = try writer.text(Self.digest)
      let reader = try Connection(path: path, mode: mode, vfs: ReadingVFS.name)
      #expect(ReadingVFS.name != nil)
      try reader.execute("PRAGMA mmap_size=0; PRAGMA cache_size=-64")
      _ = try reader.text("SELECT count(*) FROM t")
      let before = try systemCalls("syscr")
      reader.expectSequentialRead(of: 30_000_000)
      #expect(try reader.text(Self.digest) == expected)
      reader.expectSequentialRead(of: 0)
      let ahead = try systemCalls("syscr") - before
      #expect(try reader.text(Self.digest) == expected)
      let plain = try systemCalls("syscr") - before - ahead
      #expect(ahead * 5 < plain, "\(ahead) calls against \(plain)")
    }
  }

  @Test("sees what was committed and folded into the file since, although it had read past it before")
  func neverStale() throws {
    try withTemporaryDirectory { directory in
      let path = directory + "/a.db"
      let writer = try database(path)
      let reader = try Connection(path: path, mode: .readOnly, vfs: ReadingVFS.name)
      try reader.execute("PRAGMA mmap_size=0; PRAGMA cache_size=-64")
      reader.expectSequentialRead(of: .max)
      for round in 0..<12 {
        try writer.execute("UPDATE t SET bytes = randomblob(500000) WHERE id % 7 = \(round % 7)")
        if round % 2 == 0 { _ = try writer.checkpoint(round % 4 == 0 ? .passive : .truncate) }
        #expect(try reader.text(Self.digest) == writer.text(Self.digest))
        #expect(try reader.text("PRAGMA integrity_check") == "ok")
      }
    }
  }
}
