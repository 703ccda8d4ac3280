import HistorySupport
import NIOCore
import Query
import Testing

@testable import Gateway

/// A session without a network: what it answers, message by message.
private final class Conversation {
  private let session: PostgresSession
  let running = RunningStatement()
  private var answer = ByteBuffer()

  /// Ten records in the topic `plays`; the value of the one at offset 7 is no text.
  init(messages: Int = 10) throws {
    var history = MemoryHistory()
    let records = (0..<messages).map { index in
      index == 7
        ? TestRecord(1_700_000_000_000, key: Array("k".utf8), value: [0xFF, 0x00])
        : TestRecord(1_700_000_000_000 + Int64(index), "{\"n\":\(index)}", key: "k\(index % 3)")
    }
    history.add(
      PartitionExtent(topic: "plays", partition: 0, logStartOffset: 0, highWatermark: Int64(messages)),
      [try MemoryHistory.Batch(records, at: 0)])
    session = PostgresSession(
      history: PostgresHistory(catalog: MemoryCatalog(history), limits: SQLLimits()) { work in work() },
      settings: try PostgresSettings(startup: ["user": "ada"]), identity: PostgresIdentity(processID: 1, secret: 2),
      running: running)
  }

  deinit { session.dispose() }

  /// Sends messages; returns what comes back, each as its letter with what is worth seeing of it.
  func say(_ messages: FrontendMessage...) -> [String] {
    var pending = messages
    repeat {
      var slice = ByteBuffer()
      let progress = session.work(pending, into: &slice)
      answer.writeImmutableBuffer(slice)
      pending = []
      guard case .more = progress else { break }
    } while true
    var replies: [String] = []
    while let kind = answer.readInteger(as: UInt8.self), let length = answer.readInteger(as: UInt32.self),
      let body = answer.readSlice(length: Int(length) - 4)
    {
      replies.append(Self.show(Character(Unicode.Scalar(kind)), body))
    }
    return replies
  }

  func query(_ sql: String) -> [String] { say(.query(sql)) }

  private static func show(_ kind: Character, _ message: ByteBuffer) -> String {
    var body = message
    switch kind {
    case "T":
      let count = body.readInteger(as: UInt16.self) ?? 0
      var columns: [String] = []
      for _ in 0..<count {
        let name = (try? body.readCString()) ?? "?"
        body.moveReaderIndex(forwardBy: 6)
        let oid = body.readInteger(as: UInt32.self) ?? 0
        body.moveReaderIndex(forwardBy: 8)
        columns.append("\(name):\(PostgresType(rawValue: oid).map { "\($0)" } ?? "\(oid)")")
      }
      return "T " + columns.joined(separator: " ")
    case "D":
      let count = body.readInteger(as: UInt16.self) ?? 0
      var values: [String] = []
      for _ in 0..<count {
        let length = body.readInteger(as: Int32.self) ?? -1
        values.append(length < 0 ? "NULL" : body.readString(length: Int(length)) ?? "?")
      }
      return "D " + values.joined(separator: "|")
    case "d": return "d " + String(buffer: body)
    case "C", "Z": return "\(kind) " + (body.readString(length: body.readableBytes) ?? "").filter { $0 != "\0" }
    case "t":
      let count = Int(body.readInteger(as: UInt16.self) ?? 0)
      return "t "
        + (0..<count).map { _ in PostgresType(rawValue: body.readInteger(as: UInt32.self) ?? 0).map { "\($0)" } ?? "?" }
        .joined(separator: " ")
    case "E", "N":
      var fields: [Character: String] = [:]
      while let letter = body.readInteger(as: UInt8.self), letter != 0 {
        fields[Character(Unicode.Scalar(letter))] = try? body.readCString()
      }
      return "\(kind) \(fields["C"] ?? "") \(fields["M"] ?? "")" + (fields["P"].map { " at \($0)" } ?? "")
    default: return String(kind)
    }
  }
}

