import Bytes
import Glibc
import Model
import NIOCore
import Records
import SQLite
import TestSupport
import Testing

@testable import Storage

/// A small data directory, made row by row: topic `plays`, partition 0, three segments of five batches of three records, one batch
/// for each codec. The first segment is sealed; the second has a row of the active one but a WAL yet; the third is active.
struct DoctorDirectory {
  static let recordsPerBatch: Int64 = 3
  static let codecs: [Compression] = [.none, .gzip, .snappy, .lz4, .zstd]
  static let segmentLength = recordsPerBatch * Int64(codecs.count)
  static let bases: [Int64] = [0, segmentLength, 2 * segmentLength]
  static let topicID = TopicID(high: 0x0102_0304_0506_4708, low: 0x8102_0304_0506_0708)
  static let end = 3 * segmentLength

  let path: String
  var partition: String { "\(path)/topics/plays-0" }
  var node: String { "\(path)/quire.db" }
  func segment(_ base: Int64) -> String { "\(partition)/" + SegmentName(baseOffset: base, generation: 0).fileName }
  var sealed: String { segment(Self.bases[0]) }
  var closing: String { segment(Self.bases[1]) }
  var active: String { segment(Self.bases[2]) }

  init(_ path: String) throws {
    self.path = path
    for directory in ["coordinator", "topics", "topics/plays-0"] { mkdir("\(path)/\(directory)", 0o700) }
    try makeNode()
    try make(.coordinator, at: "\(path)/coordinator/0.db") { _ in }
    var rows: [String] = []
    for base in Self.bases {
      try makeSegment(base, older: rows)
      if base == Self.bases[0] { try fold(segment(base)) }
      rows.append(try record(of: base))
    }
  }

  /// Runs `body` on such a directory.
  static func with<R>(_ body: (DoctorDirectory) throws -> R) throws -> R {
    try withTemporaryDirectory { (path: String) in try body(try DoctorDirectory(path)) }
  }

  // Making

  private func make(_ family: DatabaseFamily, at path: String, _ fill: (Connection) throws -> Void) throws {
    let connection = try Connection(path: path, mode: .create)
    try connection.execute("PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF")
    try Migrator.apply(family, to: connection)
    try fill(connection)
  }

  private func makeNode() throws {
    try make(.node, at: node) { connection in
      let id = "x'" + hex(Self.topicID.bytes) + "'"
      try connection.execute(
        """
        INSERT INTO identity VALUES (1, 'cluster', 1, 0);
        INSERT INTO topic(topic_id, name) VALUES (\(id), 'plays');
        INSERT INTO partition(topic_id, partition, leader_epoch) VALUES (\(id), 0, 7);
        INSERT INTO partition_checkpoint VALUES (\(id), 0, 0, \(Self.end), \(Self.end));
        """)
    }
  }

  private func makeSegment(_ base: Int64, older: [String]) throws {
    try make(.segment, at: segment(base)) { connection in
      let batches = try Self.codecs.indices.map { try Self.batch($0, from: base) }
      try connection.execute(
        """
        BEGIN;
        INSERT INTO partition_state VALUES (1, x'\(hex(Self.topicID.bytes))', 'plays', 0, \(base), 0, 1, 0, 7, 9,
          \(batches.reduce(0) { $0 + $1.readableBytes }), \(Self.timestamp(base)), 1);
        INSERT INTO leader_epoch VALUES (7, 0);
        INSERT INTO producer_state VALUES (5, 0, 1, x'0000000000000002\(hex(withUnsafeBytes(of: base.bigEndian) { [UInt8]($0) }))0000000000000001');
        """)
      for row in older { try connection.execute("INSERT INTO segment VALUES \(row)") }
      for (index, batch) in batches.enumerated() { try Self.insert(batch, from: base, index, into: connection) }
      try connection.execute("COMMIT")
    }
  }

