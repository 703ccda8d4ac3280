import Glibc
import HistorySupport
import Logging
import Model
import Records
import Storage
import Synchronization
import TestSupport
import Testing

@testable import Query

/// A store with topics whose records say which life of their topic they are of, and where they lie in it.
private final class BusyStore: Sendable {
  let store: LogStore
  let directory: String
  static let databasesMax = 24
  static let scanThreads = 3

  init(_ directory: String) throws {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    var options = StoreOptions(dataDirectory: directory + "/data", nodeID: NodeID(1))
    options.openDatabasesMax = Self.databasesMax
    self.directory = directory + "/data"
    store = try LogStore.open(options, logger: logger, now: { StoredTopic.now })
  }

  func create(_ topic: String, partitions: Int32, life: Int) throws {
    var configuration = TopicConfiguration()
    configuration.segmentBytes = 4 << 10
    configuration.timestampAfterMaxMilliseconds = .max
    for partition in 0..<partitions {
      try store.createPartition(
        TopicPartition(topic: topic, partition: partition), topicID: TopicID(high: 7, low: UInt64(life)),
        leaderEpoch: LeaderEpoch(0), configuration: configuration)
    }
  }

  func delete(_ topic: String, partitions: Int32, life: Int) throws {
    try store.deletePartitions(
      (0..<partitions).map { TopicPartition(topic: topic, partition: $0) }, topicID: TopicID(high: 7, low: UInt64(life)))
  }

  func deleteRecords(of topic: String, partitions: Int32, before offset: Int64) {
    for partition in 0..<partitions {
      store.deleteRecords(in: TopicPartition(topic: topic, partition: partition), before: Offset(offset)) { _ in }
    }
  }

  /// Ten records, each with its offset and the topic's life as value.
  func append(to topic: String, _ partition: Int32, at offset: Int64, life: Int) throws {
    let log = try #require(store.partition(TopicPartition(topic: topic, partition: partition)))
    let records = (0..<10).map { TestRecord(StoredTopic.now + offset + $0, "\(life) \(offset + $0)", key: "k") }
    let (bytes, summaries) = try BatchValidator.validate(
      try MemoryHistory.Batch(records, at: 0).bytes,
      rules: ValidationRules(configuration: log.configuration, now: StoredTopic.now))
    let arrivals = Arrivals()
    let request = AppendRequest(
      partition: log, records: bytes, batches: summaries, requiredAcks: -1, receiver: arrivals, context: nil)
    store.append([request])
    arrivals.wait(for: 1)
    guard case .appended(let base, _, _) = request.outcome, base.rawValue == offset else {
      throw HistoryError(.unavailable, "append at \(offset): \(request.outcome)")
    }
  }

  /// Whether all is closed in the end; what was being sealed may take a moment.
  func comesToHaveNothingOpen() throws -> Bool {
    for _ in 0..<5000 {
      if store.levels.openDatabases == 0, try openFiles().isEmpty { return true }
      usleep(2000)
    }
    Issue.record("\(store.levels.openDatabases) databases are counted, open are \(try openFiles())")
    return false
  }

  /// Files that the process has open below the data directory.
  func openFiles() throws -> [String] {
    try directoryEntries("/proc/self/fd").compactMap { name in
      var target = [UInt8](repeating: 0, count: 1024)
      let count = readlink("/proc/self/fd/\(name)", &target, target.count)
      guard count > 0 else { return nil }
      let path = String(decoding: target[..<count], as: UTF8.self)
      return path.hasPrefix(directory + "/topics") ? path : nil
    }
  }
}

