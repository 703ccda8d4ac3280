import HistorySupport
import Query
import Records
import Testing

/// 3 partitions of 100 batches of 10 records, one record a second, gzip.
private let history: MemoryHistory = {
  var history = MemoryHistory()
  for partition in 0..<3 {
    let batches = (0..<100).map { number in
      let records = (0..<10).map { TestRecord(Int64(number * 10 + $0) * 1000, "value \($0)", key: "k\($0)") }
      return try! MemoryHistory.Batch(records, at: Int64(number * 10), compression: .gzip)
    }
    history.add(PartitionExtent(topic: "t", partition: Int32(partition), logStartOffset: 0, highWatermark: 1000), batches)
  }
  return history
}()

@Suite("What a query reads")
struct PushdownTests {
  private func expect(
    _ sql: String, rows: Int, decoded: Int, opened: Int? = nil, parameters: [String: SQLParameter] = [:],
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let answer = try history.ask(sql, parameters: parameters)
    #expect(answer.lines.count == rows, "rows", sourceLocation: sourceLocation)
    #expect(answer.statistics.batchesDecoded == decoded, "batches decompressed", sourceLocation: sourceLocation)
    if let opened { #expect(answer.statistics.partitionsOpened == opened, "partitions", sourceLocation: sourceLocation) }
  }

  @Test("the last records of all partitions come from the last batches")
  func lastRecords() throws {
    try expect("SELECT * FROM t ORDER BY offset DESC LIMIT 20", rows: 20, decoded: 3)
    try expect("SELECT value FROM t ORDER BY offset DESC, partition LIMIT 1", rows: 1, decoded: 1)
    try expect("SELECT e.offset, e.key FROM  t  AS e\nORDER BY e.\"offset\" DESC LIMIT 3 OFFSET 2", rows: 3, decoded: 3)
  }

  @Test("the last records of one partition come from its last batch")
  func lastRecordsOfOne() throws {
    try expect("SELECT value FROM t WHERE partition = 1 ORDER BY offset DESC LIMIT 5", rows: 5, decoded: 1, opened: 1)
    try expect(
      "SELECT value FROM t WHERE partition = :p ORDER BY offset DESC LIMIT 5", rows: 5, decoded: 1, opened: 1,
      parameters: ["p": .text("1")])
    try expect("SELECT value FROM t WHERE partition IN (0, 2) ORDER BY offset DESC LIMIT 5", rows: 5, decoded: 2, opened: 2)
  }

  @Test("a partition that is behind is not opened for the newest offsets")
  func lateOpening() throws {
    var uneven = MemoryHistory()
    for partition in 0..<3 { uneven.add(history.partitions[partition], history.batches[partition]) }
    uneven.partitions[0].highWatermark = 500
    uneven.partitions[2].highWatermark = 700
    let answer = try uneven.ask("SELECT offset FROM t WHERE key IS NOT NULL ORDER BY offset DESC LIMIT 20")
    #expect(answer.lines.first == #"{"offset":999}"#)
    #expect(answer.statistics.partitionsOpened == 1)
  }

  @Test("row ids are an order of their own, and a look-up")
  func rowIDs() throws {
    try expect("SELECT rowid, value FROM t ORDER BY rowid LIMIT 5", rows: 5, decoded: 3)
    try expect("SELECT rowid, value FROM t ORDER BY rowid DESC LIMIT 5", rows: 5, decoded: 3)
    let all = try history.ask("SELECT rowid, partition, offset FROM t ORDER BY offset, partition").lines
    let sorted = try history.ask("SELECT rowid, partition, offset FROM t ORDER BY rowid").lines
    #expect(all == sorted)
    // Two bits of a row id say which of three partitions.
    let one = "SELECT value FROM t WHERE rowid = :r"
    try expect(one, rows: 1, decoded: 1, opened: 1, parameters: ["r": .integer(505 << 2 | 2)])
    try expect(one, rows: 0, decoded: 0, parameters: ["r": .integer(505 << 2 | 3)])
    let some = "SELECT value FROM t WHERE rowid >= :r AND rowid < :r + 40"
    try expect(some, rows: 30, decoded: 3, parameters: ["r": .integer(510 << 2)])
  }

  @Test("offset ranges and look-ups decompress the batches they touch")
  func offsets() throws {
    try expect("SELECT value FROM t WHERE offset >= 500 AND offset < 520", rows: 60, decoded: 6)
    try expect("SELECT value FROM t WHERE offset BETWEEN 505 AND 514 AND partition = 0", rows: 10, decoded: 2, opened: 1)
    try expect("SELECT value FROM t WHERE offset = 77 AND partition = 2", rows: 1, decoded: 1, opened: 1)
    try expect("SELECT value FROM t WHERE offset IN (5, 995) AND partition = 2", rows: 2, decoded: 2)
    try expect("SELECT value FROM t WHERE offset > 994.5", rows: 15, decoded: 3)
    try expect("SELECT value FROM t WHERE offset >= :from", rows: 15, decoded: 3, parameters: ["from": .text("995")])
    try expect("SELECT value FROM t WHERE offset > 5000", rows: 0, decoded: 0, opened: 0)
    try expect("SELECT value FROM t WHERE offset = NULL", rows: 0, decoded: 0, opened: 0)
  }

  @Test("time ranges, in milliseconds and as text, decompress the batches they touch")
  func times() throws {
    try expect("SELECT value FROM t WHERE timestamp >= 100000 AND timestamp < 120000", rows: 60, decoded: 6)
    try expect("SELECT value FROM t WHERE time >= '1970-01-01T00:01:40' AND time < '1970-01-01T00:02'", rows: 60, decoded: 6)
    try expect("SELECT value FROM t WHERE time >= '1970-01-01T00:16:30'", rows: 30, decoded: 3)
    try expect("SELECT value FROM t WHERE time > '1971'", rows: 0, decoded: 0)
  }

  @Test("nothing is decompressed where nothing inside records is asked for")
  func headersOnly() throws {
    try expect("SELECT count(*) FROM t", rows: 1, decoded: 0)
    try expect("SELECT partition, max(offset), count(*), sum(offset) FROM t GROUP BY partition", rows: 3, decoded: 0)
    try expect("SELECT offset, compression, batch_offset FROM t WHERE offset < 25", rows: 75, decoded: 0)
    let bounds = try history.ask("SELECT count(*), sum(offset) FROM t WHERE partition = 1 AND offset BETWEEN 7 AND 33")
    #expect(bounds.lines == [#"{"count(*)":27,"sum(offset)":540}"#])
  }

  @Test("a join by offset looks up, and does not scan for each row")
  func joins() throws {
    try expect(
      "SELECT b.value FROM t a JOIN t b ON b.partition = 2 AND b.offset = a.offset WHERE a.partition = 1 AND a.offset < 30",
      rows: 30,
      decoded: 30, opened: 2)
  }

  @Test("what EXPLAIN QUERY PLAN says")
  func plans() throws {
    let plan = try history.ask("EXPLAIN QUERY PLAN SELECT value FROM t WHERE partition = 1 AND offset > 7 ORDER BY offset DESC")
    #expect(plan.text.contains("partition=?, offset>?, merged by offset DESC"))
    #expect(!plan.text.contains("TEMP B-TREE"))
    let counting = try history.ask("EXPLAIN QUERY PLAN SELECT count(*) FROM t")
    #expect(counting.text.contains("no records read"))
    let byTime = try history.ask("EXPLAIN QUERY PLAN SELECT value FROM t ORDER BY timestamp DESC LIMIT 1")
    #expect(byTime.text.contains("newest first, batches by index record_batch_time, records read, of 3 partitions"))
    #expect(!byTime.text.contains("TEMP B-TREE"))
    #expect(try history.ask("EXPLAIN QUERY PLAN SELECT 1 FROM t ORDER BY time DESC").text.contains("TEMP B-TREE"))
  }

  @Test("the newest records are in the newest batches, and ties are settled by what follows in the order")
  func newest() throws {
    try expect("SELECT value FROM t ORDER BY timestamp DESC LIMIT 20", rows: 20, decoded: 4)
    try expect("SELECT value FROM t WHERE partition = 2 ORDER BY timestamp DESC LIMIT 20", rows: 20, decoded: 2, opened: 1)
    try expect("SELECT value FROM t ORDER BY timestamp LIMIT 3 OFFSET 27", rows: 3, decoded: 6)
    try expect("SELECT max(timestamp) FROM t", rows: 1, decoded: 4)
    try expect("SELECT min(timestamp) FROM t WHERE offset >= 500 AND partition = 0", rows: 1, decoded: 2)
    let ties = try history.ask(
      "SELECT partition, offset FROM t ORDER BY timestamp DESC, partition DESC LIMIT 4")
    #expect(
      ties.lines == [
        #"{"partition":2,"offset":999}"#, #"{"partition":1,"offset":999}"#, #"{"partition":0,"offset":999}"#,
        #"{"partition":2,"offset":998}"#,
      ])
    // A filter that SQLite applies: as many rounds as it takes, none of which reads what a round before has given.
    try expect("SELECT value FROM t WHERE value = 'value 3' ORDER BY timestamp DESC LIMIT 60", rows: 60, decoded: 231)
  }