@Suite(.timeLimit(.minutes(1))) struct PostgresSessionTests {
  @Test("a simple query of several statements answers each, and the first error ends it")
  func simple() throws {
    let talk = try Conversation()
    #expect(
      talk.query("select 1 as a; ; select key, time from plays where \"offset\" = 1; select nope; select 2") == [
        "T a:int8", "D 1", "C SELECT 1", "T key:text time:timestamptz", "D k1|2023-11-14 22:13:20.001+00", "C SELECT 1",
        "E 42703 no such column: nope at 73", "Z I",
      ])
    #expect(talk.query(" -- nothing\n") == ["I", "Z I"])
  }

  @Test("types come from declarations, casts and functions, else from the first row")
  func types() throws {
    let talk = try Conversation()
    #expect(
      talk.query(
        "select \"offset\", headers, value, value ->> '$.n' as n, count(*), max(time), key = 'k0', '1'::float8, avg(1) from plays"
      )[0]
        == "T offset:int8 headers:json value:text n:int8 count:int8 max:timestamptz ?column?:bool float8:float8 avg:float8")
  }

  @Test("a later value that is not of its column's type ends the query and names the row")
  func misfits() throws {
    let talk = try Conversation()
    let answer = talk.query("select value from plays order by \"offset\"")
    #expect(answer.filter { $0.hasPrefix("D") }.count == 7)
    #expect(answer.suffix(2).first == "E 22000 row 8: column \"value\" is of type text, and the value is a BLOB of 2 bytes")
    #expect(talk.query("select value::bytea from plays where \"offset\" = 7")[1] == "D \\xff00")
    #expect(talk.query("select 1 as x union all select 2.5").contains { $0.hasPrefix("E 22000 row 2") })
  }

  @Test("a portal gives as many rows as are asked for, and goes on")
  func portals() throws {
    let talk = try Conversation()
    #expect(talk.query("begin") == ["C BEGIN", "Z T"])
    let begun = talk.say(
      .parse(.init(statement: "s", sql: "select \"offset\" from plays where \"offset\" >= $1", parameterTypes: [])),
      .describe(.statement("s")),
      .bind(
        .init(
          portal: "p", statement: "s", parameterFormats: [.binary], parameters: [[0, 0, 0, 0, 0, 0, 0, 6]], resultFormats: [])),
      .execute(portal: "p", rowsMax: 2), .sync)
    #expect(begun == ["1", "t int8", "T offset:int8", "2", "D 6", "D 7", "s", "Z T"])
    #expect(talk.say(.execute(portal: "p", rowsMax: 0), .sync) == ["D 8", "D 9", "C SELECT 2", "Z T"])
    #expect(talk.say(.execute(portal: "p", rowsMax: 0), .sync) == ["C SELECT 0", "Z T"])
    #expect(talk.query("commit") == ["C COMMIT", "Z I"])
    #expect(talk.say(.execute(portal: "p", rowsMax: 0), .sync) == ["E 34000 portal \"p\" does not exist", "Z I"])
  }

  @Test("after an error of the extended protocol nothing is answered up to Sync")
  func skipping() throws {
    let talk = try Conversation()
    let parse = FrontendMessage.parse(.init(statement: "", sql: "select nope from plays", parameterTypes: []))
    #expect(talk.say(parse, .describe(.statement("")), .flush) == ["E 42703 no such column: nope at 8"])
    #expect(talk.say(.execute(portal: "", rowsMax: 0), .sync) == ["Z I"])
  }

  @Test("a failed transaction block does nothing but end")
  func failedBlock() throws {
    let talk = try Conversation()
    _ = talk.query("begin")
    #expect(talk.query("select nope").last == "Z E")
    #expect(talk.query("select 1")[0].hasPrefix("E 25P02"))
    #expect(talk.query("commit") == ["C ROLLBACK", "Z I"])
    #expect(talk.query("delete from plays")[0].hasPrefix("E 25006"))
  }

  @Test("cursors of SQL give rows piece by piece")
  func cursors() throws {
    let talk = try Conversation()
    let answer = talk.query(
      "begin; declare c cursor for select \"offset\" from plays; fetch 2 from c; fetch all from c; close c; commit")
    #expect(answer.prefix(6) == ["C BEGIN", "C DECLARE CURSOR", "T offset:int8", "D 0", "D 1", "C FETCH 2"])
    #expect(answer.suffix(4) == ["C FETCH 8", "C CLOSE CURSOR", "C COMMIT", "Z I"])
  }

  @Test("COPY writes text and CSV")
  func copy() throws {
    let talk = try Conversation()
    let copy = "copy (select 'a\tb\\', null, 'x,\"y' from plays limit 1) to stdout"
    #expect(talk.query(copy) == ["H", "d a\\tb\\\\\t\\N\tx,\"y\n", "c", "C COPY 1", "Z I"])
    #expect(
      talk.query(copy + " with (format csv, header)")[1...2] == ["d ?column?,?column?,?column?\n", "d a\tb\\,,\"x,\"\"y\"\n"])
  }

  @Test("a long answer comes in slices, and is whole")
  func slices() throws {
    let talk = try Conversation(messages: 200)
    let answer = talk.query("select a.value, b.value from plays a, plays b where a.\"offset\" <> 7 and b.\"offset\" <> 7")
    #expect(answer.filter { $0.hasPrefix("D") }.count == 199 * 199)
    #expect(answer.suffix(2) == ["C SELECT \(199 * 199)", "Z I"])
  }

  @Test("a statement's time is bounded by the client as well")
  func timeout() throws {
    let talk = try Conversation()
    #expect(
      talk.query("set statement_timeout = '20ms'; show statement_timeout") == [
        "C SET", "T statement_timeout:text", "D 20ms", "C SHOW", "Z I",
      ])
    let answer = talk.query("with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n")
    #expect(answer.contains { $0.hasPrefix("E 57014") && $0.contains("limit of 0.02 seconds") }, "\(answer)")
    #expect(talk.query("reset statement_timeout; select 1").suffix(2) == ["C SELECT 1", "Z I"])
  }

  @Test("catalogues are tables like others: other names and blanks, the same answer")
  func catalogues() throws {
    let talk = try Conversation()
    for sql in [
      "select c.relname from pg_catalog.pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'public'",
      "SELECT x . relname\nFROM pg_class AS x WHERE x.relnamespace = 'public' :: regnamespace",
      "select table_name as relname from information_schema . tables where tables.table_schema = current_schema",
    ] { #expect(talk.query(sql)[1...] == ["D plays", "C SELECT 1", "Z I"], "\(sql)") }
    #expect(
      talk.query("select attname, atttypid::regtype from pg_attribute where attrelid = 'plays'::regclass and attnum > 6")[1...2]
        == ["D value|text", "D headers|json"])
  }

  @Test("a connection keeps a bounded number of statements and portals")
  func bounds() throws {
    let talk = try Conversation()
    _ = talk.query("begin")
    _ = talk.say(.parse(.init(statement: "s", sql: "select 1", parameterTypes: [])), .sync)
    var refusal: String?
    for index in 0..<40 {
      let bind = FrontendMessage.Bind(
        portal: "p\(index)", statement: "s", parameterFormats: [], parameters: [], resultFormats: [])
      refusal = talk.say(.bind(bind), .sync).first
      if refusal != "2" { break }
    }
    #expect(refusal?.hasPrefix("E 53400") == true)
  }

  @Test("DEALLOCATE gives back the room of what it forgets")
  func deallocate() throws {
    let talk = try Conversation()
    let sql = "select 1 /* \(String(repeating: "x", count: 400_000)) */"
    for _ in 0..<30 {
      #expect(talk.say(.parse(.init(statement: "s", sql: sql, parameterTypes: [])), .sync).first == "1")
      #expect(talk.query("deallocate s").first == "C DEALLOCATE")
    }
  }
}
