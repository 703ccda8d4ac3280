import Glibc
import HistorySupport
import Model
import SQLite
import Storage
import TestSupport
import Testing

@testable import Indexes
@testable import Query

/// What people ask: by value, by words, with everything else that is pushed into a scan.
private let questions = [
  "SELECT partition, offset, user FROM plays WHERE user = 'rare' ORDER BY partition, offset",
  "SELECT partition, offset FROM plays WHERE user = 'rare' ORDER BY offset DESC, partition LIMIT 3",
  "SELECT offset FROM plays WHERE user IN ('rare', 'u3', NULL) AND partition = 1 ORDER BY offset DESC LIMIT 7 OFFSET 2",
  "SELECT offset FROM plays WHERE user = 'rare' AND partition IN (0, 2) ORDER BY timestamp DESC, offset, partition LIMIT 4",
  "SELECT count(*), min(offset), max(n) FROM plays WHERE user = 'u7' AND offset BETWEEN 55 AND 123",
  "SELECT count(*) FROM plays WHERE user = 'u7' AND timestamp >= 1700000010000 AND timestamp < 1700000020000",
  "SELECT partition, offset FROM plays WHERE n > 490 ORDER BY n, partition, offset",
  "SELECT partition, offset FROM plays WHERE n BETWEEN 100 AND 102 ORDER BY partition DESC, offset DESC",
  "SELECT count(*) FROM plays WHERE user GLOB 'ra*'", "SELECT count(*) FROM plays WHERE user LIKE 'RA%'",
  "SELECT count(*) FROM plays WHERE user = 'RARE' COLLATE NOCASE", "SELECT count(*) FROM plays WHERE user IS NULL",
  "SELECT count(*) FROM plays WHERE user = NULL OR n = 5 OR user = 'rare'", "SELECT count(*) FROM plays WHERE user <> 'rare'",
  "SELECT a.offset, b.offset FROM plays a JOIN plays b ON a.user = b.user AND a.partition = b.partition WHERE a.user = 'rare' ORDER BY 1, 2",
  "SELECT count(*) FROM plays a JOIN plays b ON b.digits = a.n WHERE a.offset < 30 AND a.partition = 0",
  "SELECT count(*) FROM plays a JOIN plays b ON b.digits < a.num WHERE a.offset < 30 AND a.partition = 0 AND b.partition = 1",
  "SELECT count(*) FROM plays a JOIN plays b ON b.digits > a.num WHERE a.offset < 30 AND a.partition = 0 AND b.partition = 1",
  "SELECT count(*) FROM plays a JOIN plays b ON b.raw = a.digits WHERE a.offset < 90 AND a.partition = 0",
  "SELECT count(*) FROM plays a JOIN plays b ON b.key = a.num WHERE a.offset < 90 AND a.partition = 0",
  "SELECT key, count(*) FROM plays WHERE key = 'k77' OR key = 'k1' GROUP BY key ORDER BY key",
  "SELECT count(*) FROM plays WHERE user = (SELECT user FROM plays WHERE partition = 0 AND offset = 96)",
  "SELECT partition, offset FROM plays WHERE words MATCH 'needle' ORDER BY partition, offset",
  "SELECT count(*) FROM plays WHERE words MATCH 'needle AND fox'",
  "SELECT count(*) FROM plays WHERE words MATCH '\"quick brown\"'",
  "SELECT offset FROM plays WHERE words MATCH 'need*' AND partition = 2 ORDER BY offset DESC LIMIT 2",
  "SELECT count(*) FROM plays WHERE value MATCH 'rare NOT fox'",
  "SELECT count(*) FROM plays WHERE words MATCH 'owl' OR user = 'rare'",
  "SELECT count(*) FROM plays WHERE NOT words MATCH 'hay'", "SELECT count(*) FROM plays WHERE words MATCH NULL",
  "SELECT count(*) FROM plays WHERE value MATCH 'words : needle'",
]

