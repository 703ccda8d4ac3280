import HistorySupport
import Model
import SQLite
import TestSupport
import Testing

@testable import Query

@Suite("Declared columns")
struct DeclaredColumnTests {
  static func column(_ name: String, _ type: String, _ expression: String) -> DeclaredColumn {
    DeclaredColumn(
      name: name, definition: .init(type: .init(named: type)!, expression: expression), isIndexed: false, isFullText: false)
  }

  static let columns = [
    column("user", "TEXT", "value ->> '$.user'"), column("n", "INTEGER", "value ->> '$.n'"),
    column("r", "REAL", "value ->> '$.n'"),
    column("num", "NUMERIC", "CASE offset % 5 WHEN 0 THEN '3.0' WHEN 1 THEN 2.5 WHEN 2 THEN 7.0 WHEN 3 THEN 'x' END"),
    column("t", "TEXT", "offset * 1.5"),
    column("raw", "BLOB", "CASE offset % 3 WHEN 0 THEN offset WHEN 1 THEN key ELSE '7' END"),
    column("ok", "BOOLEAN", "value ->> '$.n' > 50"), column("day", "TEXT", "date(timestamp / 1000, 'unixepoch')"),
    column("trace", "TEXT", "header(headers, 'trace')"), column("place", "JSON", "json_array(topic, partition, offset, time)"),
  ]

  @Test(
    "answer as a table that stores them",
    arguments: [
      "SELECT day, place, ok, trace FROM events ORDER BY partition, offset",
      "SELECT user, n, r, num, t, raw FROM events ORDER BY partition, offset",
      "SELECT typeof(user), typeof(n), typeof(r), typeof(num), typeof(t), typeof(raw), count(*) FROM events GROUP BY 1,2,3,4,5,6 ORDER BY 1,2,3,4,5,6",
      "SELECT user, count(*) FROM events GROUP BY user ORDER BY user",
      "SELECT offset FROM events WHERE n = '42' OR n BETWEEN 7 AND 30 ORDER BY partition, offset",
      "SELECT offset FROM events WHERE t = 4.5 OR t = '12.0' ORDER BY partition, offset",
      "SELECT raw, count(*) FROM events WHERE raw = 7 OR raw = '7' OR raw = x'37' GROUP BY raw ORDER BY 1",
      "SELECT ok, count(*), sum(r) FROM events GROUP BY ok ORDER BY 1",
      "SELECT place FROM events ORDER BY timestamp DESC, partition, offset LIMIT 9",
      "SELECT a.n, count(*) FROM events a JOIN events b ON a.n = b.r GROUP BY a.n ORDER BY 1",
      "SELECT day, trace FROM events ORDER BY offset DESC, partition LIMIT 20", "SELECT sum(n) FROM events WHERE user IS NULL",
      "SELECT max(n), min(r), count(user) FROM events WHERE partition = 2",
    ])
  func differential(sql: String) throws {
    try DifferentialTests.world.compare(sql, columns: Self.columns, isOrdered: true)
  }

  @Test("are not computed where nobody asks")
  func notAsked() throws {
    let broken = DeclaredColumn(
      name: "broken", definition: .init(type: .text, expression: "no_such_function(value)"), isIndexed: false, isFullText: false
    )
    let catalog = MemoryCatalog(DifferentialTests.world.history, columns: ["events": [broken]])
    let answer = try catalog.ask("SELECT count(*), max(offset) FROM events")
    #expect(answer.statistics.batchesDecoded == 0)
    let error = #expect(throws: QueryError.self) { try catalog.ask("SELECT broken FROM events") }
    #expect(error?.message.contains("the column broken of topic events cannot be computed: no such function") == true)
  }

  @Test("what they read of a record is decoded, no more")
  func inputs() throws {
    let catalog = MemoryCatalog(
      DifferentialTests.world.history, columns: ["events": [Self.column("double", "INTEGER", "offset * 2")]])
    #expect(try catalog.ask("SELECT sum(double) FROM events WHERE partition = 0").statistics.batchesDecoded == 0)
  }