  private static func insert(_ batch: ByteBuffer, from base: Int64, _ index: Int, into connection: Connection) throws {
    let first = base + Int64(index) * recordsPerBatch
    let row = try connection.prepare("INSERT INTO record_batch VALUES (?,?,?,?,?,7,?,?,?)")
    row.bind(first, at: 1)
    row.bind(first + recordsPerBatch - 1, at: 2)
    row.bind(timestamp(first + recordsPerBatch - 1), at: 3)
    row.bind(timestamp(first), at: 4)
    row.bind(timestamp(first + recordsPerBatch - 1), at: 5)
    row.bind(recordsPerBatch, at: 6)
    row.bind(Int64(batch.readableBytes), at: 7)
    row.bind(Array(batch.readableBytesView), at: 8)
    try row.run()
  }

  static func timestamp(_ offset: Int64) -> Int64 { 1_700_000_000_000 + 10 * offset }

  static func batch(_ index: Int, from base: Int64) throws -> ByteBuffer {
    let first = base + Int64(index) * recordsPerBatch
    var builder = BatchBuilder(compression: codecs[index], baseOffset: Offset(first))
    builder.leaderEpoch = LeaderEpoch(7)
    for offset in first..<first + recordsPerBatch {
      builder.append(
        key: offset % 2 == 0 ? ByteBuffer(string: "k") : nil, value: ByteBuffer(string: "value \(offset)"),
        headers: [RecordHeader(key: "h", value: nil)], timestamp: timestamp(offset))
    }
    return try builder.build()
  }

  /// The row of the active segment's `segment` table for a segment: with its hash, if it is folded.
  private func record(of base: Int64) throws -> String {
    let bytes = try Self.codecs.indices.reduce(0) { $0 + (try Self.batch($1, from: base)).readableBytes }
    let end = base + Self.segmentLength
    var seal = "NULL, NULL"
    if !fileExists(segment(base) + "-wal") {
      let hash = try FileHash.compute(segment(base))
      seal = "\(hash.fileBytes), x'\(hex(withUnsafeBytes(of: hash.hash.bigEndian) { [UInt8]($0) }))'"
    }
    return "(\(base), \(end), 0, \(bytes), \(Self.timestamp(base)), \(Self.timestamp(end - 1)), \(seal))"
  }

  private func hex(_ bytes: [UInt8]) -> String { bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }

  // Changing

  /// Folds a WAL into its database, which then stands alone.
  func fold(_ path: String) throws {
    let connection = try Connection(path: path, mode: .readWrite)
    _ = try connection.integer("SELECT count(*) FROM sqlite_schema")
    connection.setCheckpointOnClose(true)
  }

  /// Runs SQL on a database, and folds its WAL.
  func change(_ path: String, _ sql: String) throws {
    do {
      let connection = try Connection(path: path, mode: .readWrite)
      try connection.execute(sql)
    }
    try fold(path)
  }

  func read(_ path: String) throws -> [UInt8] {
    let file = try #require(fopen(path, "r"))
    defer { fclose(file) }
    fseek(file, 0, SEEK_END)
    var bytes = [UInt8](repeating: 0, count: ftell(file))
    rewind(file)
    let count = fread(&bytes, 1, bytes.count, file)
    return Array(bytes[..<count])
  }

  func write(_ bytes: [UInt8], to path: String) throws {
    let file = try #require(fopen(path, "w"))
    defer { fclose(file) }
    try #require(fwrite(bytes, 1, bytes.count, file) == bytes.count)
  }

  /// Every file under the directory with its bytes; without the -shm, which is memory.
  func contents(of directory: String? = nil) throws -> [String: [UInt8]] {
    let directory = directory ?? path
    var found: [String: [UInt8]] = [:]
    for name in try directoryEntries(directory) where !name.hasSuffix("-shm") {
      let path = "\(directory)/\(name)"
      if (try? directoryEntries(path)) != nil {
        found.merge(try contents(of: path)) { first, _ in first }
      } else {
        found[path] = try read(path)
      }
    }
    return found
  }

  // Examining

  func examine() throws -> (findings: [Doctor.Finding], summary: Doctor.Summary) {
    var findings: [Doctor.Finding] = []
    let summary = try Doctor.examine(dataDirectory: path) { findings.append($0) }
    return (findings, summary)
  }
}
