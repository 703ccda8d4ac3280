import Glibc
import HistorySupport
import Model
import NIOCore
import Records
import SQLite
import Storage
import TestSupport
import Testing

@testable import Indexes
@testable import Query

extension IndexTests {
  @Test("a scan that goes on from an indexed stretch to one that is not, in the order of times, has all rows")
  func coveredAndNot() throws {
    try withTemporaryDirectory { directory in
      let topic = try IndexedTopic(directory)
      try topic.append(batches: 8)
      topic.settle()
      try topic.append(batches: 2)
      let sum = "SELECT min(offset) AS low, max(offset) AS high FROM plays WHERE partition = 0 AND key = 'k1'"
      let ends = try #require(topic.ask(sum).lines.first).split { !$0.isNumber }.compactMap { Int64($0) }
      #expect(ends.count == 2 && ends[0] < 80 && ends[1] >= 80, "\(ends)")
      for offsets in ["\(ends[0]), \(ends[1])", "\(ends[1]), \(ends[0])", "\(ends[0]), 100000, \(ends[1])"] {
        for tail in ["timestamp", "timestamp DESC", "timestamp LIMIT 5", "timestamp DESC LIMIT 2", "offset DESC"] {
          try topic.check(
            "SELECT offset FROM plays WHERE partition = 0 AND key = 'k1' AND offset IN (\(offsets)) ORDER BY \(tail)")
        }
      }
    }
  }

  @Test("no record comes twice where a file's name and the log's batches do not agree")
  func stretchesWithinBatches() throws {
    try withTemporaryDirectory { directory in
      let topic = try IndexedTopic(directory, segmentBytes: 1 << 20)
      try topic.append(batches: 8)
      topic.settle()
      try topic.append(batches: 2)
      // As of a log that lost its end, and has got other batches there: the file ends inside of one.
      for path in topic.indexFiles() {
        let name = try #require(IndexName(fileName: String(path.split(separator: "/").last!)))
        let cut = IndexName(segmentBase: name.segmentBase, generation: name.generation, from: name.from, to: name.to - 5)
        #expect(rename(path, String(path.dropLast(name.fileName.utf8.count)) + cut.fileName) == 0)
      }
      for condition in ["key = 'k1'", "num > 0", "user = 'u3'"] {
        for order in ["partition, offset", "offset DESC, partition DESC", "timestamp", "timestamp DESC"] {
          try topic.check("SELECT partition, offset FROM plays WHERE \(condition) ORDER BY \(order)")
        }
        try topic.check("SELECT count(*) FROM plays WHERE \(condition)")
      }
    }
  }

  @Test("bounds that are not UTF-8 lose no row")
  func illFormedBounds() throws {
    try withTemporaryDirectory { directory in
      let topic = try IndexedTopic(directory)
      try topic.topic.append([TestRecord(1, "{}", key: "\u{1F47F}a"), TestRecord(2, "{}", key: "\u{1F47F}")], to: 0)
      try topic.topic.append([TestRecord(3, "{}", key: "\u{FFFD}"), TestRecord(4, "{}", key: "\u{10FFFF}")], to: 1)
      try topic.append(batches: 8)
      topic.settle()
      for condition in [
        "key GLOB '\u{1F47F}*'", "key LIKE '\u{1F47F}%'", "key < CAST(x'FF' AS TEXT)", "key > CAST(x'F09F' AS TEXT)",
        "key = CAST(x'FF' AS TEXT)", "key IN ('k1', CAST(x'FF' AS TEXT))", "digits < CAST(x'FF' AS TEXT)",
        "words MATCH CAST(x'AA' AS TEXT)",
      ] {
        try topic.check("SELECT partition, offset FROM plays WHERE \(condition) ORDER BY 1, 2")
      }
      #expect(try topic.ask("SELECT 1 FROM plays WHERE key GLOB '\u{1F47F}*'").lines.count == 2)
    }
  }

  @Test("records of a batch that share a value are all found, also where they are too large to be gathered at once")
  func sharedValues() throws {
    try withTemporaryDirectory { directory in
      let topic = try IndexedTopic(directory)
      let large = String(repeating: "x", count: 600_000)
      let records = (0..<12).map { TestRecord(Int64($0), "{\"n\":\($0 % 3)}", key: $0 % 5 == 4 ? "other" : large) }
      try topic.topic.append(records, to: 0, compression: .lz4)
      try topic.append(batches: 2)
      topic.settle()
      #expect(topic.builder.levels.uncoveredRecords == 0)
      for key in [large, "other", "k1"] {
        try topic.check("SELECT partition, offset FROM plays WHERE key = :key ORDER BY 1, 2", ["key": .text(key)])
      }
      let found = try topic.ask("SELECT offset FROM plays WHERE key = :key", ["key": .text(large)])
      #expect(found.lines.count == 10 && found.statistics.batchesDecoded == 1)
    }
  }