@Suite("Connections to segments that queries share", .serialized)
struct SharedReaderTests {
  @Test("answers are right, and databases few, while segments roll and go and topics are deleted and made anew")
  func everythingAtOnce() throws {
    try withTemporaryDirectory { directory in
      let busy = try BusyStore(directory)
      try busy.create("steady", partitions: 4, life: 0)
      let isOver = Atomic(false)
      let failures = Mutex<[String]>([])
      let asked = Atomic(0)
      @Sendable func note(_ words: String) { failures.withLock { $0.append(words) } }

      let writer = StorageThread("test") {
        do {
          for round in 0..<Int64(120) {
            for partition in Int32(0)..<4 { try busy.append(to: "steady", partition, at: round * 10, life: 0) }
            guard round % 10 == 9 else { continue }
            // Inside a batch, and behind whole segments.
            busy.deleteRecords(of: "steady", partitions: 4, before: max(0, round * 10 - 195))
            busy.store.enforceRetention(now: StoredTopic.now)
          }
        } catch { note("writer: \(error)") }
        isOver.store(true, ordering: .releasing)
      }
      let remaker = StorageThread("test") {
        do {
          var life = 1
          while !isOver.load(ordering: .acquiring) {
            try busy.create("fleeting", partitions: 2, life: life)
            for batch in Int64(0)..<15 { try busy.append(to: "fleeting", Int32(batch % 2), at: batch / 2 * 10, life: life) }
            usleep(5000)
            try busy.delete("fleeting", partitions: 2, life: life)
            life += 1
          }
        } catch { note("remaker: \(error)") }
      }
      let analysts = (0..<BusyStore.scanThreads).map { number in
        StorageThread("test") {
          var random = SeededRandom(seed: UInt64(number))
          while !isOver.load(ordering: .acquiring) {
            do {
              let low = Int64.random(in: 0..<1200, using: &random)
              let time = StoredTopic.now + low
              let (sql, expected) = random.pick([
                ("SELECT count(*) AS wrong FROM steady WHERE value <> '0 ' || offset", [#"{"wrong":0}"#]),
                ("SELECT partition FROM steady GROUP BY 1 HAVING count(*) <> max(offset) - min(offset) + 1", []),
                ("SELECT value FROM steady WHERE offset = \(low) AND value <> '0 \(low)'", []),
                ("SELECT value FROM steady WHERE timestamp BETWEEN \(time) AND \(time + 25) AND value <> '0 ' || offset", []),
                ("SELECT 1 FROM (SELECT max(value) AS m FROM steady GROUP BY partition ORDER BY m) WHERE m NOT LIKE '0 %'", []),
                ("SELECT 'mixed' FROM fleeting GROUP BY 1 HAVING count(DISTINCT substr(value, 1, instr(value, ' '))) > 1", []),
              ])
              let lines = try StoreCatalog(busy.store).ask(sql).lines
              asked.add(1, ordering: .relaxed)
              if lines != expected { note("\(sql): \(lines)") }
            } catch let error as QueryError where "\(error)".contains("fleeting") {
              // It was not there, or went while it was read.
            } catch { note("analyst: \(error)") }
            let open = busy.store.levels.openDatabases
            // Each analyst may have a reader open for every partition, beyond the bound.
            if open > BusyStore.databasesMax + 4 * BusyStore.scanThreads { note("\(open) databases are open") }
          }
        }
      }
      for thread in [writer, remaker] + analysts { thread.join() }
      #expect(failures.withLock { $0 } == [])
      #expect(asked.load(ordering: .relaxed) > 20)
      #expect(busy.store.levels.openDatabases <= BusyStore.databasesMax)
      let files = try busy.openFiles()
      // SQLite closes descriptors of a file only when the last connection to it in the process has gone.
      #expect(files.filter { $0.hasSuffix("(deleted)") } == [])
      #expect(Set(files.filter { $0.hasSuffix(".db") }).count <= BusyStore.databasesMax)
      try busy.delete("steady", partitions: 4, life: 0)
      #expect(try busy.comesToHaveNothingOpen())
      try busy.store.close()
    }
  }

  @Test("a reader is the one of the query before, counted among open databases, and gone when its file is")
  func reuse() throws {
    try withTemporaryDirectory { directory in
      let busy = try BusyStore(directory)
      try busy.create("plays", partitions: 2, life: 0)
      for batch in Int64(0)..<40 {
        for partition in Int32(0)..<2 { try busy.append(to: "plays", partition, at: batch * 10, life: 0) }
      }
      let sql = "SELECT count(*) FROM plays WHERE value LIKE '0 %'"
      #expect(try StoreCatalog(busy.store).ask(sql).lines == [#"{"count(*)":800}"#])
      #expect(busy.store.levels.openDatabases > 4, "segments stay open for the next query")
      // Segments that are being sealed meanwhile open and close a few of their own: in the end a query opens none.
      var opened = Int.max
      for _ in 0..<500 where opened != 0 {
        let before = busy.store.levels.openDatabases
        #expect(try StoreCatalog(busy.store).ask(sql).lines == [#"{"count(*)":800}"#])
        opened = busy.store.levels.openDatabases - before
        if opened != 0 { usleep(10_000) }
      }
      #expect(opened == 0)
      // While a cut still pins the topic's files and has read them.
      let session = try SQLSession(catalog: StoreCatalog(busy.store), limits: SQLLimits(), control: ScanControl())
      let writer = OutputFormat.jsonl.makeWriter { _ in
        // Segments that wait to be removed go with their topic.
        busy.deleteRecords(of: "plays", partitions: 2, before: 399)
        try? busy.delete("plays", partitions: 2, life: 0)
      }
      _ = try? session.run("SELECT * FROM plays", parameters: [:], into: writer)
      #expect(try busy.comesToHaveNothingOpen())
      try busy.store.close()
    }
  }
}
