import Glibc
import HistorySupport
import Logging
import Model
import Records
import SQLite
import Storage
import TestSupport
import Testing

@testable import Indexes
@testable import Query

/// A topic of three partitions in a real store, with columns and indexes, and the same records in memory without any.
final class IndexedTopic {
  static let columns = [
    column("user", "TEXT", "value ->> '$.user'", indexed: true), column("n", "INTEGER", "value ->> '$.n'", indexed: true),
    column("r", "REAL", "value ->> '$.n'", indexed: true),
    column(
      "num", "NUMERIC", "CASE offset % 5 WHEN 0 THEN '3.0' WHEN 1 THEN 2.5 WHEN 2 THEN offset WHEN 3 THEN 'x' || offset END",
      indexed: true),
    column(
      "digits", "TEXT", "CASE offset % 4 WHEN 0 THEN '0' || offset WHEN 1 THEN offset WHEN 2 THEN offset || 'x' ELSE key END",
      indexed: true),
    column("raw", "BLOB", "CASE offset % 3 WHEN 0 THEN offset WHEN 1 THEN key ELSE '7' END", indexed: true),
    column("words", "TEXT", "value ->> '$.text'", fullText: true),
    DeclaredColumn(name: "key", definition: nil, isIndexed: true, isFullText: false),
    DeclaredColumn(name: "value", definition: nil, isIndexed: false, isFullText: true),
  ]

  static func column(_ name: String, _ type: String, _ expression: String, indexed: Bool = false, fullText: Bool = false)
    -> DeclaredColumn
  {
    DeclaredColumn(
      name: name, definition: .init(type: .init(named: type)!, expression: expression), isIndexed: indexed, isFullText: fullText
    )
  }

  let topic: StoredTopic
  let directory: String
  var files = IndexFiles(confirmsOnce: true)
  private(set) var builder: IndexBuilder
  private var clock: Int64 = 0
  private var random = SeededRandom(seed: 7)
  private var sent: [Int] = [0, 0, 0]

  init(_ directory: String, segmentBytes: Int64 = 8 << 10, columns: [DeclaredColumn] = columns) throws {
    self.directory = directory + "/data"
    topic = try StoredTopic(directory, segmentBytes: segmentBytes)
    builder = IndexBuilder(topic.store, files: files, feed: ColumnFeed(), logger: Self.logger)
    declare(columns)
  }

  private static var logger: Logger {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    return logger
  }

  private(set) var declared: [DeclaredColumn] = []
  func declare(_ columns: [DeclaredColumn]) {
    declared = columns
    var configuration = topic.store.configuration(of: "plays")!
    configuration.columns = DeclaredColumn.text(columns)
    topic.store.setConfiguration(configuration, for: "plays")
  }

  /// Appends batches of ten records to each partition.
  func append(batches: Int) throws {
    let nouns = ["fox", "dog", "owl", "quick", "brown"]
    for _ in 0..<batches {
      for partition in 0..<3 {
        let records = (0..<10).map { _ -> TestRecord in
          sent[partition] += 1
          let number = sent[partition]
          let user = number % 97 == 0 ? "rare" : "u\(Int.random(in: 0..<20, using: &random))"
          let text = "\(random.pick(nouns)) \(random.pick(nouns)) \(number % 89 == 0 ? "needle" : "hay")"
          let value =
            number % 13 == 0
            ? "not json \(number)"
            : "{\"user\":\"\(user)\",\"n\":\(Int.random(in: 0..<500, using: &random)),\"text\":\"\(text)\"}"
          return TestRecord(
            1_700_000_000_000 + Int64(number * 100 + Int.random(in: 0..<300, using: &random)), value,
            key: random.pick(["k1", "k2", "k\(number)", "7", nil]))
        }
        try topic.append(records, to: partition, compression: partition == 1 ? .lz4 : .none)
      }
    }
  }

  /// Builds whatever there is to build.
  func settle() {
    repeat { clock += 100_000 } while builder.advance(now: clock)
    clock += 100_000
    _ = builder.advance(now: clock)
  }

  /// As after a new start of the node.
  func restartBuilder() {
    files = IndexFiles(confirmsOnce: true)
    builder = IndexBuilder(topic.store, files: files, feed: ColumnFeed(), logger: Self.logger)
  }

  func indexFiles() -> [String] {
    (0..<3).flatMap { partition in
      DirectoryNames.list("\(directory)/topics/plays-\(partition)").filter { $0.contains(".index") }.sorted()
        .map { "\(directory)/topics/plays-\(partition)/\($0)" }
    }
  }

  var catalog: StoreCatalog { StoreCatalog(topic.store, indexes: files) }

  func ask(_ sql: String, _ parameters: [String: SQLParameter] = [:]) throws -> Answer {
    try catalog.ask(sql, parameters: parameters)
  }

  /// The answer of the same records in memory, where there are no indexes.
  func expected(_ sql: String, _ parameters: [String: SQLParameter] = [:], logStart: [Int64] = [0, 0, 0]) throws -> [String] {
    try MemoryCatalog(try topic.views(logStart: logStart).mirror, columns: ["plays": declared]).ask(sql, parameters: parameters)
      .lines
  }

  func check(_ sql: String, _ parameters: [String: SQLParameter] = [:], logStart: [Int64] = [0, 0, 0]) throws {
    let found = try ask(sql, parameters).lines
    let wanted = try expected(sql, parameters, logStart: logStart)
    #expect(found.count == wanted.count && found == wanted, "\(sql) \(parameters)")
  }
}
