import HistorySupport
import Model
import NIOCore
import Records
import SQLite
import TestSupport
import Testing

@testable import Query

/// Topics as virtual tables against the same rows in plain tables of SQLite.
@Suite("A topic answers as a plain table of its rows does")
struct DifferentialTests {
  static let world = DifferentialWorld(seed: 20_240_501)

  @Test("generated WHERE, ORDER BY and LIMIT", arguments: 0..<12)
  func generated(batch: Int) throws {
    var random = SeededRandom(seed: UInt64(1000 + batch))
    for _ in 0..<100 {
      let query = DifferentialWorld.query(&random)
      try Self.world.compare(query.sql, isOrdered: query.isOrdered)
    }
  }

  @Test(
    "parameters of any type in constraints",
    arguments: [
      SQLParameter.integer(20), .real(20.5), .real(20), .text("20"), .text(" 20 "), .text("20.0"), .text("2e1"), .text("abc"),
      .null,
      .real(1e300), .real(-1e300), .integer(.max), .integer(.min), .text("2024-05-01T09:05"), .text(""),
    ])
  func parameters(value: SQLParameter) throws {
    for column in ["partition", "offset", "timestamp", "time", "key"] {
      for comparison in ["=", "<", "<=", ">", ">=", "IS", "<>"] {
        try Self.world.compare(
          "SELECT partition, offset FROM events WHERE \(column) \(comparison) :v ORDER BY partition, offset",
          parameters: ["v": value], isOrdered: true)
      }
      try Self.world.compare(
        "SELECT partition, offset FROM events WHERE \(column) IN (:v, 3, '1') ORDER BY partition, offset",
        parameters: ["v": value], isOrdered: true)
    }
  }
}

/// A history of two topics with every oddity, and the same rows in plain tables.
final class DifferentialWorld: Sendable {
  let history: MemoryHistory
  private let inserts: [String]
  static let epoch: Int64 = 1_714_554_000_000  // 2024-05-01T09:00:00Z

  init(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var history = MemoryHistory()
    var rows: [String] = []
    for (topic, partitions) in [("events", 4), ("other", 2)] {
      for partition in 0..<partitions {
        var batches: [MemoryHistory.Batch] = []
        var offset = Int64(partition * 3)
        let start = offset
        var time = Self.epoch + Int64(partition) * 1000
        var made: [(offset: Int64, record: TestRecord, batch: Int)] = []
        for number in 0..<9 {
          if number == 4 { offset += 5 }  // a hole, as compaction leaves
          let isControl = number == 6 && partition == 1
          let type = partition == 2 && number % 2 == 1 ? TimestampType.logAppendTime : .createTime
          var records: [TestRecord] = []
          for _ in 0..<(isControl ? 1 : Int.random(in: 1...9, using: &random)) {
            time += Int64.random(in: -20_000...60_000, using: &random)
            records.append(Self.record(time, &random))
          }
          let batch = try! MemoryHistory.Batch(
            records, at: offset, compression: random.pick(Compression.allCases), timestampType: type, isControl: isControl,
            producerID: number % 3 == 0 ? 77 : -1)
          if type == .logAppendTime {
            for i in records.indices { records[i].timestamp = batch.row.maxTimestamp }
          }
          if !isControl { for (i, record) in records.enumerated() { made.append((offset + Int64(i), record, number)) } }
          batches.append(batch)
          offset += Int64(records.count)
        }
        let extent = PartitionExtent(
          topic: topic, partition: Int32(partition), logStartOffset: start + (partition == 3 ? 4 : 0),
          highWatermark: offset - (partition == 0 ? 3 : 0))
        history.add(extent, batches)
        for row in made where row.offset >= extent.logStartOffset && row.offset < extent.highWatermark {
          rows.append(Self.insert(topic, partition, row.offset, row.record, batches[row.batch]))
        }
      }
      history.add(PartitionExtent(topic: topic, partition: Int32(partitions), logStartOffset: 9, highWatermark: 9), [])
    }
    self.history = history
    inserts = rows
  }

