import Glibc
import Logging
import Model
import NIOCore
import Query
import Records
import SQLite
import Storage

/// SQL over topics against the same statements over a plain table of SQLite with the same rows, in one process.
///
/// Records are JSON of about 200 bytes, a millisecond apart, in batches of 200; each partition has its share of them.
final class QueryBench {
  private let directory: String
  private let records: Int
  private let partitions: Int
  private let store: LogStore
  private let catalog: StoreCatalog
  private let plain: Connection

  static let batchRecords = 200
  static let epoch: Int64 = 1_714_554_000_000

  init(directory: String, records: Int, partitions: Int, compression: Compression) throws {
    self.directory = directory
    self.records = records / (partitions * Self.batchRecords) * partitions * Self.batchRecords
    self.partitions = partitions
    _ = mkdir(directory, 0o755)
    let options = StoreOptions(dataDirectory: directory + "/data", nodeID: NodeID(1))
    let isNew = access(directory + "/plain.db", F_OK) != 0
    store = try LogStore.open(options, logger: Logger(label: "bench"), now: milliseconds)
    plain = try Connection(path: directory + "/plain.db", mode: .create)
    catalog = StoreCatalog(store, node: HalfwayNode(partitions: partitions, recordsEach: Int64(self.records / partitions)))
    let topicID = TopicID(high: 1, low: 1)
    for number in 0..<partitions {
      let place = TopicPartition(topic: "events", partition: Int32(number))
      if isNew {
        try store.createPartition(place, topicID: topicID, leaderEpoch: LeaderEpoch(0), configuration: TopicConfiguration())
      } else {
        try store.attachPartition(place, topicID: topicID, leaderEpoch: LeaderEpoch(0), configuration: TopicConfiguration())
      }
    }
    if isNew { try fill(compression) }
  }

  private func fill(_ compression: Compression) throws {
    try plain.execute(
      """
      PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;
      CREATE TABLE events(topic TEXT, partition INTEGER, "offset" INTEGER, timestamp INTEGER, key TEXT, value TEXT); BEGIN
      """)
    let insert = try plain.prepare("INSERT INTO events VALUES ('events', ?, ?, ?, ?, ?)", isPersistent: true)
    let rules = ValidationRules(configuration: TopicConfiguration(), now: .max / 2)
    let each = records / partitions
    let free = Tally(free: Array(0..<32))
    for partition in 0..<partitions {
      let log = store.partition(TopicPartition(topic: "events", partition: Int32(partition)))!
      var offset = 0
      while offset < each {
        let slot = free.take()
        for index in slot {
          guard offset < each else {
            free.give(index)
            continue
          }
          var builder = BatchBuilder(compression: compression)
          for i in 0..<Self.batchRecords {
            let number = offset + i
            let time = Self.epoch + Int64(number * partitions + partition)
            let (key, value) = Self.record(number * partitions + partition)
            builder.append(key: ByteBuffer(string: key), value: ByteBuffer(string: value), timestamp: time)
            insert.bind(Int64(partition), at: 1)
            insert.bind(Int64(number), at: 2)
            insert.bind(time, at: 3)
            insert.bind(key, at: 4)
            insert.bind(value, at: 5)
            try insert.run()
          }
          let (bytes, summary) = try BatchValidator.validate(try builder.build(), rules: rules)
          store.append([
            AppendRequest(
              partition: log, records: bytes, batches: summary, requiredAcks: -1, receiver: free, context: BatchNumber(index))
          ])
          offset += Self.batchRecords
        }
      }
    }
    free.waitForAll(32)
    if let failure = free.measured().failure { throw BenchFailure(description: failure) }
    try plain.execute("COMMIT")
  }

  private static func record(_ number: Int) -> (key: String, value: String) {
    // A multiplier that is coprime to the range: users come in no order.
    let user = number &* 7_919 % 5_000
    let value = """
      {"user":"user-\(user)","song":"song-\(number &* 31 % 20_000)","seconds":\(number % 600),"country":"de",\
      "device":"phone","session":"\(String(number, radix: 16))-0123456789abcdef0123456789abcdef","note":"played to the end"}
      """
    return ("user-\(user)", value)
  }

  struct Measurement {
    var seconds: Double
    var rows: Int
  }

