import HistorySupport
import Query
import Records
import Testing

private func smallHistory(topics: [String] = ["orders.v1"], records: Int = 100) -> MemoryHistory {
  var history = MemoryHistory()
  for topic in topics {
    let values = (0..<records).map { TestRecord(Int64($0), #"{"n":\#($0),"in":"\#(topic)"}"#) }
    history.add(
      PartitionExtent(topic: topic, partition: 0, logStartOffset: 0, highWatermark: Int64(records)),
      try! [MemoryHistory.Batch(values, at: 0)])
  }
  return history
}

private func failure(
  _ history: MemoryHistory, _ sql: String, limits: SQLLimits = SQLLimits(), parameters: [String: SQLParameter] = [:]
)
  -> QueryError?
{
  do {
    _ = try history.ask(sql, parameters: parameters, limits: limits)
    return nil
  } catch { return error }
}

private let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"

@Suite("A SQL session")
struct SQLSessionTests {
  @Test(
    "only reads",
    arguments: [
      "CREATE TABLE a(b)", "CREATE VIRTUAL TABLE a USING fts5(b)", "CREATE VIEW v AS SELECT 1", "ATTACH 'x.db' AS x",
      "PRAGMA journal_mode=DELETE", "PRAGMA writable_schema=1", "PRAGMA table_info(\"orders.v1\")",
      "SELECT * FROM pragma_database_list",
      "INSERT INTO \"orders.v1\"(value) VALUES (1)", "DELETE FROM \"orders.v1\"", "UPDATE \"orders.v1\" SET value = 1",
      "DROP TABLE \"orders.v1\"",
      "BEGIN", "VACUUM", "VACUUM INTO '/tmp/quire-test-x.db'", "ANALYZE", "REINDEX", "SELECT load_extension('x')",
      "SAVEPOINT a",
      "INSERT INTO sqlite_schema VALUES (1,2,3,4,5)", "DETACH main", "CREATE TEMP TABLE t(a)",
    ])
  func readOnly(sql: String) {
    let error = failure(smallHistory(), sql)
    #expect(error != nil)
    #expect(error?.kind == .notPermitted || error?.kind == .sql)
  }

  @Test("runs one statement; comments and semicolons may stand around it")
  func oneStatement() throws {
    let history = smallHistory()
    #expect(try history.ask("-- a\n ;SELECT 1 AS x; /* b */ ; -- c").lines == [#"{"x":1}"#])
    #expect(failure(history, "SELECT 1; SELECT 2")?.message.contains("more than one") == true)
    #expect(failure(history, "SELECT 1; nonsense")?.message.contains("more than one") == true)
    #expect(failure(history, " -- nothing\n")?.message == "there is no SQL statement")
    #expect(failure(history, "SELECT 1\0; DROP TABLE x")?.kind == .sql)
  }

  @Test("says where SQL is not understood, and takes no misspelt column for a string")
  func errors() {
    let error = failure(smallHistory(), "SELECT valeu FROM \"orders.v1\"")
    #expect(error?.message == "no such column: valeu")
    #expect(error?.position == 7)
    #expect(failure(smallHistory(), "SELECT \"valeu\" FROM \"orders.v1\"")?.message == "no such column: valeu")
    #expect(failure(smallHistory(), "SELECT * FROM nowhere")?.message == "no such table: nowhere")
  }

  @Test("rows do not wait for others that are long in coming, and a reader that is gone ends the search for them")
  func rowsAsTheyCome() throws {
    struct Gone: Error {}
    var limits = SQLLimits()
    limits.time = .seconds(40)
    for isGone in [false, true] {
      let control = ScanControl()
      let session = try SQLSession(source: smallHistory(), limits: limits, control: control)
      var text = ""
      let writer = OutputFormat.jsonl.makeWriter { bytes in
        text += String(decoding: bytes, as: UTF8.self)
        if isGone { throw Gone() }
        control.cancel()
      }
      let sql = "\(endless) SELECT i FROM n WHERE i < 3"
      let error = #expect(throws: QueryError.self) { try session.run(sql, parameters: [:], into: writer) }
      #expect(text == "{\"i\":1}\n{\"i\":2}\n")
      #expect(isGone ? error?.cause is Gone : error?.kind == .cancelled)
    }
  }

  @Test("binds named parameters, all and no others")
  func parameters() throws {
    let history = smallHistory()
    let found = try history.ask(
      "SELECT value ->> '$.n' AS n FROM \"orders.v1\" WHERE value ->> '$.n' = :n AND offset < $limit",
      parameters: ["n": .integer(7), "limit": .integer(50)])
    #expect(found.lines == [#"{"n":7}"#])
    #expect(failure(history, "SELECT :a", parameters: [:])?.kind == .parameter)
    #expect(failure(history, "SELECT 1", parameters: ["a": .null])?.kind == .parameter)
    #expect(
      try history.ask("SELECT ?, ?2 AS b", parameters: ["1": .text("x"), "2": .real(0.5)]).lines == [#"{"?":"x","b":0.5}"#])
  }

  @Test("typed parameters are numbers only where they print as typed")
  func typedParameters() {
    let expected: [(String, SQLParameter)] = [
      ("5", .integer(5)), ("-5", .integer(-5)), ("007", .text("007")), ("+5", .text("+5")), ("1.50", .real(1.5)),
      ("01.5", .text("01.5")),
      ("1e5", .text("1e5")), ("'5'", .text("5")), ("'it''s'", .text("it's")), ("", .text("")),
      ("9223372036854775808", .text("9223372036854775808")),
      (".5", .text(".5")), ("NULL", .text("NULL")),
    ]
    for (text, value) in expected { #expect(SQLParameter(typed: text) == value) }
  }

  @Test("a limit that is hit is an error of its own kind")
  func limits() {
    let history = smallHistory()
    #expect(
      failure(history, endless + " SELECT count(*) FROM n", limits: SQLLimits(time: .milliseconds(50)))?.kind == .limit(.time))
    #expect(
      failure(history, endless + " SELECT i FROM n", limits: SQLLimits(outputBytes: 200_000))?.kind == .limit(.outputBytes))
    #expect(
      failure(history, "SELECT value FROM \"orders.v1\"", limits: SQLLimits(outputBytes: 100))?.kind == .limit(.outputBytes))
    #expect(
      failure(
        history, endless + " SELECT i, hex(randomblob(100)) AS h FROM n WHERE i < 2000000 ORDER BY h",
        limits: SQLLimits(temporaryBytes: 4 << 20, cacheBytes: 1 << 20))?.kind == .limit(.temporaryBytes))
    #expect(
      failure(
        history, endless + " SELECT DISTINCT hex(randomblob(100)) FROM n",
        limits: SQLLimits(outputBytes: nil, temporaryBytes: 4 << 20, cacheBytes: 1 << 20))?.kind == .limit(.temporaryBytes))
    #expect(
      failure(history, "SELECT length(zeroblob(1000001))", limits: SQLLimits(valueBytes: 1_000_000))?.kind
        == .limit(.valueBytes))
    let deep = "SELECT " + String(repeating: "(", count: 3000) + "1" + String(repeating: ")", count: 3000)
    #expect(failure(history, deep)?.kind == .sql)
  }

  @Test("temporary files are given back when the query ends")
  func temporaryFiles() throws {
    let session = try SQLSession(
      source: smallHistory(), limits: SQLLimits(temporaryBytes: 64 << 20, cacheBytes: 64 << 10), control: ScanControl())
    let writer = OutputFormat.jsonl.makeWriter { _ in }
    _ = try session.run(
      endless + " SELECT hex(randomblob(50)) AS h FROM (SELECT i FROM n LIMIT 100000) ORDER BY h LIMIT 100000", parameters: [:],
      into: writer)
    #expect(session.temporaryBytesUsed == 0)
  }

  @Test("stops when it is cancelled from another thread")
  func cancellation() async throws {
    let control = ScanControl()
    let task = Task.detached {
      try await Task.sleep(for: .milliseconds(30))
      control.cancel()
    }
    let session = try SQLSession(source: smallHistory(), limits: SQLLimits(time: nil), control: control)
    #expect {
      try session.run(endless + " SELECT count(*) FROM n", parameters: [:], into: OutputFormat.csv.makeWriter { _ in })
    } throws: { ($0 as? QueryError)?.kind == .cancelled }
    try await task.value
  }

  @Test("a sink that fails ends the query and is the cause")
  func failingSink() throws {
    struct Gone: Error {}
    let session = try SQLSession(source: smallHistory(), limits: SQLLimits(), control: ScanControl())
    #expect {
      try session.run(endless + " SELECT i FROM n", parameters: [:], into: OutputFormat.jsonl.makeWriter { _ in throw Gone() })
    } throws: { ($0 as? QueryError)?.kind == .output && ($0 as? QueryError)?.cause is Gone }
  }

  @Test("topics that SQL could not tell apart, or that are named as SQLite's own tables, get names that can be told apart")
  func names() throws {
    let history = smallHistory(topics: ["Orders", "json_each", "orders", "sqlite_master", "sqlite_x"])
    func topics(_ table: String) throws -> [String] { try history.ask("SELECT DISTINCT topic FROM \"\(table)\"").lines }
    #expect(try topics("Orders@1") == [#"{"topic":"Orders"}"#])
    #expect(try topics("orders@2") == [#"{"topic":"orders"}"#])
    #expect(failure(history, "SELECT * FROM orders")?.message.contains("\"orders@2\" for topic orders") == true)
    #expect(try topics("json_each@1") == [#"{"topic":"json_each"}"#])
    #expect(try history.ask("SELECT count(*) AS c FROM json_each('[1,2]')").lines == [#"{"c":2}"#])
    #expect(try topics("sqlite_x") == [#"{"topic":"sqlite_x"}"#])
    #expect(try topics("sqlite_master@1") == [#"{"topic":"sqlite_master"}"#])
  }

  @Test("a thousand topics cost a session little: tables are made when they are named")
  func manyTopics() throws {
    let history = smallHistory(topics: (0..<1000).map { "topic-\($0)" }.sorted(), records: 1)
    let clock = ContinuousClock()
    var count = 0
    let time = try clock.measure { count = try history.ask("SELECT * FROM \"topic-7\", \"topic-997\"").lines.count }
    #expect(count == 1)
    #expect(time < .milliseconds(500))
  }
}
