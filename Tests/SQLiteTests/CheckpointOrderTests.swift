import CSQLite
import Glibc
import SQLite
import Synchronization
import TestSupport
import Testing

/// Looks on while SQLite's own VFS writes to one file: how far a checkpoint was said to have come at each write.
private enum WriteWatch {
  struct Watched: Sendable {
    var inode: UInt64
    /// The -shm of the database, which stays open: closing it would drop SQLite's locks.
    var index: CInt
    /// Frames said to be in the database file, at each write to it.
    var backfilled: [UInt32] = []
  }

  static let watched = Mutex<Watched?>(nil)
  private static let names = ["pwrite", "pwrite64", "write"]

  /// "Frames that have been copied", a number of the -shm's header (WAL-mode File Format §2.1).
  private static let backfillOffset: off_t = 96

  static func backfilled(_ index: CInt) -> UInt32 {
    var number: UInt32 = 0
    return pread(index, &number, 4, backfillOffset) == 4 ? number : .max
  }

  static func note(_ descriptor: CInt) {
    watched.withLock { watched in
      var status = stat()
      guard let now = watched, fstat(descriptor, &status) == 0, UInt64(status.st_ino) == now.inode else { return }
      watched?.backfilled.append(backfilled(now.index))
    }
  }

  /// Runs `body` with SQLite's writes looked at; the numbers at those to the database.
  static func during(_ path: String, _ body: () throws -> Void) throws -> [UInt32] {
    let vfs = try #require(sqlite3_vfs_find(nil))
    let set = try #require(vfs.pointee.xSetSystemCall)
    let at: @convention(c) (CInt, UnsafeRawPointer?, Int, off_t) -> Int = { descriptor, bytes, count, offset in
      WriteWatch.note(descriptor)
      return pwrite(descriptor, bytes, count, offset)
    }
    let here: @convention(c) (CInt, UnsafeRawPointer?, Int) -> Int = { descriptor, bytes, count in
      WriteWatch.note(descriptor)
      return write(descriptor, bytes, count)
    }
    for name in names {
      let call =
        name == "write" ? unsafeBitCast(here, to: sqlite3_syscall_ptr.self) : unsafeBitCast(at, to: sqlite3_syscall_ptr.self)
      _ = set(vfs, name, call)
    }
    defer { for name in names { _ = set(vfs, name, nil) } }
    var status = stat()
    try #require(stat(path, &status) == 0)
    let index = open(path + "-shm", O_RDONLY | O_CLOEXEC)
    try #require(index >= 0)
    let inode = UInt64(status.st_ino)
    watched.withLock { $0 = Watched(inode: inode, index: index) }
    try body()
    return watched.withLock { watched in
      defer { watched = nil }
      return watched?.backfilled ?? []
    }
  }
}

@Suite("The order of a checkpoint") struct CheckpointOrderTests {
  @Test("what a checkpoint copies is written before SQLite says so, also where an old reader cuts it short")
  func writtenBeforeSaid() throws {
    try withTemporaryDirectory { directory in
      let path = directory + "/a.db"
      let writer = try Connection(path: path, mode: .create, vfs: GatheringVFS.name)
      try writer.execute("PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA \(GatheringVFS.synchronous)")
      try writer.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, bytes BLOB) STRICT")
      try writer.execute("INSERT INTO t VALUES (1, zeroblob(5000)), (2, zeroblob(5000)), (3, zeroblob(5000))")
      // The file has all of its pages: what is copied over them is gathered, and too little to go past the page cache.
      #expect(try writer.checkpoint(.passive).isComplete)
      try writer.execute("UPDATE t SET bytes = randomblob(5000)")
      let reader = try Connection(path: path, mode: .readOnly)
      try reader.execute("BEGIN")
      _ = try reader.integer("SELECT count(*) FROM t")
      try writer.execute("UPDATE t SET bytes = randomblob(5000) WHERE id = 2")
      var said = 0
      let numbers = try WriteWatch.during(path) {
        let result = try writer.checkpoint(.passive)
        #expect(result.checkpointedFrames > 0 && !result.isComplete)
        said = result.checkpointedFrames
      }
      #expect(!numbers.isEmpty && numbers.allSatisfy { $0 == 0 }, "\(said) frames were said to be copied: \(numbers)")
      try reader.execute("COMMIT")
    }
  }
}
