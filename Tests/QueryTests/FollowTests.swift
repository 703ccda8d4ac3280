import Dispatch
import HistorySupport
import Model
import Storage
import Synchronization
import TestSupport
import Testing

@testable import Query

@Suite("Statements that are followed", .serialized, .timeLimit(.minutes(2)))
struct FollowTests {
  private struct Enough: Error {}

  /// The rows of events, and the ids behind them.
  private static func events(_ bytes: [UInt8]) -> [(id: String, row: String)] {
    String(decoding: bytes, as: UTF8.self).split(separator: "\n\n").compactMap { event in
      let lines = event.split(separator: "\n")
      guard lines.first == "event: row" else { return nil }
      return (String(lines[1].dropFirst(4)), String(lines[2].dropFirst(6)))
    }
  }

  /// Follows until `count` rows have come or the statement ends with an error, which is returned.
  private static func follow(
    _ sql: String, from start: FollowStart, _ catalog: any HistoryCatalog, count: Int, control: ScanControl = ScanControl()
  ) -> (events: [(id: String, row: String)], error: QueryError?) {
    var bytes: [UInt8] = []
    do throws(QueryError) {
      let query = try FollowedQuery(
        sql, parameters: [:], from: start, catalog: catalog, limits: SQLLimits(), control: control)
      let writer = EventWriter { more in
        bytes += more
        if events(bytes).count >= count { throw Enough() }
      }
      try query.run(into: writer, willWrite: { writer.willWrite($0) })
    } catch {
      return (events(bytes), error.cause is Enough ? nil : error)
    }
  }