@Suite("Indexes") struct IndexTests {
  @Test("questions have the same answers with indexes as without; few batches are read")
  func sameAnswers() throws {
    try withTemporaryDirectory { directory in
      let topic = try IndexedTopic(directory)
      try topic.append(batches: 40)
      topic.settle()
      for sql in questions { try topic.check(sql) }
      let all = try topic.ask("SELECT count(user) FROM plays").statistics.batchesDecoded
      let rare = try topic.ask("SELECT offset FROM plays WHERE user = 'rare'")
      #expect(all == 120 && rare.lines.count > 5)
      #expect(rare.statistics.batchesDecoded <= rare.lines.count && rare.statistics.indexLookups > 3)
      let first = try topic.ask("SELECT offset FROM plays WHERE user = 'rare' ORDER BY offset DESC LIMIT 1").statistics
      #expect(first.batchesDecoded <= 3 && first.indexLookups < rare.statistics.indexLookups)
      let needles = try topic.ask("SELECT offset FROM plays WHERE words MATCH 'needle'")
      #expect(needles.statistics.batchesDecoded <= needles.lines.count && !needles.lines.isEmpty)
      #expect(try topic.ask("SELECT 1 FROM plays WHERE key = 'k211'").statistics.batchesDecoded <= 3)
      #expect(try topic.ask("SELECT 1 FROM plays WHERE key = 'nobody'").statistics.batchesDecoded == 0)
      // What matches nearly everything is scanned.
      #expect(try topic.ask("SELECT count(*) FROM plays WHERE n >= 0").statistics.batchesDecoded == all)
      let plan = try topic.ask("EXPLAIN QUERY PLAN SELECT * FROM plays WHERE user = 'rare' AND offset > 5").text
      #expect(plan.contains("offset>?, USING index user (user=?), what it does not cover is scanned"), "\(plan)")
      #expect(
        try topic.ask("EXPLAIN QUERY PLAN SELECT * FROM plays WHERE words MATCH 'a'").text.contains(
          "USING fulltext index words"))
    }
  }

  @Test("values of any type compare as they do without indexes")
  func affinities() throws {
    try withTemporaryDirectory { directory in
      let topic = try IndexedTopic(directory)
      try topic.append(batches: 12)
      topic.settle()
      try topic.append(batches: 2)
      let values: [SQLParameter] = [
        .integer(7), .real(2.5), .real(7), .text("7"), .text("7.0"), .text("0100"), .text("x8"), .text("k1"), .null,
        .blob(Array("7".utf8)), .text("2.5"),
      ]
      for column in ["user", "n", "r", "num", "digits", "raw", "key"] {
        for value in values {
          for comparison in ["=", "<", ">="] {
            try topic.check("SELECT partition, offset FROM plays WHERE \(column) \(comparison) :v ORDER BY 1, 2", ["v": value])
          }
          try topic.check("SELECT count(*) FROM plays WHERE \(column) IN (:v, 'k2', 40)", ["v": value])
        }
        // The other side has an affinity of its own.
        for type in ["TEXT", "INTEGER", "BLOB"] {
          for literal in ["'7'", "'k1'", "100", "'0100'"] {
            let other = "CAST(\(literal) AS \(type))"
            try topic.check(
              "SELECT count(*), sum(offset), sum(\(column) < \(other)) FROM plays WHERE \(column) = \(other)")
          }
        }
      }
    }
  }

  @Test("new records are found before and after they are indexed, and files become few")
  func tail() throws {
    try withTemporaryDirectory { directory in
      let topic = try IndexedTopic(directory, segmentBytes: 1 << 20)
      for _ in 0..<20 {
        try topic.append(batches: 2)
        try topic.check("SELECT partition, offset FROM plays WHERE user = 'rare' ORDER BY 1, 2")
        topic.settle()
        try topic.check("SELECT partition, offset FROM plays WHERE user = 'rare' ORDER BY 2 DESC, 1")
        try topic.check("SELECT count(*) FROM plays WHERE words MATCH 'needle'")
      }
      #expect(topic.indexFiles().count <= 3 * 8, "\(topic.indexFiles())")
      #expect(topic.builder.levels.uncoveredRecords == 0)
      try topic.append(batches: 1)
      let read = try topic.ask("SELECT 1 FROM plays WHERE key = 'nobody'").statistics
      #expect(read.batchesDecoded == 3, "the uncovered tail")
    }
  }

  @Test("a byte flipped in any page of an index loses no row, and the index comes back")
  func damage() throws {
    try withTemporaryDirectory { directory in
      let topic = try IndexedTopic(directory, segmentBytes: 1 << 20)
      try topic.append(batches: 30)
      topic.settle()
      let path = try #require(topic.indexFiles().first)
      let good = try Self.read(path)
      #expect(good.count > 10 * VerifiedPages.pageSize)
      let wanted = try questions.prefix(8).map { try topic.expected($0) } + [topic.expected(questions[22])]
      var random = SeededRandom(seed: 3)
      for page in 0..<good.count / VerifiedPages.pageSize {
        var bad = good
        bad[page * VerifiedPages.pageSize + Int.random(in: 0..<VerifiedPages.pageSize, using: &random)] ^= 0x10
        try Self.write(bad, path)
        #expect(!VerifiedPages.verify(path))
        topic.restartBuilder()
        let found = try (questions.prefix(8) + [questions[22]]).map { try topic.ask($0).lines }
        #expect(found == wanted, "page \(page)")
      }
      // The last damage was met by a question, or is found by looking: either way the file is built again.
      topic.restartBuilder()
      topic.settle()
      #expect(VerifiedPages.verify(path))
      #expect(try topic.ask("SELECT 1 FROM plays WHERE key = 'nobody'").statistics.batchesDecoded == 0)
      // Damage that comes while the node runs, and is met by a question.
      for page in 0..<good.count / VerifiedPages.pageSize {
        var bad = try Self.read(path)
        bad[page * VerifiedPages.pageSize + 100] ^= 1
        try Self.write(bad, path)
      }
      topic.files.drop(in: "\(topic.directory)/topics/plays-0")
      try topic.check(questions[0])
      topic.settle()
      #expect(topic.builder.levels.damagedFiles == 1 && VerifiedPages.verify(path))
    }
  }

  @Test(
    "whatever lies where an index should be, answers are right and the index comes back",
    arguments: [
      "deleted", "empty", "cut", "garbage", "swapped pages", "draft", "other name", "other generation", "overlapping",
    ])
  func strange(what: String) throws {
    try withTemporaryDirectory { directory in
      let topic = try IndexedTopic(directory, segmentBytes: 1 << 20)
      try topic.append(batches: 20)
      topic.settle()
      for path in topic.indexFiles() {
        let bytes = try Self.read(path)
        switch what {
        case "deleted": unlink(path)
        case "empty": try Self.write([], path)
        case "cut": try Self.write(Array(bytes.prefix(bytes.count / 2 & ~4095)), path)
        case "garbage": try Self.write(Array(repeating: 0xA5, count: 9000), path)
        case "swapped pages":
          let page = VerifiedPages.pageSize
          try Self.write(
            Array(bytes[..<page] + bytes[(2 * page)..<(3 * page)] + bytes[page..<(2 * page)] + bytes[(3 * page)...]), path)
        case "draft": rename(path, path + "-draft")
        case "other name":
          let name = IndexName(fileName: String(path.split(separator: "/").last!))!
          let other = IndexName(segmentBase: name.segmentBase, generation: 0, from: name.from, to: name.to - 10)
          rename(path, path.replacing(name.fileName, with: other.fileName))
        case "other generation":
          let name = IndexName(fileName: String(path.split(separator: "/").last!))!
          let other = IndexName(segmentBase: name.segmentBase, generation: 3, from: name.from, to: name.to)
          rename(path, path.replacing(name.fileName, with: other.fileName))
        default:
          // Built twice over: a crash between the new file and the removal of the old ones.
          try topic.append(batches: 6)
          topic.settle()
          try Self.write(bytes, path)
        }
      }
      topic.files = IndexFiles(confirmsOnce: true)
      let some = Array(questions.prefix(5) + questions.suffix(9).prefix(3))
      for sql in some { try topic.check(sql) }
      topic.restartBuilder()
      topic.settle()
      for sql in some { try topic.check(sql) }
      #expect(try topic.ask("SELECT 1 FROM plays WHERE key = 'nobody'").statistics.batchesDecoded == 0)
      #expect(topic.indexFiles().allSatisfy { IndexName(fileName: String($0.split(separator: "/").last!)) != nil })
    }
  }

  @Test("an index of a log that a crash has cut short and others have gone on with is not believed")
  func otherBatches() throws {
    try withTemporaryDirectory { first in
      try withTemporaryDirectory { second in
        let one = try IndexedTopic(first, segmentBytes: 1 << 20)
        try one.append(batches: 10)
        one.settle()
        let other = try IndexedTopic(second, segmentBytes: 1 << 20)
        // The same offsets, other records.
        try other.topic.append([TestRecord(1, "{\"user\":\"rare\"}")], to: 0)
        try other.topic.append((0..<9).map { TestRecord($0, "{}") }, to: 0)
        try other.append(batches: 9)
        for path in one.indexFiles() {
          try Self.write(Self.read(path), path.replacing(one.directory, with: other.directory))
        }
        #expect(other.indexFiles().count == 3)
        for sql in questions.prefix(8) { try other.check(sql) }
        other.settle()
        for sql in questions { try other.check(sql) }
      }
    }
  }

  @Test("another definition makes other indexes; dropped columns leave none")
  func definitions() throws {
    try withTemporaryDirectory { directory in
      let topic = try IndexedTopic(directory)
      try topic.append(batches: 10)
      topic.settle()
      let changed = [
        IndexedTopic.column("user", "TEXT", "upper(value ->> '$.user')", indexed: true),
        DeclaredColumn(name: "key", definition: nil, isIndexed: true, isFullText: false),
      ]
      topic.declare(changed)
      for sql in [
        "SELECT count(*) FROM plays WHERE user = 'RARE'", "SELECT count(*) FROM plays WHERE user = 'rare'",
        "SELECT count(*) FROM plays WHERE key = 'k1'",
      ] {
        try topic.check(sql)
      }
      topic.settle()
      try topic.check("SELECT count(*) FROM plays WHERE user = 'RARE'")
      #expect(try topic.ask("SELECT 1 FROM plays WHERE user = 'NOBODY'").statistics.batchesDecoded == 0)
      topic.declare([])
      topic.settle()
      #expect(topic.indexFiles() == [])
      try topic.check("SELECT count(*) FROM plays WHERE key = 'k1'")
    }
  }

  @Test("files go with their segments, also while somebody asks")
  func retention() async throws {
    try await withTemporaryDirectory { directory in
      let topic = try IndexedTopic(directory)
      try topic.append(batches: 40)
      topic.settle()
      let session = try SQLSession(catalog: topic.catalog, limits: SQLLimits(), control: ScanControl())
      func ask(_ sql: String) throws -> String {
        let collected = Collected()
        _ = try session.run(sql, parameters: [:], into: OutputFormat.jsonl.makeWriter(sink: collected.sink))
        return collected.text
      }
      let sql = "SELECT partition, offset FROM plays WHERE user = 'rare' ORDER BY partition, offset"
      let before = try ask(sql)
      let files = topic.indexFiles().count
      for partition in 0..<3 {
        _ = await withCheckedContinuation { (done: CheckedContinuation<Bool, Never>) in
          topic.topic.store.deleteRecords(
            in: TopicPartition(topic: "plays", partition: Int32(partition)), before: Offset(300)
          ) { _ in done.resume(returning: true) }
        }
      }
      topic.settle()
      #expect(try ask(sql) == before, "a cut stays as it was")
      try topic.check(sql, logStart: [300, 300, 300])
      #expect(topic.indexFiles().count < files)
    }
  }

  @Test("MATCH says what is wrong with a question")
  func badQuestions() throws {
    try withTemporaryDirectory { directory in
      let topic = try IndexedTopic(directory)
      try topic.append(batches: 4)
      for indexed in [false, true] {
        if indexed { topic.settle() }
        for (sql, words) in [
          ("words MATCH '\"'", "unterminated string"), ("words MATCH 'AND'", "syntax error"),
          ("words MATCH 'b : ('", "syntax error"),
          ("words MATCH 'nocolumn : x'", "no such column"), ("key MATCH 'x'", "the column key of topic plays has none"),
          ("user MATCH 'x'", "the column user of topic plays has none"), ("plays MATCH 'x'", "no such column"),
          ("words MATCH 'words : ('", "syntax error"),
        ] {
          let error = #expect(throws: QueryError.self) { try topic.ask("SELECT count(*) FROM plays WHERE \(sql)") }
          #expect(error?.kind == .sql && error?.message.contains(words) == true, "\(sql): \(error?.message ?? "")")
        }
      }
      topic.declare([IndexedTopic.column("user", "TEXT", "value ->> '$.user'")])
      let error = #expect(throws: QueryError.self) { try topic.ask("SELECT user MATCH 'x' FROM plays") }
      #expect(error?.message.contains("topic plays has none") == true, "\(error?.message ?? "")")
    }
  }

  @Test("a data directory has its indexes without a node")
  func offline() throws {
    try withTemporaryDirectory { directory in
      let topic = try IndexedTopic(directory)
      try topic.append(batches: 20)
      topic.settle()
      let history = SnapshotHistory(try topic.topic.store.snapshot(of: nil))
      #expect(history.openIndexes(of: 0)?.stretches.isEmpty == false)
    }
  }

  static func read(_ path: String) throws -> [UInt8] {
    let file = try #require(fopen(path, "r"))
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = fread(&buffer, 1, buffer.count, file)
      if count == 0 { return bytes }
      bytes += buffer[..<count]
    }
  }

  static func write(_ bytes: [UInt8], _ path: String) throws {
    // A file of its own: what is open keeps what it has.
    unlink(path)
    let file = try #require(fopen(path, "w"))
    defer { fclose(file) }
    if !bytes.isEmpty { try #require(fwrite(bytes, 1, bytes.count, file) == bytes.count) }
  }
}