  @Test("one late and one early record do not spoil the order by time")
  func strays() throws {
    var strays = MemoryHistory()
    let batches = (0..<50).map { number in
      let records = (0..<10).map { i in
        let time: Int64 = number == 3 && i == 3 ? 9_000_000 : number == 40 && i == 5 ? 5 : Int64(number * 10 + i) * 1000
        return TestRecord(time, "v")
      }
      return try! MemoryHistory.Batch(records, at: Int64(number * 10), compression: .lz4)
    }
    strays.add(PartitionExtent(topic: "t", partition: 0, logStartOffset: 0, highWatermark: 500), batches)
    let newest = try strays.ask("SELECT offset FROM t ORDER BY timestamp DESC LIMIT 3")
    #expect(newest.lines == [33, 499, 498].map { "{\"offset\":\($0)}" })
    #expect(newest.statistics.batchesDecoded == 2)
    let oldest = try strays.ask("SELECT offset FROM t ORDER BY timestamp LIMIT 3")
    #expect(oldest.lines == [0, 405, 1].map { "{\"offset\":\($0)}" })
    #expect(oldest.statistics.batchesDecoded == 2)
  }

  @Test("batches of other producers, epochs and offsets are not decompressed")
  func headers() throws {
    var mixed = MemoryHistory()
    let batches = (0..<20).map { number in
      try! MemoryHistory.Batch(
        [TestRecord(1, "a"), TestRecord(2, "b")], at: Int64(number * 2), compression: .zstd,
        producerID: number % 5 == 0 ? 9 : -1)
    }
    mixed.add(PartitionExtent(topic: "t", partition: 0, logStartOffset: 0, highWatermark: 40), batches)
    func decoded(_ filter: String) throws -> [Int] {
      let answer = try mixed.ask("SELECT value FROM t WHERE \(filter)")
      return [answer.lines.count, answer.statistics.batchesDecoded]
    }
    #expect(try decoded("producer_id = 9") == [8, 4])
    #expect(try decoded("producer_id IS NULL") == [32, 20])
    #expect(try decoded("producer_id > 9") == [0, 0])
    #expect(try decoded("leader_epoch < 3") == [0, 0])
    #expect(try decoded("leader_epoch = '3'") == [40, 20])
    #expect(try decoded("batch_offset >= 30") == [10, 5])
    #expect(try decoded("batch_offset = 30") == [2, 1])
  }

  @Test("a damaged batch ends the query that reads it, and no other")
  func damage() throws {
    var damaged = history
    damaged.damagedBaseOffset = 500
    #expect {
      try damaged.ask("SELECT value FROM t")
    } throws: {
      ($0 as? QueryError)?.kind == .history && "\($0)".contains("bad CRC at offset 500")
    }
    let answer = try damaged.ask("SELECT value FROM t WHERE offset < 500 OR offset >= 510")
    #expect(answer.lines.count == 2970)
  }
}
