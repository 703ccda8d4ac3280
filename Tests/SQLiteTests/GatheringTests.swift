import Glibc
import SQLite
import Synchronization
import TestSupport
import Testing

@Suite("Gathered writes") struct GatheringTests {
  private func open(_ path: String, vfs: String?) throws -> Connection {
    let connection = try Connection(path: path, mode: .create, vfs: vfs)
    // A cache of few pages: large transactions spill into the WAL and read back from it.
    try connection.execute(
      "PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA \(GatheringVFS.synchronous); PRAGMA cache_size=-64; PRAGMA cache_spill=1"
    )
    try connection.execute(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, stamp INTEGER, bytes BLOB) STRICT; CREATE INDEX i ON t(stamp)")
    return connection
  }

  private func open(_ path: String, _ flags: CInt) -> CInt { Glibc.open(path, flags) }

  /// The sizes of blobs that a transaction inserts: single small ones, some of the size of a buffer, many megabytes.
  private static let transactions: [[Int]] = [
    [1], [100, 200], [70_000], [131_071], [131_072], Array(repeating: 3_000, count: 300), [5_000_000], [],
    Array(repeating: 900_000, count: 5), [10],
  ]

  @Test("are seen by other connections as soon as they are committed, before and after checkpoints")
  func visibleAtOnce() throws {
    try withTemporaryDirectory { directory in
      let path = directory + "/a.db"
      let writer = try open(path, vfs: GatheringVFS.name)
      #expect(GatheringVFS.name != nil)
      let reader = try Connection(path: path, mode: .readOnly)
      var expected: Int64 = 0
      var id: Int64 = 0
      for round in 0..<3 {
        for sizes in Self.transactions {
          try writer.execute("BEGIN")
          for size in sizes {
            id += 1
            expected += Int64(size)
            try writer.execute("INSERT INTO t VALUES (\(id), \(id * 7919 % 1000), randomblob(\(size)))")
          }
          try writer.execute("COMMIT")
          #expect(try reader.integer("SELECT total(length(bytes)) FROM t") == expected)
          #expect(writer.flushGatheredWrites())
        }
        try writer.execute(
          "BEGIN; DELETE FROM t WHERE id % 3 = 0; INSERT INTO t VALUES (1000000, 0, randomblob(4000000)); ROLLBACK")
        #expect(try reader.integer("SELECT total(length(bytes)) FROM t") == expected)
        #expect(try reader.text("PRAGMA integrity_check") == "ok")
        let result = try writer.checkpoint(round == 1 ? .truncate : .passive)
        #expect(!result.isBusy)
        #expect(try reader.text("PRAGMA integrity_check") == "ok")
      }
    }
  }

  @Test("of a checkpoint that an old reader cuts short are in the file before a new reader looks for them there")
  func partialCheckpoint() async throws {
    try await withTemporaryDirectory { directory in
      let path = directory + "/a.db"
      let writer = try open(path, vfs: GatheringVFS.name)
      try writer.execute("INSERT INTO t VALUES (0, 0, x'')")
      let committed = Atomic<Int64>(1)
      let isOver = Atomic<Bool>(false)
      let wrong = Task.detached {
        var wrong = 0
        while !isOver.load(ordering: .acquiring) {
          // One that has no pages in its cache yet.
          let reader = try Connection(path: path, mode: .readOnly)
          let least = committed.load(ordering: .acquiring)
          if try reader.integer("SELECT count(*) FROM t") ?? 0 < least { wrong += 1 }
          if try reader.integer("SELECT count(*) FROM t INDEXED BY i WHERE stamp >= 0") ?? 0 < least { wrong += 1 }
        }
        return wrong
      }
      for round in 1...40 {
        let old = try Connection(path: path, mode: .readOnly)
        try old.execute("BEGIN")
        _ = try old.integer("SELECT count(*) FROM t")
        for part in 0..<20 {
          try writer.execute("INSERT INTO t VALUES (\(round * 100 + part), \(part), randomblob(200000))")
          committed.add(1, ordering: .releasing)
        }
        let result = try writer.checkpoint(.passive)
        #expect(round == 1 || result.checkpointedFrames <= result.walFrames)
        try old.execute("COMMIT")
        old.close()
      }
      isOver.store(true, ordering: .releasing)
      #expect(try await wrong.value == 0)
      #expect(try writer.text("PRAGMA integrity_check") == "ok")
    }
  }

  @Test("leave the same database file as SQLite alone")
  func sameFile() throws {
    try withTemporaryDirectory { directory in
      let files = try [("plain", nil), ("gathered", GatheringVFS.name)].map { name, vfs in
        let path = "\(directory)/\(name).db"
        let connection = try open(path, vfs: vfs)
        for (index, sizes) in Self.transactions.enumerated() {
          try connection.execute("BEGIN")
          for (number, size) in sizes.enumerated() {
            try connection.execute(
              "INSERT INTO t VALUES (\(index * 1000 + number), \(number * 31 % 17), CAST(printf('%.\(size)c', '\(index % 10)') AS BLOB))"
            )
          }
          try connection.execute("COMMIT")
          if index % 4 == 3 { _ = try connection.checkpoint(.passive) }
        }
        #expect(try !connection.checkpoint(.truncate).isBusy)
        connection.close()
        return try bytes(of: path)
      }
      #expect(files[0].count > 10_000_000)
      #expect(files[0] == files[1])
    }
  }

  private func bytes(of path: String) throws -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    defer { close(descriptor) }
    var status = stat()
    #expect(descriptor >= 0 && fstat(descriptor, &status) == 0)
    var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
    var position = 0
    while position < bytes.count {
      let count = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress! + position, $0.count - position) }
      try #require(count > 0)
      position += count
    }
    return bytes
  }
}
