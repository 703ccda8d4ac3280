import Glibc
import HistorySupport
import Logging
import Model
import NIOCore
import Records
import SQLite
import Storage
import Synchronization
import TestSupport
import Testing

@testable import Query

@Suite("Queries over stored segments", .serialized)
struct SnapshotHistoryTests {
  private func withTopic(segmentBytes: Int64 = 16 << 10, _ body: (StoredTopic) throws -> Void) throws {
    try withTemporaryDirectory { directory in
      let topic = try StoredTopic(directory, segmentBytes: segmentBytes)
      var random = SeededRandom(seed: 11)
      for partition in 0..<2 {
        var time = StoredTopic.now - 1_000_000
        for _ in 0..<(partition == 0 ? 120 : 60) {
          var records: [TestRecord] = []
          for _ in 0..<Int.random(in: 1...12, using: &random) {
            time += Int64.random(in: -3000...6000, using: &random)
            records.append(TestRecord(time, String(repeating: "v", count: Int.random(in: 0...300, using: &random)), key: "k"))
          }
          try topic.append(records, to: partition, compression: random.pick([.none, .lz4, .zstd]))
        }
      }
      try body(topic)
      try topic.store.close()
    }
  }

  @Test("generated queries answer as over the same batches in memory")
  func generated() throws {
    try withTopic { topic in
      let (stored, mirror) = try topic.views()
      #expect(bounds(stored) == bounds(mirror))
      #expect(try topic.store.snapshot(of: ["plays"]).partitions[0].segments.count > 3)
      var random = SeededRandom(seed: 5)
      let order = [
        "offset, partition", "offset DESC, partition", "partition, offset", "partition DESC, offset DESC",
        "timestamp, partition, offset", "timestamp DESC, partition, offset", "timestamp DESC, offset DESC, partition",
      ]
      for _ in 0..<150 {
        let offset = Int64.random(in: -5...800, using: &random)
        let time = StoredTopic.now - 1_000_000 + Int64.random(in: -10_000...1_200_000, using: &random)
        let predicate = random.pick([
          "offset >= \(offset)", "offset BETWEEN \(offset) AND \(offset + 40)", "timestamp >= \(time)",
          "timestamp BETWEEN \(time) AND \(time + 30_000)", "timestamp < \(time)", "offset = \(offset)",
          "partition = 1 AND offset < \(offset)",
          "timestamp > \(time) AND offset > \(offset)", "time >= '\(TimeText.text(time)!)'", "1",
        ])
        let sql =
          "SELECT partition, offset, timestamp, length(value) AS n FROM plays WHERE \(predicate) ORDER BY \(random.pick(order)) LIMIT \(random.pick([1, 20, 1000]))"
        let (a, b) = (try stored.ask(sql), try mirror.ask(sql))
        #expect(a.text == b.text, "\(sql)")
        // By time, what is known of whole segments keeps batches from being read that the mirror has to look into.
        #expect(a.statistics.batchesDecoded <= b.statistics.batchesDecoded, "\(sql)")
        if !sql.contains("ORDER BY timestamp") {
          #expect(a.statistics.batchesDecoded == b.statistics.batchesDecoded, "\(sql)")
        }
      }
    }
  }

  /// Partitions with what is visible of them; what is known of their times differs from source to source.
  private func bounds(_ history: some HistorySource) -> [PartitionExtent] {
    history.partitions.map {
      PartitionExtent(
        topic: $0.topic, partition: $0.partition, logStartOffset: $0.logStartOffset, highWatermark: $0.highWatermark)
    }
  }

