import HistorySupport
import Query
import Records
import Testing

@Suite("Output formats")
struct FormatTests {
  private func ask(_ sql: String, _ format: OutputFormat) throws -> String { try MemoryHistory().ask(sql, format: format).text }

  static let values = """
    SELECT 1 AS i, -9223372036854775808 AS least, 0.1 AS r, 1e100 AS big, 100.0 AS whole, NULL AS void, 'a"b\\' || char(10, 9, 1) AS t,
      x'00ff' AS b, '' AS empty, 1e999 AS infinite, 'grün' AS u
    """

  @Test("JSON Lines keeps every value exactly")
  func jsonLines() throws {
    #expect(
      try ask(Self.values, .jsonl) == #"""
        {"i":1,"least":-9223372036854775808,"r":0.1,"big":1e+100,"whole":100.0,"void":null,"t":"a\"b\\\n\t\u0001","b":{"base64":"AP8="},"empty":"","infinite":9e999,"u":"grün"}

        """#)
    #expect(
      try ask("SELECT CAST(x'ff41' AS TEXT) AS t, 'a' || char(0) || 'b' AS n", .jsonl)
        == "{\"t\":{\"base64\":\"/0E=\"},\"n\":\"a\\u0000b\"}\n")
  }

  @Test("JSON is one array, also when it is empty")
  func json() throws {
    #expect(try ask("SELECT 1 AS a UNION ALL SELECT 2", .json) == "[\n{\"a\":1},\n{\"a\":2}\n]\n")
    #expect(try ask("SELECT 1 AS a WHERE 0", .json) == "[]\n")
  }

  @Test("columns of one name stay apart in JSON")
  func equalNames() throws {
    let text = try ask("SELECT 1 AS a, 2 AS a, 3 AS a_2, 4 AS a", .jsonl)
    #expect(text == #"{"a":1,"a_3":2,"a_2":3,"a_4":4}"# + "\n")
  }

  @Test("CSV has a header line, LF, and quotes by RFC 4180; NULL and empty text differ")
  func csv() throws {
    #expect(
      try ask(
        "SELECT 1 AS \"a,b\", NULL AS n, '' AS e, 'x,\"y' AS q, 'l1' || char(10) || 'l2' AS l, x'0aff' AS b, 1.5 AS r", .csv)
        == "\"a,b\",n,e,q,l,b,r\n1,,\"\",\"x,\"\"y\",\"l1\nl2\",X'0AFF',1.5\n")
    #expect(try ask("SELECT NULL AS n UNION ALL SELECT 1", .csv) == "n\n\"\"\n1\n")
  }

  @Test("a table is aligned, numbers to the right, and cannot command the terminal")
  func table() throws {
    #expect(
      try ask("SELECT 1 AS n, 'a' AS t UNION ALL SELECT 100, 'b' || char(27) || '[2J'", .table) == """
        n    t
        ---  ----------
          1  a
        100  b\\u{1b}[2J
        (2 rows)

        """)
    #expect(try ask("SELECT '日本' AS t, 1 AS n UNION ALL SELECT 'abc', 22", .table).contains("日本   1\nabc   22\n"))
  }

  @Test("rows are handed on in chunks, not kept")
  func streaming() throws {
    for format in OutputFormat.allCases {
      let collected = Collected()
      let session = try SQLSession(source: MemoryHistory(), limits: SQLLimits(), control: ScanControl())
      _ = try session.run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i, 'some text that is long enough' AS t FROM n",
        parameters: [:], into: format.makeWriter(sink: collected.sink))
      #expect(collected.chunks >= 8, "\(format)")
      #expect(collected.text.contains("20000"))
    }
  }
}

@Suite("Times as text")
struct TimeTextTests {
  @Test(
    "known times",
    arguments: [
      (Int64(0), "1970-01-01T00:00:00.000Z"), (1, "1970-01-01T00:00:00.001Z"), (-2, "1969-12-31T23:59:59.998Z"),
      (951_782_400_000, "2000-02-29T00:00:00.000Z"), (1_714_554_000_123, "2024-05-01T09:00:00.123Z"),
      (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"), (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
      (-2_203_891_200_000, "1900-03-01T00:00:00.000Z"),
    ])
  func known(time: Int64, text: String) { #expect(TimeText.text(time) == text) }

  @Test("no timestamp, and times beyond four-digit years, have no text")
  func none() {
    for time in [-1, Int64.max, .min, 253_402_300_800_000] { #expect(TimeText.text(time) == nil) }
  }

  @Test("agrees with SQLite on every day of four centuries and beyond")
  func againstSQLite() throws {
    let answer = try MemoryHistory().ask(
      "WITH RECURSIVE n(i) AS (SELECT -62167219200 UNION ALL SELECT i + 8640007 FROM n WHERE i < 253392300799) SELECT i, strftime('%Y-%m-%dT%H:%M:%S.000Z', i, 'unixepoch') FROM n",
      format: .csv)
    for line in answer.lines.dropFirst() {
      let fields = line.split(separator: ",")
      #expect(TimeText.text(Int64(fields[0])! * 1000)! == fields[1])
    }
    #expect(answer.lines.count > 30_000)
  }
}