  /// Seconds of a statement over the topic, a session for it as a door makes one included.
  private func ask(_ sql: String) throws -> (Measurement, Query.ScanStatistics) {
    let start = monotonicSeconds()
    let session = try SQLSession(catalog: catalog, limits: SQLLimits(), control: ScanControl())
    let summary = try session.run(sql, parameters: [:], into: OutputFormat.csv.makeWriter { _ in })
    return (Measurement(seconds: monotonicSeconds() - start, rows: summary.rows), summary.scan)
  }

  private func askPlain(_ sql: String) throws -> Measurement {
    let start = monotonicSeconds()
    let statement = try plain.prepare(sql)
    var rows = 0
    while try statement.step() { rows += 1 }
    return Measurement(seconds: monotonicSeconds() - start, rows: rows)
  }

  private static let scans = [
    ("count", "SELECT count(*) FROM events"),
    ("sums", "SELECT count(*), sum(\"offset\"), sum(timestamp / 1000) FROM events"),
    ("group_by_user", "SELECT value ->> '$.user' AS user, count(*) AS plays FROM events GROUP BY user"),
  ]

  private var questions: [(String, String)] {
    let middle = Self.epoch + Int64(records / 2)
    return [
      ("last_20_by_offset", "SELECT * FROM events ORDER BY offset DESC LIMIT 20"),
      ("last_20_by_time", "SELECT * FROM events ORDER BY timestamp DESC LIMIT 20"),
      (
        "window_10_s",
        "SELECT * FROM events WHERE timestamp >= \(middle) AND timestamp < \(middle + 10_000) LIMIT 10000"
      ),
      ("newest_per_partition", "SELECT partition, newest_timestamp FROM quire_partitions WHERE topic = 'events'"),
      ("lag_of_group", "SELECT partition, lag, lag_seconds FROM quire_lag WHERE group_id = 'half' AND topic = 'events'"),
    ]
  }

  /// - Parameter only: the names of the questions to ask; all of them where it is empty.
  /// - Returns: what was measured, as JSON.
  func run(repeats: Int, only: [String] = []) throws -> String {
    var out: [String] = []
    for (name, sql) in questions where only.isEmpty || only.contains(name) {
      let first = try ask(sql)
      var times: [Double] = []
      for _ in 0..<max(5, repeats) { times.append(try ask(sql).0.seconds) }
      out.append(
        "\"\(name)\": {\"first_ms\": \(first.0.seconds * 1e3), \"warm_ms\": \(times.sorted()[times.count / 2] * 1e3), \"rows\": \(first.0.rows), \"batches_decoded\": \(first.1.batchesDecoded)}"
      )
    }
    for (name, sql) in Self.scans where only.isEmpty || only.contains(name) {
      var ours: [Double] = []
      var plains: [Double] = []
      // Once each for the page cache, then in turn.
      for round in 0...repeats {
        let (a, b) = (try ask(sql).0.seconds, try askPlain(sql).seconds)
        if round > 0 {
          ours.append(a)
          plains.append(b)
        }
      }
      let (a, b) = (ours.sorted()[ours.count / 2], plains.sorted()[plains.count / 2])
      out.append(
        "\"\(name)\": {\"seconds\": \(a), \"records_per_second\": \(Double(records) / a), \"plain_seconds\": \(b), \"ratio\": \(b / a)}"
      )
    }
    try store.close()
    return "{\"records\": \(records), \(out.joined(separator: ", "))}"
  }
}

/// A group that has read half of every partition.
private struct HalfwayNode: NodeFacts {
  let partitions: Int
  let recordsEach: Int64
  func now() -> Int64 { QueryBench.epoch + recordsEach * Int64(partitions) }
  func groups() -> [GroupFacts] {
    let offsets = (0..<partitions).map {
      GroupFacts.CommittedOffset(
        partition: TopicPartition(topic: "events", partition: Int32($0)), offset: recordsEach / 2, leaderEpoch: 0, metadata: "",
        commitTimestamp: 0)
    }
    return [
      GroupFacts(
        groupID: "half", state: "Empty", protocolType: "consumer", protocolName: "", generationID: 1, leaderID: nil,
        members: [],
        offsets: offsets)
    ]
  }
  func nodes() -> [NodeFact] { [] }
  func configurations() -> [ConfigurationFact] { [] }
}