@Suite("Names and sizes of index files") struct IndexNameTests {
  @Test("a name is read as it is written, and is no segment's")
  func names() {
    for name in [
      IndexName(segmentBase: 0, generation: 0, from: 0, to: 1),
      IndexName(segmentBase: 4096, generation: 12, from: 5000, to: .max),
    ] {
      #expect(IndexName(fileName: name.fileName) == name)
    }
    for other in [
      "00000000000000000000.db", "x.index", "00000000000000000000.index",
      "00000000000000000000.00000000000000000002-00000000000000000002.index",
      "-0000000000000000001.00000000000000000000-00000000000000000002.index",
    ] {
      #expect(IndexName(fileName: other) == nil, "\(other)")
    }
  }

  @Test("the fewest files that cover the most are chosen")
  func chosen() {
    func names(_ ranges: [(Int64, Int64)]) -> [IndexName] {
      ranges.map { IndexName(segmentBase: 0, generation: 0, from: $0.0, to: $0.1) }
    }
    #expect(IndexName.chosen(names([(0, 10), (10, 20), (0, 30), (20, 30), (30, 40)])) == names([(0, 30), (30, 40)]))
    #expect(IndexName.chosen(names([(0, 10), (5, 15), (20, 30), (22, 25)])) == names([(0, 10), (5, 15), (20, 30)]))
    #expect(IndexName.chosen([]) == [])
  }

