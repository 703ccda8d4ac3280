import Glibc
import HistorySupport
import Logging
import Model
import Pages
import SQLite
import Storage
import TestSupport
import Testing

@testable import Query

@Suite("History of a replica") struct ReplicaHistoryTests {
  private static let name = TopicPartition(topic: "plays", partition: 0)

  @Test("is asked as its leader's, up to the high watermark that the leader told; what has not come is said, not left out")
  func bounded() throws {
    try withTemporaryDirectory { directory in
      let topic = try StoredTopic(directory, segmentBytes: 4_000)
      for index in 0..<20 {
        let value = String(repeating: "v", count: 400)
        try topic.append([TestRecord(StoredTopic.now + Int64(index), value, key: "k\(index)")], to: 0)
      }
      let leader = topic.directory + "/topics/plays-0"
      let names = try directoryEntries(leader).filter { $0.hasSuffix(".db") }.sorted()
      #expect(names.count > 2)
      let newest = "\(leader)/\(names.last!)"
      for _ in 0..<6_000 where try Self.unsealed(newest) > 0 { usleep(10_000) }
      var mirror = try topic.views().mirror
      mirror.partitions.removeLast(2)
      mirror.batches.removeLast(2)
      try topic.store.close()
      var logger = Logger(label: "test")
      logger.logLevel = .critical
      mkdir(directory + "/replica", 0o700)
      let store = try LogStore.open(
        StoreOptions(dataDirectory: directory + "/replica/data", nodeID: NodeID(2)), logger: logger, now: { StoredTopic.now })
      let replica = try store.openReplica(of: Self.name, topicID: TopicID(high: 1, low: 2), configuration: .init())
      func ask(_ sql: String) throws -> String { try SnapshotHistory(try store.snapshot(of: ["plays"])).ask(sql).text }
      let count = "SELECT count(*) AS n, max(offset) AS last FROM plays"
      #expect(throws: (any Error).self) { try ask(count) }
      try replica.apply(try Self.fullState(newest))
      _ = try replica.sync()
      #expect(try ask(count) == "{\"n\":0,\"last\":null}\n")
      replica.raiseHighWatermark(to: Offset(3))
      #expect(throws: (any Error).self) { try ask(count) }
      #expect(replica.wantedFiles.count == names.count - 1)
      for wanted in replica.wantedFiles {
        let bytes = Self.bytes("\(leader)/\(names.first { Int64($0.dropLast(3)) == wanted.base }!)")
        try replica.writeFile(
          base: wanted.base, generation: wanted.generation, offset: 0, total: Int64(bytes.count), bytes)
      }
      for limit in [3, 7, 20] {
        replica.raiseHighWatermark(to: Offset(Int64(limit)))
        #expect(try ask(count) == "{\"n\":\(limit),\"last\":\(limit - 1)}\n")
        #expect(try ask("SELECT offset AS o FROM plays ORDER BY timestamp DESC LIMIT 1") == "{\"o\":\(limit - 1)}\n")
        let late = try ask("SELECT count(*) AS n FROM plays WHERE timestamp >= \(StoredTopic.now + 5)")
        #expect(late == "{\"n\":\(max(0, limit - 5))}\n")
        #expect(try ask("SELECT count(*) AS n FROM plays WHERE offset >= 7") == "{\"n\":\(max(0, limit - 7))}\n")
      }
      let sql = "SELECT partition, offset, key, timestamp FROM plays ORDER BY offset"
      #expect(try ask(sql) == mirror.ask(sql).text)
      try store.close()
    }
  }

  private static func unsealed(_ path: String) throws -> Int64 {
    try Connection(path: path, mode: .readOnly).integer("SELECT count(*) FROM segment WHERE file_hash IS NULL") ?? 0
  }

  /// A segment that nobody has open, as a page set.
  private static func fullState(_ path: String) throws -> PageSet {
    let bytes = bytes(path)
    let connection = try Connection(path: path, mode: .immutable)
    let size = Int(try connection.integer("PRAGMA page_size")!)
    let after = CommitPosition(
      leaderEpoch: LeaderEpoch(Int32(try connection.integer("SELECT leader_epoch FROM partition_state")!)),
      segmentBase: Offset(try connection.integer("SELECT base_offset FROM partition_state")!),
      commitSequence: try connection.integer("SELECT commit_sequence FROM partition_state")!)
    var sums = PageSums(pageSize: PageSize(bytes: size)!)
    return try bytes.withUnsafeBytes { bytes in
      try sums.capture(
        pages: (0..<bytes.count / size).map {
          (PageNumber(UInt32($0 + 1)), UnsafeRawBufferPointer(rebasing: bytes[$0 * size..<($0 + 1) * size]))
        }, pageCount: bytes.count / size, before: .zero, after: after, resync: true
      ) { _, _ in false }.get()
    }
  }

  private static func bytes(_ path: String) -> [UInt8] {
    guard let file = fopen(path, "r") else { return [] }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
    return bytes
  }
}