  @Test(
    "each record comes once, wherever a client breaks off, while records come in, also of what SQLite would rather look up in parts",
    arguments: [
      "offset % 3 <> 0", "offset < 9 OR timestamp = 5 OR offset > 20",
      "offset IN (17, 3, 30, 4, 21, 50, 22, 12, 11, 10, 9, 60)",
      "partition IN (2, 0) AND (value LIKE '1%' OR key = 'k')",
    ])
  func once(condition: String) throws {
    try withTemporaryDirectory { directory in
      let topic = try StoredTopic(directory, segmentBytes: 16 << 10)
      let catalog = StoreCatalog(topic.store)
      var random = SeededRandom(seed: 3)
      func append(_ count: Int) throws {
        for number in 0..<count {
          let records = (0..<Int.random(in: 1...9, using: &random)).map { TestRecord(StoredTopic.now, "\(number)-\($0)") }
          try topic.append(records, to: Int.random(in: 0..<3, using: &random))
        }
      }
      let sql = "SELECT partition, offset FROM plays WHERE \(condition)"
      var start = FollowStart.bound(.beginning)
      var rows: [String] = []
      for _ in 0..<40 {
        try append(5)
        let wanted = Int.random(in: 1...6, using: &random)
        // One that would wait for ever has no more rows now.
        let left = try catalog.ask(sql).text.split(separator: "\n").count - rows.count
        if left < wanted { continue }
        let (events, error) = Self.follow(sql, from: start, catalog, count: wanted)
        try #require(error == nil)
        // Whatever else was on its way got lost with the connection.
        rows += events.prefix(wanted).map(\.row)
        start = .position(try #require(FollowPosition(events[wanted - 1].id)))
      }
      let expected = try catalog.ask("\(sql) ORDER BY partition, offset").text.split(separator: "\n").map(String.init)
      let (rest, error) = Self.follow(sql, from: start, catalog, count: expected.count - rows.count)
      #expect(error == nil)
      rows += rest.map(\.row)
      #expect(rows.count == expected.count)
      #expect(Set(rows) == Set(expected))
      // Within a partition in the order of offsets.
      for partition in 0..<3 {
        let own = { (rows: [String]) in rows.filter { $0.contains("\"partition\":\(partition),") } }
        #expect(own(rows) == own(expected))
      }
      try topic.store.close()
    }
  }

  @Test("who waits is woken by a record, by a cancellation, and by the topic's end")
  func wakes() throws {
    try withTemporaryDirectory { directory in
      let topic = try StoredTopic(directory, segmentBytes: 16 << 10)
      let catalog = StoreCatalog(topic.store)
      try topic.append([TestRecord(StoredTopic.now, "before")], to: 0)
      func inBackground(
        count: Int, control: ScanControl = ScanControl(), _ body: () throws -> Void
      ) throws -> (rows: [String], error: QueryError?) {
        let result = Mutex<(rows: [String], error: QueryError?)>(([], nil))
        let (begun, done) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        DispatchQueue(label: "follow").async {
          // Its start is taken when it is made: from then on records are new.
          var bytes: [UInt8] = []
          do throws(QueryError) {
            let query = try FollowedQuery(
              "SELECT value FROM plays", parameters: [:], from: .bound(.end), catalog: catalog, limits: SQLLimits(),
              control: control)
            begun.signal()
            let writer = OutputFormat.jsonl.makeWriter { more in
              bytes += more
              if bytes.count(where: { $0 == 0x0A }) >= count { throw Enough() }
            }
            try query.run(into: writer)
          } catch {
            let rows = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
            result.withLock { $0 = (rows, error.cause is Enough ? nil : error) }
          }
          done.signal()
        }
        begun.wait()
        try body()
        done.wait()
        return result.withLock { $0 }
      }
      let rows = try inBackground(count: 2) {
        try topic.append([TestRecord(StoredTopic.now, "one")], to: 1)
        try topic.append([TestRecord(StoredTopic.now, "two")], to: 0)
      }
      #expect(rows.error == nil && rows.rows.sorted() == ["{\"value\":\"one\"}", "{\"value\":\"two\"}"])
      let control = ScanControl()
      #expect(try inBackground(count: 1, control: control) { control.cancel() }.error?.kind == .cancelled)
      let gone = try inBackground(count: 1) {
        try topic.store.deletePartitions(
          (0..<3).map { TopicPartition(topic: "plays", partition: $0) }, topicID: TopicID(high: 1, low: 2))
      }
      #expect(gone.error?.message.contains("deleted") == true)
      try topic.store.close()
    }
  }

  @Test(
    "what SQLite makes one pass of can be followed, however it is spelled",
    arguments: [
      ("SELECT * FROM plays", true),
      ("select p.VALUE||'x' as v from main.plays AS p where p.offset>3 and p.partition in (0,2,1)", true),
      ("SELECT value FROM (SELECT value, offset FROM plays WHERE partition = 1) WHERE offset > 2", true),
      ("SELECT CASE WHEN offset > 1 THEN upper(value) END FROM plays WHERE value LIKE '1%' OR offset = 4", true),
      ("/* count(*) */ SELECT 'ORDER BY' FROM plays -- LIMIT 5", true),
      ("SELECT max(offset) FROM plays", false), ("SELECT * FROM plays ORDER BY partition", false),
      ("SELECT * FROM plays LIMIT -1", false), ("SELECT DISTINCT partition FROM plays", false),
      ("SELECT * FROM plays WHERE offset IN (SELECT offset FROM plays)", false), ("SELECT 1", false),
      ("SELECT * FROM plays UNION SELECT * FROM plays", false), ("VALUES (1)", false),
      ("SELECT partition FROM plays GROUP BY partition", false), ("SELECT lag(offset) OVER () FROM plays", false),
      ("SELECT value FROM plays WHERE EXISTS (SELECT 1 FROM quire_topics)", false),
    ])
  func followable(sql: String, isFollowable: Bool) throws {
    try withTemporaryDirectory { directory in
      let topic = try StoredTopic(directory, segmentBytes: 16 << 10)
      for partition in 0..<3 {
        try topic.append((0..<9).map { TestRecord(StoredTopic.now, "\($0)") }, to: partition)
      }
      let catalog = StoreCatalog(topic.store)
      if isFollowable {
        let expected = try catalog.ask(sql).text.split(separator: "\n").map(String.init)
        let found = Self.follow(sql, from: .bound(.beginning), catalog, count: expected.count)
        #expect(found.error == nil && found.events.map(\.row).sorted() == expected.sorted())
      } else {
        #expect(Self.follow(sql, from: .bound(.beginning), catalog, count: 1).error?.kind == .notPermitted)
      }
      try topic.store.close()
    }
  }

  @Test("a statement that is wrong is told so, and not that it cannot be followed")
  func wrong() throws {
    try withTemporaryDirectory { directory in
      let topic = try StoredTopic(directory, segmentBytes: 16 << 10)
      let catalog = StoreCatalog(topic.store)
      let refused = Self.follow("SELECT * FROM nope", from: .bound(.beginning), catalog, count: 1)
      #expect(refused.error?.kind == .sql && refused.error?.message == "no such table: nope")
      #expect(Self.follow("EXPLAIN SELECT * FROM plays", from: .bound(.end), catalog, count: 1).error?.kind == .notPermitted)
      try topic.store.close()
    }
  }

  @Test("who names a partition that is not there is told so, instead of waiting for it")
  func noPartition() throws {
    try withTemporaryDirectory { directory in
      let topic = try StoredTopic(directory, segmentBytes: 16 << 10)
      try topic.append([TestRecord(StoredTopic.now, "one"), TestRecord(StoredTopic.now, "two")], to: 2)
      let catalog = StoreCatalog(topic.store)
      func follow(_ partition: Int32) -> (events: [(id: String, row: String)], error: QueryError?) {
        Self.follow(
          "SELECT value FROM plays", from: .bound(.partitionOffset(partition: partition, offset: 1)), catalog, count: 1)
      }
      let found = follow(2)
      #expect(found.error == nil && found.events.map(\.row) == ["{\"value\":\"two\"}"])
      let refused = follow(3)
      #expect(refused.error?.kind == .parameter && refused.error?.message.contains("no partition 3") == true)
      try topic.store.close()
    }
  }

  @Test("a position is a text and back")
  func positions() {
    let position = FollowPosition(topicID: "abc", next: [0: 5, 1: .max, 2: 1 << 40])
    #expect(FollowPosition(position.text) == position)
    for text in ["", "5", "a~b~c", "a~-5", "a~%"] { #expect(FollowPosition(text) == nil, "\(text)") }
  }
}