  @Test("the newest and the oldest records come from a few batches, whatever the history's length")
  func byTime() throws {
    try withTopic { topic in
      let (stored, _) = try topic.views()
      for sql in [
        "SELECT value FROM plays ORDER BY timestamp DESC LIMIT 5", "SELECT max(timestamp) FROM plays",
        "SELECT * FROM plays WHERE key = 'k' ORDER  BY  \"timestamp\" desc, offset LIMIT 2 OFFSET 2",
      ] {
        let answer = try stored.ask(sql)
        #expect(!answer.lines.isEmpty)
        #expect(answer.statistics.batchesDecoded <= 12, "\(sql)")
      }
      let oldest = try stored.ask("SELECT value FROM plays ORDER BY timestamp LIMIT 5")
      #expect(oldest.statistics.batchesDecoded <= 12)
      let counting = try stored.ask("SELECT count(*), sum(offset) FROM plays")
      #expect(counting.statistics.batchesDecoded == 0 && counting.statistics.batchesFromHeader == 180)
    }
  }

  @Test("a plan says about how many segments and batches it may read, of a node and of a file")
  func estimates() throws {
    try withTopic { topic in
      let segments = try topic.store.snapshot(of: ["plays"]).partitions.reduce(0) { $0 + $1.segments.count }
      func numbers(_ sql: String, _ catalog: some HistoryCatalog) throws -> (segments: Int, all: Int, batches: Int) {
        let plan = try catalog.ask("EXPLAIN QUERY PLAN " + sql).text
        let words = /an estimate: at most (\d+) of (\d+) segments, about (\d+) batches/
        let found = try #require(plan.firstMatch(of: words), "\(plan)")
        return (Int(found.1)!, Int(found.2)!, Int(found.3)!)
      }
      let node = StoreCatalog(topic.store)
      let all = try numbers("SELECT count(*) FROM plays", node)
      #expect(all.all == segments && all.segments >= segments - 3 && (120...240).contains(all.batches), "\(all)")
      let few = try numbers("SELECT value FROM plays WHERE partition = 0 AND offset < 10", node)
      #expect(few.segments == 1 && (1...10).contains(few.batches), "\(few)")
      let none = try numbers("SELECT value FROM plays WHERE timestamp > \(StoredTopic.now * 2)", node)
      #expect(none.segments == 0 && none.batches == 0)
      let window = try numbers("SELECT value FROM plays WHERE timestamp < \(StoredTopic.now - 990_000)", node)
      #expect(window.segments <= 2 && window.batches < 40, "\(window)")
      let first = "\(topic.directory)/topics/plays-0/00000000000000000000.db"
      let file = try numbers("SELECT count(*) FROM plays", SegmentCatalog(try OfflineSegment(path: first)))
      #expect(file.segments == 1 && file.all == 1 && file.batches > 5, "\(file)")
    }
  }

  @Test("the last records come from the last batches, whatever the history's length")
  func last() throws {
    try withTopic { topic in
      let answer = try topic.views().stored.ask("SELECT value FROM plays ORDER BY offset DESC LIMIT 5")
      #expect(answer.lines.count == 5)
      #expect(answer.statistics.batchesDecoded <= 5)
      #expect(answer.statistics.partitionsOpened == 1)
    }
  }