  @Test("a record outside of its batch is an error, and what is stopped ends")
  func strangeRecords() throws {
    try withTemporaryDirectory { directory in
      let definition = IndexDefinition(
        column: DeclaredColumn(name: "key", definition: nil, isIndexed: true, isFullText: false), kind: .values)
      let name = IndexName(segmentBase: 0, generation: 0, from: 0, to: 20)
      let stop = Stop()
      let writer = try IndexWriter([definition], in: directory, named: name, shouldStop: { stop.isSet })
      writer.begin(.init(baseOffset: 10, leaderEpoch: 0, crc: 0), lastOffset: 12)
      func add(_ offset: Int64) -> SQLiteError? {
        writer.add(offset) { (_, statement) in
          statement.bind("a\(offset)", at: 1)
          return 3
        }
      }
      #expect(add(9) != nil && add(13) != nil && add(.min) != nil)
      #expect(add(10) == nil && add(12) == nil)
      stop.isSet = true
      var error: SQLiteError?
      for _ in 0..<10_000 where error == nil { error = add(11) }
      #expect(error?.isInterrupt == true)
    }
  }

  private final class Stop { var isSet = false }

  @Test("a log that ends in batches without records is indexed once, and not again after each start")
  func withoutRecords() throws {
    try withTemporaryDirectory { directory in
      let topic = try IndexedTopic(directory, segmentBytes: 1 << 20)
      try topic.append(batches: 4)
      let store = topic.topic.store
      var configuration = try #require(store.configuration(of: "plays"))
      configuration.mirrorSource = "cluster/plays/id"
      store.setConfiguration(configuration, for: "plays")
      var gap = ByteBuffer()
      EmptyBatch.write(40..<50, to: &gap)
      for partition in 0..<3 {
        let arrivals = Arrivals()
        let request = AppendRequest(
          partition: store.partition(TopicPartition(topic: "plays", partition: Int32(partition)))!, records: gap,
          batches: try LogStretch.validate(gap), placement: .keepingOffsets(logStartOffset: nil), requiredAcks: -1,
          receiver: arrivals, context: nil)
        store.append([request])
        arrivals.wait(for: 1)
      }
      topic.settle()
      let names = topic.indexFiles().compactMap { IndexName(fileName: String($0.split(separator: "/").last!)) }
      #expect(names.count == 3 && names.allSatisfy { $0.from == 0 && $0.to == 50 })
      topic.restartBuilder()
      topic.settle()
      #expect(topic.builder.levels.builtFiles == 0 && topic.builder.levels.uncoveredRecords == 0)
      for sql in ["SELECT partition, offset FROM plays WHERE user = 'u3' ORDER BY 1, 2", "SELECT count(*) FROM plays"] {
        try topic.check(sql)
      }
      #expect(try topic.ask("SELECT 1 FROM plays WHERE key = 'nobody'").statistics.batchesDecoded == 0)
    }
  }

  @Test("no file is kept open that is no more, and none becomes larger than it may")
  func openFiles() throws {
    try withTemporaryDirectory { directory in
      let topic = try IndexedTopic(directory, segmentBytes: 1 << 20)
      for _ in 0..<6 {
        try topic.append(batches: 4)
        topic.settle()
        try topic.check("SELECT count(*) FROM plays WHERE key = 'k1'")
      }
      topic.settle()
      #expect(!topic.files.idlePaths.isEmpty && Set(topic.files.idlePaths).isSubset(of: topic.indexFiles()))
      let definition = IndexDefinition(
        column: DeclaredColumn(name: "key", definition: nil, isIndexed: true, isFullText: false), kind: .values)
      let name = IndexName(segmentBase: 0, generation: 0, from: 0, to: 20)
      let writer = try IndexWriter([definition], in: directory, named: name, bytesMax: 200_000)
      writer.begin(.init(baseOffset: 0, leaderEpoch: 0, crc: 0), lastOffset: 0)
      var error: SQLiteError?
      for offset in 0..<1000 where error == nil {
        writer.begin(.init(baseOffset: Int64(offset), leaderEpoch: 0, crc: 0), lastOffset: Int64(offset))
        error = writer.add(Int64(offset)) { (_, statement) in
          statement.bind(String(repeating: "y", count: 2000) + "\(offset)", at: 1)
          return 2000
        }
      }
      #expect(error?.isDiskFull == true)
    }
  }
}