  @Test("files of active segments stay few, and each record is written a few times")
  func policy() {
    var files: [Int64] = []
    var written: Int64 = 0
    var most = 0
    for _ in 0..<10_000 {
      let first = IndexPolicy.firstTaken(by: 10, of: files)
      let size = 10 + files[first...].reduce(0, +)
      files = files[..<first] + [size]
      written += size
      most = max(most, files.count)
    }
    #expect(most <= 24 && written <= 100_000 * 9, "\(most) \(written)")
    let quiet = IndexPolicy.Tail(records: 5, bytes: 500, quiet: 2000, sinceLast: nil)
    #expect(IndexPolicy.isWorthIt(quiet, partitions: 1))
    #expect(!IndexPolicy.isWorthIt(.init(records: 5, bytes: 500, quiet: 2000, sinceLast: 3000), partitions: 1000))
    #expect(!IndexPolicy.isWorthIt(.init(records: 5, bytes: 500, quiet: 0, sinceLast: 5000), partitions: 1))
    #expect(IndexPolicy.isWorthIt(.init(records: 5000, bytes: 2 << 20, quiet: 0, sinceLast: 0), partitions: 1000))
    #expect(!IndexPolicy.isWorthIt(.init(records: 0, bytes: 0, quiet: 9999, sinceLast: nil), partitions: 1))
  }
}