  @Test(
    "expressions that cannot be are refused in words",
    arguments: [
      ("value ->>", "syntax error"), ("no_such(value)", "no such function: no_such"), ("nix", "no such column: nix at byte 0"),
      ("count(*)", "misuse of aggregate"), ("(SELECT 1)", "subquer"), ("1) FROM record UNION SELECT (2", "SELECT"),
      ("value, key", "row value"), ("1; DROP TABLE x", "syntax error"), ("random()", "non-deterministic"),
      ("uuid()", "non-deterministic"),
      ("date('now')", "not be the same each time"), ("datetime()", "needs a time"),
      ("date(x'6e6f77')", "not be the same each time"), ("time('subsecond')", "not be the same each time"),
      ("date(0, x'6c6f63616c74696d65')", "not be the same each time"), ("timediff(timestamp, 'now')", "timediff"),
      ("current_timestamp", "not available"),
      ("load_extension('x')", "not available"), ("row_number() OVER ()", "row_number"), ("?1", "parameter"),
      (":a", "parameter"),
      ("value MATCH 'x'", "not available"), ("other.value", "no such column"), ("sqlite_version()", "not available"),
      ("1 /*", "incomplete input"), ("'a", "unrecognized token"), ("hop(1,2,3)", "no such function"),
      ("rowid", "no such column"),
    ])
  func refusals(expression: String, words: String) {
    let complaint = ColumnRules.complaint(about: [Self.column("c", "TEXT", expression)])
    #expect(complaint?.hasPrefix("column c: the expression '\(expression)' is not possible: ") == true, "\(complaint ?? "nil")")
    #expect(complaint?.contains(words) == true, "\(complaint ?? "nil")")
  }

  @Test("a value that is none is NULL: malformed JSON, a date of a text that says now")
  func failures() throws {
    var history = MemoryHistory()
    let values = ["{", "{\"d\":\"now\"}", "{\"d\":\"2024-05-01\"}"]
    let batch = try MemoryHistory.Batch(values.enumerated().map { TestRecord(Int64($0.offset), $0.element) }, at: 0)
    history.add(PartitionExtent(topic: "t", partition: 0, logStartOffset: 0, highWatermark: 3), [batch])
    let catalog = MemoryCatalog(history, columns: ["t": [Self.column("d", "TEXT", "date(value ->> '$.d')")]])
    #expect(try catalog.ask("SELECT d FROM t").lines == ["{\"d\":null}", "{\"d\":null}", "{\"d\":\"2024-05-01\"}"])
    #expect(
      try catalog.ask("SELECT offset, d FROM t WHERE d IS NOT NULL ORDER BY offset DESC").lines == [
        "{\"offset\":2,\"d\":\"2024-05-01\"}"
      ])
  }
}

@Suite("The text of quire.columns")
struct ColumnTextTests {
  @Test("is written as it is read")
  func roundTrip() throws {
    let columns = [
      DeclaredColumn(
        name: "a", definition: .init(type: .json, expression: "value -> '$.\"q\\\"\u{e9}\"'\n"), isIndexed: true,
        isFullText: true),
      DeclaredColumn(name: "key", definition: nil, isIndexed: true, isFullText: false),
    ]
    #expect(try DeclaredColumn.list(DeclaredColumn.text(columns)) == columns)
    #expect(try DeclaredColumn.list("") == [] && DeclaredColumn.text([]) == "")
    #expect(try DeclaredColumn.list(" [ {\"name\" : \"a\\u0062\", \"type\":\"int\",\"expression\":\"1\"} ] ")[0].name == "ab")
  }

  @Test(
    "is refused in words",
    arguments: [
      ("{}", "a JSON array"), ("[", "object"), ("[{}]", "column number 1 has no \"name\""),
      ("[{\"name\":\"a\"}]", "column a has no \"type\""),
      ("[{\"name\":\"a\",\"type\":\"TEXT\"}]", "column a has no \"expression\""),
      ("[{\"name\":\"a\",\"type\":\"VEC\",\"expression\":\"1\"}]", "'VEC' is none of"),
      ("[{\"name\":\"Offset\",\"type\":\"TEXT\",\"expression\":\"1\"}]", "every topic has"),
      ("[{\"name\":\"1a\",\"type\":\"TEXT\",\"expression\":\"1\"}]", "begins with no digit"),
      ("[{\"name\":\"key\",\"type\":\"TEXT\",\"indexed\":true}]", "is there already"), ("[{\"name\":\"key\"}]", "index it"),
      ("[{\"name\":\"key\",\"indexed\":1}]", "in double quotes"), ("[{\"name\":\"key\",\"indexed\":\"yes\"}]", "true or false"),
      ("[{\"name\":\"key\",\"indexed\":true},{\"name\":\"key\",\"indexed\":true}]", "declared twice"),
      ("[{\"name\":\"key\",\"index\":true}]", "none of name"),
      ("[{\"name\":\"key\",\"indexed\":true}] x", "follows"), ("[{\"name\":\"k", "without its end"),
      ("[{\"name\":\"\\uD800\"}]", "no character"),
      ("[{\"name\":\"headers\",\"indexed\":true}]", "every topic has"),
    ])
  func refusals(text: String, words: String) {
    let error = #expect(throws: ColumnSyntaxError.self) { try DeclaredColumn.list(text) }
    #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
  }
}