  @Test("a query sees the cut it began with while records come and go")
  func cut() throws {
    try withTopic { topic in
      let (stored, mirror) = try topic.views()
      try topic.append([TestRecord(StoredTopic.now, "later")], to: 0)
      let deleted = Arrivals()
      topic.store.deleteRecords(in: TopicPartition(topic: "plays", partition: 0), before: Offset(100)) { _ in
        deleted.appendsCompleted([])
      }
      usleep(50_000)
      let sql = "SELECT count(*), sum(offset), sum(length(value)), max(timestamp) FROM plays"
      #expect(try stored.ask(sql).text == mirror.ask(sql).text)
      let (after, _) = try topic.views()
      #expect(after.partitions[0].logStartOffset == 100)
      #expect(try after.ask("SELECT min(offset) FROM plays WHERE partition = 0").lines.first?.contains("100") == true)
      let afterMirror = try topic.views(logStart: [100, 0, 0]).mirror
      #expect(
        try after.ask("SELECT partition, offset, value FROM plays").text
          == afterMirror.ask("SELECT partition, offset, value FROM plays").text)
    }
  }

  @Test("a scan that is under way reads on what retention removes meanwhile")
  func retentionUnderWay() throws {
    try withTopic { topic in
      let (stored, mirror) = try topic.views()
      let sql = "SELECT partition, offset, value FROM plays ORDER BY offset, partition"
      let collected = Collected()
      let session = try SQLSession(source: stored, limits: SQLLimits(), control: ScanControl())
      let removed = Arrivals()
      let writer = OutputFormat.jsonl.makeWriter { chunk in
        collected.sink(chunk)
        guard collected.chunks == 1 else { return }
        for partition in 0..<2 {
          // Everything: the segments behind the log start are to go, were they not held.
          topic.store.deleteRecords(in: TopicPartition(topic: "plays", partition: Int32(partition)), before: Offset(-1)) { _ in
            removed.appendsCompleted([])
          }
        }
        for _ in 0..<1000 where try topic.views().stored.partitions[0].logStartOffset == 0 { usleep(2000) }
        topic.store.enforceRetention(now: StoredTopic.now)
        usleep(100_000)
      }
      _ = try session.run(sql, parameters: [:], into: writer)
      #expect(collected.chunks > 1)
      #expect(collected.text == (try mirror.ask(sql)).text)
      #expect(try topic.views().stored.ask("SELECT count(*) AS c FROM plays").lines == [#"{"c":0}"#])
    }
  }

  @Test("a partition that cannot be opened fails the questions that need it, and no other")
  func unreadablePartition() throws {
    try withTemporaryDirectory { directory in
      let topic = try StoredTopic(directory, segmentBytes: 16 << 10)
      for partition in 0..<3 { try topic.append([TestRecord(StoredTopic.now, "v")], to: partition) }
      try topic.store.close()
      let path = directory + "/data/topics/plays-1/00000000000000000000.db"
      let file = open(path, O_WRONLY | O_TRUNC)
      #expect(write(file, "this was a database", 19) == 19)
      close(file)
      var logger = Logger(label: "test")
      logger.logLevel = .critical
      let store = try LogStore.open(
        StoreOptions(dataDirectory: directory + "/data", nodeID: NodeID(1)), logger: logger, now: { StoredTopic.now })
      for partition in 0..<3 {
        try store.attachPartition(
          TopicPartition(topic: "plays", partition: Int32(partition)), topicID: TopicID(high: 1, low: 2),
          leaderEpoch: LeaderEpoch(0), configuration: TopicConfiguration())
      }
      let history = SnapshotHistory(try store.snapshot(of: nil))
      #expect(try history.ask("SELECT value FROM plays WHERE partition IN (0, 2)").lines.count == 2)
      for sql in ["SELECT count(*) FROM plays", "SELECT value FROM plays WHERE partition = 1 AND offset > 7"] {
        #expect(throws: QueryError.self, "\(sql)") { try history.ask(sql) }
      }
      try store.close()
    }
  }

  @Test("the files answer alike beside the running node and after it")
  func offline() throws {
    try withTemporaryDirectory { directory in
      let topic = try StoredTopic(directory, segmentBytes: 16 << 10)
      try topic.store.node.perform { (connection) throws(SQLiteError) in
        let id = TopicID(high: 1, low: 2).bytes
        let row = try connection.prepare("INSERT INTO topic VALUES (?, 'plays', 0)")
        row.bind(id, at: 1)
        try row.run()
        let partitions = try connection.prepare("INSERT INTO partition SELECT ?, value, 0 FROM json_each('[0,1,2]')")
        partitions.bind(id, at: 1)
        try partitions.run()
      }
      for number in 0..<200 {
        try topic.append(
          (0..<5).map { TestRecord(StoredTopic.now + Int64(number * 5 + $0), String(repeating: "v", count: 100)) },
          to: number % 2)
      }
      let sql =
        "SELECT partition, offset, timestamp, value FROM plays WHERE offset >= 100 ORDER BY offset DESC, partition LIMIT 500"
      let expected = try topic.views().mirror.ask(sql)
      // What is written down follows what is there within a second or so.
      var beside = SnapshotHistory(try OfflineStore(dataDirectory: directory + "/data").snapshot(of: nil))
      for _ in 0..<500 where bounds(beside) != bounds(try topic.views().mirror) {
        usleep(10_000)
        beside = SnapshotHistory(try OfflineStore(dataDirectory: directory + "/data").snapshot(of: nil))
      }
      let answer = try beside.ask(sql)
      #expect(answer.text == expected.text)
      #expect(answer.statistics.batchesDecoded == expected.statistics.batchesDecoded)
      try topic.store.close()
      let after = SnapshotHistory(try OfflineStore(dataDirectory: directory + "/data").snapshot(of: nil))
      #expect(try after.ask(sql).text == expected.text)
    }
  }

  @Test("one segment file by itself gives its part of a partition, bounded by what is written down")
  func segment() throws {
    try withTemporaryDirectory { directory in
      let topic = try StoredTopic(directory, segmentBytes: 20_000)
      for number in 0..<100 {
        try topic.append(
          (0..<5).map { TestRecord(StoredTopic.now + Int64(number * 5 + $0), String(repeating: "v", count: 100)) }, to: 0)
      }
      let folder = directory + "/data/topics/plays-0"
      let paths = try directoryEntries(folder).filter { $0.hasSuffix(".db") }.sorted().map { "\(folder)/\($0)" }
      #expect(paths.count > 2)
      func counts() throws -> [Int64] { try paths.map { try OfflineSegment(path: $0).offsetCount } }
      // What is written down follows what is there within a second or so, and no segment is ahead of it.
      var found = try counts()
      for _ in 0..<500 where found.reduce(0, +) < 500 {
        usleep(10_000)
        found = try counts()
      }
      #expect(found.reduce(0, +) == 500)
      var offsets: [String] = []
      for path in paths {
        let catalog = SegmentCatalog(try OfflineSegment(path: path))
        offsets += try catalog.ask("SELECT offset FROM plays WHERE length(value) = 100 ORDER BY offset").lines
      }
      #expect(offsets == (0..<500).map { #"{"offset":\#($0)}"# })
      try topic.store.close()
      #expect(throws: StorageError.self) { try OfflineSegment(path: directory + "/data/quire.db") }
      // A node may go on with the newest at any moment, with all others none ever does; what lies elsewhere is nobody's.
      func isLocked(_ path: String) throws -> Bool {
        try !#require(try OfflineSegment(path: path).snapshot().partitions.first?.segments.first).isSealed
      }
      for path in paths { unlink(path + "-wal") }
      #expect(try paths.map { try isLocked($0) } == paths.map { $0 == paths.last })
      let newest = try #require(paths.last)
      let copy = directory + "/copy.db"
      #expect(link(newest, copy) == 0)
      #expect(try !isLocked(copy))
      let sql = "SELECT offset, value FROM plays ORDER BY offset"
      let expected = try SegmentCatalog(try OfflineSegment(path: newest)).ask(sql).lines
      #expect(try !expected.isEmpty && SegmentCatalog(try OfflineSegment(path: copy)).ask(sql).lines == expected)
    }
  }

  @Test("a partition without records is an empty table's part")
  func empty() throws {
    try withTemporaryDirectory { directory in
      let topic = try StoredTopic(directory, segmentBytes: 1 << 20)
      let (stored, _) = try topic.views()
      #expect(try stored.ask("SELECT count(*) AS c FROM plays").lines == [#"{"c":0}"#])
      #expect(try stored.ask("SELECT * FROM plays ORDER BY offset DESC LIMIT 1").lines == [])
      try topic.store.close()
    }
  }

  @Test("a statement opens the partitions of the topics that it names, and no others")
  func onlyWhatIsNamed() throws {
    try withTemporaryDirectory { directory in
      let topic = try StoredTopic(directory, segmentBytes: 1 << 20)
      try topic.append([TestRecord(StoredTopic.now, "v")], to: 0)
      let other = TopicPartition(topic: "other", partition: 0)
      try topic.store.createPartition(
        other, topicID: TopicID(high: 3, low: 4), leaderEpoch: .zero, configuration: TopicConfiguration())
      try topic.store.close()

      var logger = Logger(label: "test")
      logger.logLevel = .critical
      let store = try LogStore.open(
        StoreOptions(dataDirectory: directory + "/data", nodeID: NodeID(1)), logger: logger, now: { StoredTopic.now })
      try store.attachPartition(
        other, topicID: TopicID(high: 3, low: 4), leaderEpoch: .zero, configuration: TopicConfiguration())
      for partition in 0..<3 {
        try store.attachPartition(
          TopicPartition(topic: "plays", partition: Int32(partition)), topicID: TopicID(high: 1, low: 2), leaderEpoch: .zero,
          configuration: TopicConfiguration())
      }
      let answer = try StoreCatalog(store).ask("SELECT count(*) AS c FROM plays")
      #expect(answer.lines == [#"{"c":1}"#])
      // An open segment has its -wal beside it.
      #expect(try directoryEntries(directory + "/data/topics/plays-0").count > 1)
      #expect(try directoryEntries(directory + "/data/topics/other-0").count == 1)
      #expect(throws: QueryError.self) { try StoreCatalog(store).ask("SELECT * FROM nowhere") }
      try store.close()
    }
  }

  /// Grows with every cut that is taken, and notes them.
  private final class GrowingCatalog: HistoryCatalog {
    let cuts = Mutex<[Set<String>]>([])
    var topics: [String] { ["a", "b", "c"] }
    func prepare(_ topic: String) -> TopicSize? { TopicSize(partitions: 1, offsets: 10) }
    func cut(of topics: [String]) throws(HistoryError) -> any HistorySource {
      let count = cuts.withLock {
        $0.append(Set(topics))
        return $0.count
      }
      var history = MemoryHistory()
      do {
        for topic in topics.sorted() {
          let batch = try MemoryHistory.Batch((0..<count).map { TestRecord(Int64($0), "v") }, at: 0)
          history.add(PartitionExtent(topic: topic, partition: 0, logStartOffset: 0, highWatermark: Int64(count)), [batch])
        }
      } catch { throw HistoryError(.unavailable, "\(error)") }
      return history
    }
  }

  @Test("all topics that a statement names are cut at once, and a topic once in a session")
  func oneCut() throws {
    let catalog = GrowingCatalog()
    let session = try SQLSession(catalog: catalog, limits: SQLLimits(), control: ScanControl())
    func counts(_ sql: String) throws -> String {
      let collected = Collected()
      _ = try session.run(sql, parameters: [:], into: OutputFormat.csv.makeWriter(sink: collected.sink))
      return collected.text
    }
    let both = "SELECT (SELECT count(*) FROM a) AS a, (SELECT count(*) FROM b) AS b"
    #expect(try counts("EXPLAIN QUERY PLAN " + both).isEmpty == false)
    // A plan looks at what there is now, and binds nobody to it.
    catalog.cuts.withLock { $0 = [] }
    for _ in 0..<2 { #expect(try counts(both).hasSuffix("1,1\n")) }
    #expect(try counts("SELECT (SELECT count(*) FROM a) AS a, (SELECT count(*) FROM c) AS c").hasSuffix("1,2\n"))
    #expect(catalog.cuts.withLock { $0 } == [["a", "b"], ["c"]])
  }
}
