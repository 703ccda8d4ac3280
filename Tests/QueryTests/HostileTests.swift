import HistorySupport
import Query
import Records
import Testing

private let history: MemoryHistory = {
  var history = MemoryHistory()
  history.add(
    PartitionExtent(topic: "t", partition: 0, logStartOffset: 0, highWatermark: 3),
    [try! MemoryHistory.Batch((0..<3).map { TestRecord(Int64($0), "{\"n\":\($0)}") }, at: 0)])
  return history
}()

private let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"

/// Each common table expression reads the one before twice.
private let doubling: String = {
  var sql = "WITH c0 AS (SELECT 1 AS x)"
  for i in 1...40 { sql += ", c\(i) AS (SELECT a.x FROM c\(i - 1) a, c\(i - 1) b)" }
  return sql + " SELECT count(*) FROM c40"
}()

@Suite("SQL from people who mean harm")
struct HostileTests {
  private var limits: SQLLimits {
    SQLLimits(
      time: .seconds(2), outputBytes: 64 << 20, temporaryBytes: 16 << 20, cacheBytes: 1 << 20, valueBytes: 4 << 20,
      memoryBytes: 32 << 20)
  }

  private static let wide = (0..<100).map { "randomblob(4000000) AS c\($0)" }.joined(separator: ", ")
  private static let deepJSON = "replace(hex(zeroblob(200000)), '0', '[')"

  @Test(
    "ends with an error of its own, in time and in memory, and the session's node goes on",
    arguments: [
      // without end
      endless + " SELECT count(*) FROM n", endless + " SELECT max(i) OVER () FROM n",
      endless + " SELECT group_concat(i) FROM n",
      endless + " SELECT count(*) FROM n a, n b", endless + " SELECT i FROM n ORDER BY i DESC",
      endless + " SELECT DISTINCT i FROM n",
      "WITH RECURSIVE f(a) AS (VALUES('x') UNION ALL SELECT a || a FROM f) SELECT max(length(a)) FROM f",
      "SELECT count(*) FROM t a, t b, t c, t d, t e, t f, t g, t h, t i, t j, t k, t l, t m, t n, t o, t p, t q, t r, t s, t u",
      // large values
      "SELECT zeroblob(1000000000)", "SELECT randomblob(1000000000)", "SELECT hex(zeroblob(3000000))",
      "SELECT replace(hex(zeroblob(1000000)), '0', 'xxxxxxxxxx')", "SELECT \(wide)",
      "SELECT length(group_concat(hex(randomblob(500000)))) FROM t a, t b, t c",
      "SELECT json_group_array(hex(randomblob(300000))) FROM t a, t b, t c",
      // what takes long within one instruction, or to understand
      doubling, "SELECT json(\(deepJSON))", "SELECT * FROM json_tree(\(deepJSON))",
      "SELECT 1 WHERE 'a' LIKE '\(String(repeating: "%a", count: 1000))'",
      "SELECT \((0..<5000).map { "\($0)" }.joined(separator: "+"))", "SELECT \(String(repeating: "-", count: 1000)) 1",
      "SELECT \(String(repeating: "abs(", count: 300))1\(String(repeating: ")", count: 300))",
      "SELECT 1 \(String(repeating: "UNION ALL SELECT 1 ", count: 1000))",
      "SELECT \((0..<2000).map { "\($0)" }.joined(separator: ","))",
      String(repeating: "SELECT * FROM (", count: 500) + "SELECT 1" + String(repeating: ")", count: 500),
      // what is not to be read or changed
      "PRAGMA writable_schema=1", "PRAGMA temp_store_directory='/tmp'", "PRAGMA cache_size=-1000000",
      "SELECT * FROM pragma_compile_options",
      "SELECT * FROM pragma_table_info('t')", "ATTACH '/etc/passwd' AS p", "ATTACH ':memory:' AS m",
      "VACUUM INTO '/tmp/quire-stolen.db'",
      "SELECT load_extension('libc.so.6')", "SELECT fts3_tokenizer('simple')", "SELECT fts3_tokenizer('x', x'00')",
      "SELECT readfile('/etc/passwd')",
      "SELECT writefile('/tmp/x', 'y')", "SELECT edit('x')", "CREATE TABLE x AS SELECT 1",
      "CREATE TEMP TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END",
      "INSERT INTO sqlite_schema VALUES(1,2,3,4,5)", "UPDATE sqlite_master SET sql = ''", "SELECT * FROM sqlite_dbpage",
      "SELECT * FROM dbstat",
      "SELECT * FROM fts5vocab", "SELECT * FROM bytecode('SELECT 1')", "SELECT * FROM tables_used('SELECT 1')",
      "SELECT * FROM sqlite_stmt",
      "DROP TABLE t", "DELETE FROM quire_topics", "REINDEX", "ANALYZE", "BEGIN EXCLUSIVE", "SELECT 1; DROP TABLE t",
      // our own functions
      "SELECT * FROM hop(0, '1000 days', 1)", "SELECT 'x' REGEXP '(((a{900}){900}){900})'",
      endless + " SELECT median(i) FROM n", "SELECT uuid(randomblob(5000000))",
    ])
  func hostile(sql: String) throws {
    let clock = ContinuousClock()
    var failure: QueryError?
    let time = clock.measure {
      do throws(QueryError) { _ = try history.ask(sql, limits: limits) } catch { failure = error }
    }
    #expect(failure != nil, "it was answered")
    #expect(failure?.kind != .unavailable && failure?.kind != .history, "\(failure?.message ?? "")")
    #expect(time < .seconds(10))
    #expect(try history.ask("SELECT count(*) AS c FROM t").lines == [#"{"c":3}"#])
  }