  private static func record(_ time: Int64, _ random: inout SeededRandom) -> TestRecord {
    let values: [[UInt8]?] = [
      nil, [], Array("{\"n\":\(Int.random(in: 0..<100, using: &random)),\"user\":\"alice\"}".utf8), Array("grün 🎈".utf8),
      [0xFF, 0xFE, 0x00], [0x61, 0x00, 0x62], Array("\(Int.random(in: 0..<1000, using: &random))".utf8), [0xED, 0xA0, 0x80],
      Array(String(repeating: "x", count: 300).utf8),
    ]
    var headers: [RecordHeader] = []
    if Int.random(in: 0..<3, using: &random) == 0 {
      headers = [
        RecordHeader(key: "trace", value: ByteBuffer(string: "a\"b")), RecordHeader(key: "trace", value: nil),
        RecordHeader(key: "bin", value: ByteBuffer(bytes: [0xFF, 0x00])),
      ]
    }
    return TestRecord(
      Int.random(in: 0..<40, using: &random) == 0 ? -1 : time,
      key: random.pick([nil, [], [0x6B, 0x31], [0x6B, 0x32], [0x80]]),
      value: random.pick(values), headers: headers)
  }

  private static func literal(_ bytes: [UInt8]?) -> String {
    guard let bytes else { return "NULL" }
    let hex = bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    let isText = String(validating: bytes, as: UTF8.self) != nil && !bytes.contains(0)
    return isText ? "CAST(x'\(hex)' AS TEXT)" : "x'\(hex)'"
  }

  private static func insert(
    _ topic: String, _ partition: Int, _ offset: Int64, _ record: TestRecord, _ batch: MemoryHistory.Batch
  ) -> String {
    let header = batch.bytes.withUnsafeReadableBytes { try! BatchHeader($0) }
    let time =
      record.timestamp == -1
      ? "NULL" : "strftime('%Y-%m-%dT%H:%M:%fZ', \(record.timestamp / 1000) + \(record.timestamp % 1000) / 1000.0, 'unixepoch')"
    let headers = record.headers.isEmpty ? "[]" : #"[["trace","a\"b"],["trace",null],["bin",{"base64":"/wA="}]]"#
    return """
      INSERT INTO "\(topic)"(topic, partition, "offset", timestamp, time, key, value, headers, producer_id, leader_epoch, compression, batch_offset)
      VALUES ('\(topic)', \(partition), \(offset), \(record.timestamp), \(time), \(literal(record.key)), \(literal(record.value)), '\(headers)',
        \(header.producerID < 0 ? "NULL" : String(header.producerID)), 3, '\(header.compression)', \(batch.row.baseOffset))
      """
  }

  /// - Parameter columns: of both topics, stored like the others.
  private func plainConnection(_ columns: [DeclaredColumn]) throws -> Connection {
    let connection = try Connection(path: ":memory:", mode: .create)
    try SQLFunctions.register(
      on: connection, context: ScanContext(control: ScanControl()), valueBytes: Limits.queryValueBytes)
    for topic in ["events", "other"] {
      try connection.execute(
        TopicColumn.declaration(of: columns).replacing("TABLE x", with: "TABLE \(topic)").replacing(" HIDDEN", with: ""))
    }
    for insert in inserts { try connection.execute(insert) }
    for column in columns {
      for topic in ["events", "other"] {
        let rows = try connection.prepare("SELECT rowid FROM \(topic)")
        while try rows.step() {
          // A value that cannot be computed is NULL.
          try? connection.execute(
            "UPDATE \(topic) SET \(column.name) = (\(column.definition!.expression)) WHERE rowid = \(rows.integer(at: 0))")
        }
      }
    }
    return connection
  }

