import Coordination
import Glibc
import HistorySupport
import Logging
import Model
import Records
import SQLite
import Storage
import Synchronization
import TestSupport
import Testing

@testable import Query

private struct FakeNode: NodeFacts {
  func now() -> Int64 { StoredTopic.now + 60_000 }
  func groups() -> [GroupFacts] {
    func offset(_ partition: Int32, _ offset: Int64) -> GroupFacts.CommittedOffset {
      .init(
        partition: TopicPartition(topic: "plays", partition: partition), offset: offset, leaderEpoch: -1, metadata: "m",
        commitTimestamp: StoredTopic.now)
    }
    return [
      GroupFacts(
        groupID: "team", state: "Stable", protocolType: "consumer", protocolName: "range", generationID: 3, leaderID: "a-1",
        members: [
          .init(
            memberID: "a-1", instanceID: nil, clientID: "a", clientHost: "/127.0.0.1", sessionTimeoutMilliseconds: 45_000,
            rebalanceTimeoutMilliseconds: 60_000,
            partitions: [TopicPartition(topic: "plays", partition: 1), TopicPartition(topic: "plays", partition: 0)])
        ], offsets: [offset(0, 1), offset(1, 2), offset(2, 0)])
    ]
  }
  func nodes() -> [NodeFact] { [NodeFact(id: 1, host: "h", port: 9092, rack: nil, isThisNode: true)] }
  func configurations() -> [ConfigurationFact] {
    [ConfigurationFact(resourceType: "topic", resourceName: "plays", name: "retention.ms", value: "5", source: "topic")]
  }
}

private struct Table {
  let catalog: any HistoryCatalog
  /// Throws for the sake of closures that throw within expectations only, which the compiler does not see.
  init(_ catalog: any HistoryCatalog) throws { self.catalog = catalog }
  /// The rows of an answer as CSV.
  func of(_ sql: String) throws -> [String] {
    try catalog.ask(sql, format: .csv).text.split(separator: "\n").dropFirst().map(String.init)
  }
}

@Suite("System tables", .serialized)
struct SystemTableTests {
  private func withStore(_ body: (LogStore, StoreCatalog, String) throws -> Void) throws {
    try withTemporaryDirectory { directory in
      let topic = try StoredTopic(directory, segmentBytes: 16 << 10)
      // Partition 0: two batches, the second out of order; partition 1: one; partition 2: none.
      try topic.append([TestRecord(StoredTopic.now - 5000, "a"), TestRecord(StoredTopic.now - 1000, "b")], to: 0)
      try topic.append([TestRecord(StoredTopic.now - 3000, "c")], to: 0, compression: .zstd)
      try topic.append([TestRecord(StoredTopic.now - 2000, "d"), TestRecord(StoredTopic.now - 2000, "e")], to: 1)
      try body(topic.store, StoreCatalog(topic.store, node: FakeNode(), queries: QueryRegistry()), directory + "/data")
      try topic.store.close()
    }
  }