  @Test("a record that unpacks to more than a statement could return is not unpacked: what asks for it fails, and nothing else")
  func largeRecord() throws {
    var history = MemoryHistory()
    let records = [
      TestRecord(0, "{}", key: "small"),
      TestRecord(1, String(repeating: "0", count: 60 << 20), key: "x"),
      TestRecord(2, "{}", key: "last"),
    ]
    let extent = PartitionExtent(topic: "t", partition: 0, logStartOffset: 0, highWatermark: 3)
    history.add(extent, [try MemoryHistory.Batch(records, at: 0, compression: .zstd)])
    #expect(try history.ask("SELECT count(*) AS c, max(offset) AS o FROM t").lines == [#"{"c":3,"o":2}"#])
    #expect {
      _ = try history.ask("SELECT key FROM t")
    } throws: { error in
      (error as? QueryError)?.kind == .limit(.valueBytes)
        && (error as? QueryError)?.message.contains("t-0 at offset 1") == true
    }
    #expect(try history.ask("SELECT key FROM t WHERE offset = 0").lines == [#"{"key":"small"}"#])
  }

  @Test("printf gives no more than a value may have, whatever width it is told")
  func widths() throws {
    for call in ["printf('%.*c', 1000000000, 'x')", "printf('%1000000000d', 1)", "format('%*s', 2000000000, '')"] {
      let answer = try history.ask("SELECT coalesce(length(\(call)), 0) <= 4194304 AS c", limits: limits)
      #expect(answer.lines == [#"{"c":1}"#], "\(call)")
    }
  }

  @Test("a statement that ran out of memory leaves its session fit for the next")
  func afterMemory() throws {
    let session = try SQLSession(source: history, limits: limits, control: ScanControl())
    for _ in 0..<3 {
      #expect {
        _ = try session.run("SELECT \(Self.wide)", parameters: [:], into: OutputFormat.csv.makeWriter { _ in })
      } throws: { ($0 as? QueryError)?.kind == .limit(.memory) }
      let summary = try session.run("SELECT value FROM t", parameters: [:], into: OutputFormat.csv.makeWriter { _ in })
      #expect(summary.rows == 3)
    }
  }

  @Test(
    "searching a large text for another takes as long as both are",
    arguments: [
      "SELECT instr(replace(hex(zeroblob(1000000)), '00', 'aa'), replace(hex(zeroblob(500000)), '00', 'aa') || 'b')",
      "SELECT length(replace(hex(zeroblob(1000000)), hex(zeroblob(500000)) || '1', 'x'))",
      "SELECT length(trim(hex(zeroblob(1000000)), hex(randomblob(1000000))))",
    ])
  func linearFunctions(sql: String) throws {
    let time = try ContinuousClock().measure { _ = try history.ask(sql, limits: limits) }
    #expect(time < .seconds(10))
  }

  @Test("instr, replace and trim answer as SQLite's own do")
  func textFunctions() throws {
    let cases: [(String, String)] = [
      ("instr('grün', 'n')", "4"), ("instr(x'C3BC6E', x'6E')", "3"), ("instr('abc', '')", "1"), ("instr('', 'a')", "0"),
      ("instr(12345, 34)", "3"), ("instr(NULL, 'a')", "NULL"), ("instr('abc', x'62')", "2"),
      ("replace('aaa', 'a', 'bb')", "'bbbbbb'"), ("replace('abc', '', 'x')", "'abc'"), ("replace('abc', 'b', NULL)", "NULL"),
      ("replace(121, 1, 3)", "'323'"), ("trim('  a b ')", "'a b'"), ("trim('üaü', 'ü')", "'a'"), ("ltrim('xxa', 'x')", "'a'"),
      ("rtrim('axyx', 'xy')", "'a'"), ("trim('aaa', 'a')", "''"), ("trim(NULL)", "NULL"), ("trim('abc', '')", "'abc'"),
      ("trim('🎈x🎈', '🎈y')", "'x'"),
    ]
    for (expression, value) in cases {
      let answer = try history.ask("SELECT quote(\(expression)) AS v", format: .csv)
      #expect(answer.lines.last == value, "\(expression)")
    }
  }
}