  /// Asks both and compares rows (their order too if `isOrdered`).
  func compare(
    _ sql: String, parameters: [String: SQLParameter] = [:], columns: [DeclaredColumn] = [], isOrdered: Bool
  ) throws {
    let connection = try plainConnection(columns)
    let statement = try connection.prepare(sql)
    for (name, value) in parameters {
      guard let index = statement.parameterIndex(":" + name) else { continue }
      switch value {
      case .null: statement.bindNull(at: index)
      case .integer(let value): statement.bind(value, at: index)
      case .real(let value): statement.bind(value, at: index)
      case .text(let value): statement.bind(value, at: index)
      case .blob(let value): statement.bind(value, at: index)
      }
    }
    let collected = Collected()
    let writer = OutputFormat.jsonl.makeWriter(sink: collected.sink)
    try writer.begin(columns: (0..<statement.columnCount).map { statement.columnName(at: $0) })
    while try statement.step() { try writer.write(ResultRow(statement)) }
    try writer.end()
    try writer.output.flush()
    let expected = Answer(text: collected.text, statistics: ScanStatistics()).lines
    let catalog = MemoryCatalog(history, columns: ["events": columns, "other": columns])
    let found = try catalog.ask(sql, parameters: parameters).lines
    if isOrdered { #expect(found == expected, "\(sql)") } else { #expect(found.sorted() == expected.sorted(), "\(sql)") }
  }

  static func query(_ random: inout SeededRandom) -> (sql: String, isOrdered: Bool) {
    var predicates: [String] = []
    for _ in 0..<Int.random(in: 0...3, using: &random) { predicates.append(predicate(&random)) }
    let filter = predicates.isEmpty ? "" : " WHERE " + predicates.joined(separator: random.pick([" AND ", " AND ", " OR "]))
    let all = "topic, partition, offset, timestamp, time, key, value, headers, batch_offset"
    let limit = random.pick(["", "", " LIMIT 1", " LIMIT 5", " LIMIT 7 OFFSET 3", " LIMIT 1000"])
    switch Int.random(in: 0..<4, using: &random) {
    case 0:
      return ("SELECT \(random.pick([all, "offset", "count(*)", "partition, key"])) FROM events\(filter)", false)
    case 1:
      // Only what it is ordered by, so the rows are settled although the order has ties.
      let keys = random.pick(["offset", "offset DESC", "partition", "partition DESC", "timestamp", "time DESC", "topic"])
      return ("SELECT \(keys.split(separator: " ")[0]) FROM events\(filter) ORDER BY \(keys)\(limit)", true)
    default:
      let order = random.pick([
        "offset, partition", "offset DESC, partition", "offset DESC, partition DESC", "offset, partition DESC",
        "partition, offset", "partition DESC, offset DESC", "partition, offset DESC", "partition DESC, offset, value",
        "topic, offset, partition", "timestamp, partition, offset", "timestamp DESC, offset, partition",
        "time, partition, offset",
        "key, partition, offset", "batch_offset, offset, partition",
      ])
      let columns = random.pick([all, "partition, offset", "offset, value", "key, headers", "offset, time"])
      return ("SELECT \(columns) FROM events\(filter) ORDER BY \(order)\(limit)", true)
    }
  }

  private static func predicate(_ random: inout SeededRandom) -> String {
    let comparison = random.pick(["=", "<", "<=", ">", ">=", "=", "<>", "IS", "IS NOT"])
    let odd = [
      "NULL", "3.5", "'12'", "'abc'", "x'3132'", "9223372036854775807", "-9223372036854775808", "1e19", "-1e19", "20.0", "''",
    ]
    func number(_ range: ClosedRange<Int64>, _ random: inout SeededRandom) -> String {
      Int.random(in: 0..<6, using: &random) == 0 ? random.pick(odd) : String(Int64.random(in: range, using: &random))
    }
    let times = epoch - 100_000...epoch + 1_500_000
    switch Int.random(in: 0..<11, using: &random) {
    case 0: return "partition \(comparison) \(number(-1...5, &random))"
    case 1: return "partition IN (\((0..<3).map { _ in number(-1...5, &random) }.joined(separator: ", ")))"
    case 2, 3: return "offset \(comparison) \(number(-2...60, &random))"
    case 4: return "offset BETWEEN \(number(0...30, &random)) AND \(number(10...60, &random))"
    case 5: return "offset IN (\((0..<4).map { _ in number(0...50, &random) }.joined(separator: ", ")))"
    case 6: return "timestamp \(comparison) \(number(times, &random))"
    case 7:
      return "timestamp >= \(number(times, &random)) AND timestamp < \(number(times, &random))"
    case 8:
      let text = TimeText.text(Int64.random(in: times, using: &random))!
      let cut = random.pick([
        text, String(text.prefix(16)), String(text.prefix(13)), String(text.prefix(22)), text + "x", "2023", "3", "",
      ])
      return "time \(comparison) '\(cut)'\(random.pick(["", "", " COLLATE NOCASE"]))"
    case 9: return "\(random.pick(["", "NOT "]))(key = 'k1' OR value IS NULL)"
    default:
      return random.pick([
        "offset % 3 = 0", "offset + 0 > 20", "value IS NOT NULL", "key > 'k1'", "topic = 'events'", "batch_offset > 10",
        "+partition = 1",
      ])
    }
  }
}
