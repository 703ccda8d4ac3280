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
    #expect(byTime.text.contains("USE TEMP B-TREE FOR ORDER BY"))
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