  @Test("topics, partitions, segments and batches are what the store has")
  func storage() throws {
    try withStore { _, catalog, _ in
      let rows = try Table(catalog)
      #expect(
        try rows.of("SELECT topic, partitions, records, segments, newest_timestamp - oldest_timestamp FROM quire_topics")
          == ["plays,3,5,3,4000"])
      #expect(
        try rows.of(
          "SELECT partition, log_start_offset, high_watermark, records, \(StoredTopic.now) - newest_timestamp FROM quire_partitions"
        )
          == ["0,0,3,3,1000", "1,0,2,2,2000", "2,0,0,0,"])
      #expect(
        try rows.of("SELECT newest_time FROM quire_partitions WHERE partition = 1 AND topic = 'plays'").first?.hasSuffix("Z")
          == true)
      #expect(
        try rows.of("SELECT partition, base_offset, end_offset, is_sealed, file_bytes >= batch_bytes FROM quire_segments")
          == ["0,0,3,0,1", "1,0,2,0,1", "2,0,0,0,1"])
      #expect(
        try rows.of(
          "SELECT partition, base_offset, last_offset, records, compression, producer_id, is_control, bytes > 61 FROM quire_batches"
        )
          == ["0,0,1,2,none,,0,1", "0,2,2,1,zstd,,0,1", "1,0,1,2,none,,0,1"])
      #expect(
        try rows.of("SELECT base_offset FROM quire_batches WHERE topic = 'plays' AND partition = 0 AND base_offset = 2") == [
          "2"
        ])
      #expect(
        try rows.of("SELECT count(*) FROM quire_batches WHERE base_offset = 1 OR topic = 'x' OR partition = 'x'") == ["0"])
      #expect(try rows.of("SELECT * FROM quire_transactions") == [])
      #expect(try rows.of("SELECT * FROM quire_producers") == [])
    }
  }

  @Test("they join with topics and with each other, whatever their aliases")
  func joins() throws {
    try withStore { _, catalog, _ in
      let lost = try catalog.ask(
        """
        SELECT  p."partition", count(e.value) AS n
          FROM quire_partitions AS p LEFT JOIN plays e ON e.partition = p.partition
         GROUP BY 1 HAVING n <> p.records
        """)
      #expect(lost.lines.isEmpty)
      let batches = try catalog.ask(
        "select sum(b.records) = (select sum(records) from quire_topics) as same from quire_batches b, quire_segments s where b.topic=s.topic and b.partition=s.partition and b.base_offset>=s.base_offset and b.last_offset<s.end_offset"
      )
      #expect(batches.lines == [#"{"same":1}"#])
    }
  }

  @Test("what a statement reads of a topic, and what the tables say of it, is of one moment")
  func oneMoment() throws {
    try withTemporaryDirectory { directory in
      let topic = try StoredTopic(directory, segmentBytes: 16 << 10)
      for partition in 0..<2 { try topic.append([TestRecord(1, "a"), TestRecord(2, "b")], to: partition) }
      // In the first row one side is looked at, in the second the other.
      for sql in [
        "SELECT CASE offset WHEN 1 THEN (SELECT sum(records) FROM quire_partitions) END AS n FROM plays WHERE partition = 0",
        "SELECT CASE e.offset WHEN 1 THEN (SELECT sum(p.records) FROM quire_batches p WHERE p.topic = e.topic) END AS n FROM plays e WHERE e.partition = 0",
        "SELECT CASE partition WHEN 1 THEN (SELECT count(*) FROM plays) END AS n FROM quire_partitions WHERE partition < 2 AND topic = 'plays'",
        "SELECT CASE partition WHEN 1 THEN (SELECT count(*) FROM plays) END AS n FROM quire_partitions WHERE partition < 2",
      ] {
        let session = try SQLSession(catalog: StoreCatalog(topic.store), limits: SQLLimits(), control: ScanControl())
        let query = try session.prepareQuery(sql)
        let before = try StoreCatalog(topic.store).ask("SELECT count(*) AS n FROM plays").lines
        #expect(try query.step())
        try topic.append([TestRecord(3, "c")], to: 1)
        #expect(try query.step())
        #expect(["{\"n\":\(query.withRow { $0.integer(0) })}"] == before, "\(sql)")
      }
      try topic.store.close()
    }
  }

  @Test("what the newest record's time is, also where the log start cuts a segment that had a newer one")
  func newestBehindLogStart() throws {
    try withStore { store, catalog, _ in
      let done = Arrivals()
      store.deleteRecords(in: TopicPartition(topic: "plays", partition: 0), before: Offset(2)) { _ in
        done.appendsCompleted([])
      }
      for _ in 0..<500 where store.partition(TopicPartition(topic: "plays", partition: 0))?.offsets?.logStartOffset != Offset(2)
      {
        usleep(2000)
      }
      let answer = try catalog.ask(
        "SELECT oldest_timestamp - \(StoredTopic.now) AS a, newest_timestamp - \(StoredTopic.now) AS b FROM quire_partitions WHERE partition = 0"
      )
      #expect(answer.lines == [#"{"a":-3000,"b":-3000}"#])
    }
  }

  @Test("groups, members, offsets, and lag in records and seconds")
  func groups() throws {
    try withStore { _, catalog, _ in
      let rows = try Table(catalog)
      #expect(try rows.of("SELECT group_id, state, generation, members, offsets FROM quire_groups") == ["team,Stable,3,1,3"])
      #expect(try rows.of("SELECT client_id, partitions ->> '$[1][1]' FROM quire_members WHERE group_id = 'team'") == ["a,1"])
      #expect(try rows.of("SELECT count(*) FROM quire_members WHERE group_id = 'other'") == ["0"])
      #expect(try rows.of("SELECT partition, committed_offset, leader_epoch FROM quire_offsets") == ["0,1,", "1,2,", "2,0,"])
      #expect(
        try rows.of("SELECT partition, high_watermark, lag, lag_seconds, member_id FROM quire_lag WHERE topic = 'plays'")
          == ["0,3,2,61.0,a-1", "1,2,0,0.0,a-1", "2,0,0,0.0,"])
      #expect(try rows.of("SELECT node_id, port FROM quire_nodes") == ["1,9092"])
      #expect(try rows.of("SELECT value FROM quire_configs WHERE resource_name = 'plays' AND name = 'retention.ms'") == ["5"])
    }
  }

  @Test("a data directory answers what its files tell, and says what only a node knows")
  func offline() throws {
    try withStore { store, _, directory in
      try store.node.perform { (connection) throws(SQLiteError) in
        let id = TopicID(high: 1, low: 2).bytes
        let row = try connection.prepare("INSERT INTO topic VALUES (?, 'plays', 0)")
        row.bind(id, at: 1)
        try row.run()
        let partitions = try connection.prepare("INSERT INTO partition SELECT ?, value, 0 FROM json_each('[0,1,2]')")
        partitions.bind(id, at: 1)
        try partitions.run()
      }
      try store.leadCoordinator(shardCount: 2)
      let shards = CoordinatorStore(store, shardCount: 2)
      try shards.apply(
        [
          GroupChanges(
            groupID: "team",
            changes: [
              .offsetCommitted(
                TopicPartition(topic: "plays", partition: 0),
                CommittedOffset(offset: 1, leaderEpoch: 0, metadata: "", commitTimestamp: 7, expireTimestamp: nil))
            ])
        ], to: shards.shard(of: "team"))
      try store.close()
      let files = DirectoryCatalog(try OfflineStore(dataDirectory: directory))
      let rows = try Table(files)
      #expect(try rows.of("SELECT partition, records FROM quire_partitions") == ["0,3", "1,2", "2,0"])
      #expect(try rows.of("SELECT sum(records) FROM quire_batches") == ["5"])
      #expect(try rows.of("SELECT group_id, state IS NULL FROM quire_groups") == ["team,1"])
      #expect(try rows.of("SELECT committed_offset, lag FROM quire_lag") == ["1,2"])
      for table in ["quire_nodes", "quire_cluster", "quire_replicas", "quire_configs", "quire_queries"] {
        do throws(QueryError) {
          _ = try files.ask("SELECT * FROM \(table)")
          Issue.record("\(table) answered")
        } catch { #expect(error.message.contains("running node only")) }
      }
    }
  }

  @Test("a statement that runs is listed with what it cost, and ends when it is cancelled by its number")
  func registry() async throws {
    let registry = QueryRegistry(concurrentMax: 1)
    let control = ScanControl()
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    var ticket: QueryTicket? = try registry.begin(sql: sql, door: "test", control: control)
    #expect(throws: QueryError.self) { try registry.begin(sql: "SELECT 1", door: "test", control: ScanControl()) }
    let task = Task.detached {
      let session = try SQLSession(source: MemoryHistory(), limits: SQLLimits(time: nil, outputBytes: nil), control: control)
      _ = try session.run(sql, parameters: [:], into: OutputFormat.csv.makeWriter { _ in })
    }
    while (registry.running.first?.rows ?? 0) < 1000 { try await Task.sleep(for: .milliseconds(1)) }
    let entry = try #require(registry.running.first)
    #expect(entry.sql == sql && entry.door == "test")
    #expect(!registry.cancel(entry.id + 1))
    #expect(registry.cancel(entry.id))
    let outcome = await task.result
    #expect(throws: QueryError.self) { try outcome.get() }
    ticket = nil
    #expect(registry.running.isEmpty && ticket == nil)
    #expect(!registry.cancel(entry.id))
  }
}
