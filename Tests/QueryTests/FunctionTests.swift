import HistorySupport
import NIOCore
import Query
import Records
import Testing

private let events: MemoryHistory = {
  var history = MemoryHistory()
  let records = (0..<12).map { i in
    TestRecord(
      Int64(i) * 30_000, key: nil, value: Array("user-\(i % 3) paid \(i)€".utf8),
      headers: [
        RecordHeader(key: "trace", value: .init(string: "a")), RecordHeader(key: "trace", value: .init(string: "q\"\n\(i)")),
        RecordHeader(key: "bin", value: .init(bytes: [0xFF, 0x01])), RecordHeader(key: "none", value: nil),
      ])
  }
  history.add(
    PartitionExtent(topic: "t", partition: 0, logStartOffset: 0, highWatermark: 12), [try! MemoryHistory.Batch(records, at: 0)])
  return history
}()

private func answer(_ sql: String) throws -> [String] {
  try events.ask(sql, format: .csv).text.split(separator: "\n").dropFirst().map(String.init)
}
private func one(_ expression: String) throws -> String { try answer("SELECT quote(\(expression))").first ?? "" }
private func complaint(_ sql: String) -> String? {
  do {
    _ = try events.ask(sql)
    return nil
  } catch { return error.message }
}

@Suite("Functions for events")
struct FunctionTests {
  @Test("windows of time begin where they should, also before 1970 and for weeks")
  func windows() throws {
    #expect(
      try answer("SELECT tumble(timestamp, '2 minutes') AS w, count(*) FROM t GROUP BY w") == ["0,4", "120000,4", "240000,4"])
    #expect(try one("tumble(-1, '1 minute')") == "-60000")
    #expect(try one("tumble(119999, 60000)") == "60000")
    #expect(try one("to_iso(tumble(from_iso('2024-05-03T10:11:12Z'), '1 week'))") == "'2024-04-29T00:00:00.000Z'")
    #expect(try one("to_iso(tumble('2024-05-03T10:11:12+02:00', '1 day'))") == "'2024-05-03T00:00:00.000Z'")
    #expect(try one("to_iso(time_bucket('15m', from_iso('2024-05-03 10:11')))") == "'2024-05-03T10:00:00.000Z'")
    #expect(try one("time_bucket('1 hour', 100, 50)") == "50")
    #expect(try one("time_bucket('1 hour', 0, 50)") == "-3599950")
    #expect(try one("tumble(NULL, '1 h')") == "NULL" && one("tumble(1, NULL)") == "NULL")
    #expect(try one("tumble(-9223372036854775808, '7 ms')") == "NULL")
    for wrong in ["'1 month'", "'0 s'", "'-1 s'", "''", "x'00'", "1.5", "'99999999999999999999 d'"] {
      #expect(complaint("SELECT tumble(1, \(wrong))")?.contains("a window is as long as") == true, "\(wrong)")
    }
  }

  @Test("hopping windows hold a time as often as they overlap")
  func hop() throws {
    let counts = try answer(
      "SELECT h.window_start, h.window_end, count(*) FROM t, hop(t.timestamp, '2 minutes', '1 minute') AS h GROUP BY 1 ORDER BY 1"
    )
    #expect(counts.first == "-60000,60000,2" && counts.last == "300000,420000,2" && counts.count == 7)
    #expect(counts[1] == "0,120000,4")
    // Steps longer than windows leave times out.
    #expect(try answer("SELECT count(*) FROM t, hop(t.timestamp, 60000, 120000)") == ["6"])
    #expect(complaint("SELECT * FROM hop(1, 10000000000, 1)")?.contains("more than") == true)
    #expect(complaint("SELECT * FROM hop") != nil)
    #expect(complaint("SELECT * FROM hop(1, '1 s')") != nil)
  }

  @Test("times as text and back")
  func iso() throws {
    #expect(try one("from_iso('2024-05-01T09:00:00.5Z')") == "1714554000500")
    // What happened in a window stays in it, however fine its time is.
    #expect(try one("from_iso('2024-05-01T09:00:00.123999Z')") == "1714554000123")
    #expect(try one("tumble('2024-05-01T09:00:59.999500Z', '1 minute')") == "1714554000000")
    #expect(try one("from_iso('nonsense')") == "NULL" && one("from_iso(5)") == "NULL")
    #expect(try one("to_iso(0)") == "'1970-01-01T00:00:00.000Z'" && one("to_iso(-1)") == "NULL")
    #expect(try answer("SELECT count(*) FROM t WHERE to_iso(timestamp) IS NOT time") == ["0"])
  }

  @Test("a header by name: the last of it, as text, blob or nothing")
  func header() throws {
    #expect(try answer("SELECT header(headers, 'trace') = 'q\"' || char(10) || offset FROM t LIMIT 2 OFFSET 4") == ["1", "1"])
    #expect(try answer("SELECT quote(header(headers, 'bin')), header(headers, 'none') IS NULL FROM t LIMIT 1") == ["X'FF01',1"])
    #expect(try one("header('[]', 'x')") == "NULL" && one("header('[[1', 'x')") == "NULL" && one("header(5, 'x')") == "NULL")
  }

  @Test("median and percentile, exact and interpolated")
  func percentile() throws {
    #expect(
      try answer("SELECT median(offset), percentile(offset, 0), percentile(offset, 100), percentile(offset, 25) FROM t") == [
        "5.5,0.0,11.0,2.75"
      ])
    #expect(try answer("SELECT quote(median(offset)) FROM t WHERE offset > 50") == ["NULL"])
    #expect(try answer("SELECT offset % 2 AS odd, median(offset) FROM t GROUP BY odd") == ["0,5.0", "1,6.0"])
    #expect(try answer("SELECT median(x) FROM (SELECT NULL AS x UNION ALL SELECT '3' UNION ALL SELECT 5)") == ["4.0"])
    #expect(complaint("SELECT median(value) FROM t")?.contains("no number") == true)
    #expect(complaint("SELECT percentile(offset, 101) FROM t")?.contains("from 0 to 100") == true)
    #expect(complaint("SELECT percentile(offset, offset) FROM t")?.contains("the same") == true)
  }

  @Test("base64, hex and uuid")
  func bytes() throws {
    #expect(try one("base64(x'FF00FE')") == "'/wD+'" && one("base64('_wD-')") == "X'FF00FE'" && one("base64('')") == "X''")
    #expect(try one("hex(base64('aGk='))") == "'6869'" && one("base64(NULL)") == "NULL")
    #expect(complaint("SELECT base64('a')") != nil && complaint("SELECT base64('ä')") != nil)
    #expect(try one("uuid(x'000102030405060708090a0b0c0d0e0f')") == "'00010203-0405-0607-0809-0a0b0c0d0e0f'")
    #expect(try one("uuid('{A0EEBC99-9C0B-4EF8-BB6D6BB9BD380A11}')") == "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'")
    #expect(try one("uuid('nope')") == "NULL")
    #expect(
      try answer(
        "SELECT count(DISTINCT uuid()), min(uuid() REGEXP '^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$') FROM t"
      ) == ["12,1"])
  }

  @Test(
    "regular expressions",
    arguments: [
      ("abc", "xabcx", true), ("^abc$", "xabc", false), ("^abc$", "abc", true), ("a|b|", "zzz", true), ("", "", true),
      ("^$", "", true), ("^$", "a", false), ("a+b*c?d", "aad", true), ("^(ab|cd)+$", "abcdab", true),
      ("^(ab|cd)+$", "abca", false),
      ("a{2,3}", "xaax", true), ("^a{2,3}$", "aaaa", false), ("^a{2,}$", "aaaa", true), ("^a{3}$", "aa", false),
      ("a{", "a{", true),
      ("^.$", "ä", true), ("^.$", "🎈", true), ("^[^a]$", "€", true), ("^[ä-ü]+$", "äöü", true), ("[ä-ü]", "é", true),
      ("^[^\\W\\d]+$", "ab_c", true), ("\\bfoo\\b", "a foo b", true), ("\\bfoo\\b", "afoo b", false), ("\\Boo", "foo", true),
      ("(?i)straße", "STRAßE", true), ("(?i)[a-c]+x", "ABCX", true), ("\\d{4}-\\d\\d", "am 2024-05-01", true),
      ("[[:alpha:]]+[]-]", "ab]", true), ("[a\\-z]", "-", true), ("[a\\-z]", "m", false), ("\\x41\\u00e4", "Aä", true),
      ("a.c", "a\nc", false), ("\\s", "a\tb", true), ("(a*)*$", "b", true), ("x*", "", true), ("[^\\x00-\\x7F]", "abc", false),
      ("[\\u0400-\\u04FF]{3}", "при", true), ("^(?:a|ab)(?:c|bcd)$", "abcd", true), ("a??b", "b", true),
      ("\\.\\*", "x.*", true),
    ] as [(String, String, Bool)])
  func regexp(pattern: String, text: String, matches: Bool) throws {
    let answer = try events.ask(
      "SELECT :t REGEXP :p AS r, regexp(:p, :t) AS s", parameters: ["p": .text(pattern), "t": .text(text)], format: .csv)
    #expect(answer.text == "r,s\n\(matches ? "1,1" : "0,0")\n")
  }

  @Test("what is no regular expression is an error; one that makes others explode takes linear time")
  func hostileExpressions() throws {
    for wrong in [
      "(", ")", "[a", "*", "a{3,2}", "a{99999}", "(?=a)", "\\1", "\\q", "[z-a]", "((((a{1000}){1000}){1000}))", "\\",
    ] {
      let failure = complaint("SELECT 'a' REGEXP '\(wrong)'")
      #expect(failure?.contains("regular expression is not understood") == true, "\(wrong)")
    }
    #expect(complaint("SELECT 'a' REGEXP '\(String(repeating: "(", count: 400))'") != nil)
    let clock = ContinuousClock()
    let time = try clock.measure {
      for pattern in ["^(a|a)*(a*)*(a+)+$b", "a*a*a*a*a*a*a*a*a*a*b"] {
        let found = try one("'\(String(repeating: "a", count: 5000))' REGEXP '\(pattern)'")
        #expect(found == "0")
      }
    }
    #expect(time < .seconds(5))
  }

  @Test("a long search ends with its statement")
  func searchIsStopped() {
    var limits = SQLLimits()
    limits.time = .milliseconds(200)
    let sql = "SELECT hex(zeroblob(8000000)) REGEXP '(0|00|000){100}1(.{50}|..{49})2'"
    do {
      _ = try events.ask(sql, limits: limits)
      Issue.record("it should have been stopped")
    } catch { #expect(error.kind == .limit(.time)) }
  }
}
