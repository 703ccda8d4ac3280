import SQLite
import TestSupport
import Testing

@Suite("A connection") struct ConnectionTests {
  @Test("binds and reads every type, empty text and empty blobs included")
  func roundTrip() throws {
    try withTemporaryDirectory { directory in
      let connection = try Connection(path: directory + "/a.db", mode: .create)
      try connection.execute("CREATE TABLE t(i INTEGER, d REAL, s TEXT, b BLOB, e TEXT, z BLOB, n TEXT) STRICT")
      let insert = try connection.prepare("INSERT INTO t VALUES (?,?,?,?,?,?,?)")
      let bytes: [UInt8] = [0, 1, 255]
      try bytes.withUnsafeBytes { raw in
        insert.bind(Int64.min, at: 1)
        insert.bind(1.5, at: 2)
        insert.bind("grün", at: 3)
        insert.bindStatic(raw, at: 4)
        insert.bind("", at: 5)
        insert.bind([UInt8](), at: 6)
        insert.bind(nil as String?, at: 7)
        try insert.run()
        insert.clearBindings()
      }
      let select = try connection.prepare("SELECT *, typeof(e), typeof(z) FROM t")
      #expect(try select.step())
      #expect(select.integer(at: 0) == .min)
      #expect(select.double(at: 1) == 1.5)
      #expect(select.text(at: 2) == "grün")
      #expect(select.blob(at: 3) == bytes)
      #expect(select.text(at: 4) == "")
      #expect(select.blob(at: 5) == [])
      #expect(select.text(at: 6) == nil && select.isNull(at: 6))
      #expect(select.text(at: 7) == "text" && select.text(at: 8) == "blob")
      #expect(try !select.step())
    }
  }

  @Test("closes once its statements are let go of, whoever still holds them")
  func finalized() throws {
    let connection = try Connection(path: ":memory:", mode: .create)
    let statement = try connection.prepare("SELECT 1")
    #expect(try statement.step())
    statement.finalize()
    statement.finalize()
    connection.close()
    _ = statement
  }

  @Test("reports the extended code and the statement that failed")
  func errors() throws {
    try withTemporaryDirectory { directory in
      let connection = try Connection(path: directory + "/a.db", mode: .create)
      try connection.execute("CREATE TABLE t(a INTEGER PRIMARY KEY) STRICT; INSERT INTO t VALUES (1)")
      let error = #expect(throws: SQLiteError.self) { try connection.execute("INSERT INTO t VALUES (1)") }
      #expect(error?.primaryCode == 19 && error?.code == 1555)  // SQLITE_CONSTRAINT_PRIMARYKEY
      #expect(error?.sql == "INSERT INTO t VALUES (1)")
      #expect(throws: SQLiteError.self) { try connection.prepare("SELECT \"no such column\" FROM t") }
    }
  }

  @Test("counts WAL frames in its hook and checkpoints all of them when no reader is in the way")
  func checkpoint() throws {
    try withTemporaryDirectory { directory in
      let writer = try Connection(path: directory + "/a.db", mode: .create)
      try writer.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL")
      var frames = 0
      writer.setWALHook { frames = $0 }
      try writer.execute("CREATE TABLE t(a) ; INSERT INTO t VALUES (1)")
      #expect(frames > 1)
      let before = frames
      let reader = try Connection(path: directory + "/a.db", mode: .readOnly)
      let select = try reader.prepare("SELECT count(*) FROM t")
      #expect(try select.step())
      try writer.execute("INSERT INTO t VALUES (2)")
      let partial = try writer.checkpoint(.passive)
      #expect(!partial.isComplete && partial.checkpointedFrames == before)
      select.reset()
      #expect(try writer.checkpoint(.passive).isComplete)
      try writer.execute("INSERT INTO t VALUES (3)")
      #expect(frames < before, "the WAL has started over")
    }
  }

  @Test("leaves the WAL on close, unless the checkpoint on close was asked for")
  func close() throws {
    try withTemporaryDirectory { directory in
      let path = directory + "/a.db"
      var connection = try Connection(path: path, mode: .create)
      try connection.execute("PRAGMA journal_mode=WAL; CREATE TABLE t(a)")
      connection.close()
      #expect(fileExists(path + "-wal"))
      connection = try Connection(path: path, mode: .readWrite)
      #expect(try connection.integer("SELECT count(*) FROM t") == 0)
      connection.setCheckpointOnClose(true)
      connection.close()
      #expect(!fileExists(path + "-wal"))
      let immutable = try Connection(path: path, mode: .immutable)
      #expect(try immutable.integer("SELECT count(*) FROM t") == 0)
      #expect(throws: SQLiteError.self) { try immutable.execute("INSERT INTO t VALUES (1)") }
    }
  }

  @Test("is stopped by its progress handler and limited by its authorizer")
  func guards() throws {
    let connection = try Connection(path: ":memory:", mode: .create)
    try connection.execute("CREATE TABLE t(a)")
    connection.setAuthorizer { $0.action == 18 ? .deny : .allow }  // SQLITE_INSERT
    #expect(throws: SQLiteError.self) { try connection.execute("INSERT INTO t VALUES (1)") }
    connection.setAuthorizer(nil)
    var calls = 0
    connection.setProgressHandler(steps: 100) {
      calls += 1
      return calls > 10
    }
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n"
    let error = #expect(throws: SQLiteError.self) { _ = try connection.integer(endless) }
    #expect(error?.isInterrupt == true)
    connection.setProgressHandler(steps: 0, nil)
    #expect(try connection.integer("SELECT 7") == 7)
  }

  @Test("rolls a transaction back when its body throws")
  func rollback() throws {
    let connection = try Connection(path: ":memory:", mode: .create)
    try connection.execute("CREATE TABLE t(a)")
    #expect(throws: SQLiteError.self) {
      try connection.transaction { () throws(SQLiteError) in
        try connection.execute("INSERT INTO t VALUES (1)")
        try connection.execute("nonsense")
      }
    }
    #expect(!connection.isInTransaction)
    #expect(try connection.integer("SELECT count(*) FROM t") == 0)
  }
}
