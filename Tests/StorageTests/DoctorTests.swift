import Bytes
import Glibc
import Model
import NIOCore
import Records
import SQLite
import TestSupport
import Testing

@testable import Storage

@Suite("Doctor") struct DoctorTests {
  @Test("a sound directory has no findings, everything in it is counted, and not a byte of it changes")
  func sound() throws {
    try DoctorDirectory.with { directory in
      let before = try directory.contents()
      let (findings, summary) = try directory.examine()
      #expect(findings == [])
      #expect(summary.isHealthy && summary.databases == 5 && summary.partitions == 1)
      #expect(summary.batches == 15 && summary.records == 45)
      #expect(try directory.contents() == before)
    }
  }

  @Test("any changed byte of any batch is found, and the batch is named", arguments: DoctorDirectory.codecs.indices)
  func everyByte(index: Int) throws {
    try DoctorDirectory.with { directory in
      try directory.fold(directory.active)
      let sound = try directory.read(directory.active)
      let base = DoctorDirectory.bases[2]
      let batch = Array(try DoctorDirectory.batch(index, from: base).readableBytesView)
      let start = try #require((0...sound.count - batch.count).first { sound[$0..<$0 + batch.count].elementsEqual(batch) })
      let first = base + Int64(index) * DoctorDirectory.recordsPerBatch
      for position in batch.indices {
        var damaged = sound
        damaged[start + position] ^= 0x10
        try directory.write(damaged, to: directory.active)
        let (findings, _) = try directory.examine()
        try #require(findings.contains { $0.batch == Offset(first) && $0.file == directory.active }, "byte \(position)")
        #expect(findings.count == 1)
        #expect(findings[0].offsets == Offset(first)...Offset(first + 2))
      }
    }
  }

  @Test("a missing batch is a gap, wherever it is", arguments: [(0, 15), (1, 18), (4, 27)])
  func missingRow(index: Int, first: Int64) throws {
    try DoctorDirectory.with { directory in
      try directory.change(directory.closing, "DELETE FROM record_batch WHERE base_offset = \(first)")
      let (findings, summary) = try directory.examine()
      #expect(!summary.isHealthy && summary.batches == 14)
      let gap = findings.first { $0.offsets == Offset(first)...Offset(first + 2) }
      #expect(gap?.file == directory.closing && gap?.remedy.contains("offset \(first + 3)") == true)
    }
  }

  /// A change of one row of the active segment, the batch named for it, and a word of what is said.
  static let changes: [(sql: String, batch: Int64?, words: String)] = [
    ("UPDATE record_batch SET base_offset = 34 WHERE base_offset = 33", 34, "base offset"),
    ("UPDATE record_batch SET base_offset = -1 WHERE base_offset = 30", -1, "overlaps"),
    ("UPDATE record_batch SET last_offset = 34 WHERE base_offset = 33", 33, "last offset"),
    ("UPDATE record_batch SET last_offset = 36 WHERE base_offset = 33", 36, "overlaps"),
    ("UPDATE record_batch SET record_count = 4 WHERE base_offset = 33", 33, "record count"),
    ("UPDATE record_batch SET byte_count = byte_count + 1 WHERE base_offset = 33", 33, "byte count"),
    ("UPDATE record_batch SET min_timestamp = min_timestamp - 1 WHERE base_offset = 33", 33, "least timestamp"),
    ("UPDATE record_batch SET max_timestamp = max_timestamp - 1 WHERE base_offset = 33", 33, "greatest timestamp"),
    ("UPDATE record_batch SET running_max_timestamp = 5 WHERE base_offset = 33", 33, "running maximum"),
    ("UPDATE record_batch SET leader_epoch = 6 WHERE base_offset = 33", 33, "leader epoch"),
    ("UPDATE record_batch SET data = substr(data, 1, 60) WHERE base_offset = 33", 33, "needs 61 bytes"),
    ("UPDATE record_batch SET data = x'' WHERE base_offset = 33", 33, "needs 61 bytes"),
    ("UPDATE record_batch SET data = CAST(data || x'00' AS BLOB) WHERE base_offset = 33", 33, "length"),
    ("UPDATE partition_state SET topic = 'plans'", nil, "plans-0"),
    ("UPDATE partition_state SET base_offset = 29", nil, "base offset is 29"),
    ("UPDATE partition_state SET topic_id = zeroblob(16)", nil, "topic id"),
    ("UPDATE partition_state SET batch_bytes = batch_bytes - 1", nil, "bytes"),
    ("UPDATE partition_state SET log_start_offset = 46", nil, "log starts at 46"),
    ("UPDATE partition_state SET log_start_offset = -1", nil, "log starts at -1"),
    ("UPDATE producer_state SET batches = x'00'", nil, "producer 5"),
    ("UPDATE producer_state SET batches = CAST(batches || batches AS BLOB)", nil, "producer 5"),
    ("UPDATE leader_epoch SET start_offset = 46", nil, "leader epoch 7"),
    ("INSERT INTO leader_epoch VALUES (8, -1)", nil, "leader epoch 8"),
    ("UPDATE segment SET end_offset = 14 WHERE base_offset = 0", nil, "ends at 14"),
    ("UPDATE segment SET max_timestamp = 0 WHERE base_offset = 15", nil, "but the active segment says"),
    ("DELETE FROM segment WHERE base_offset = 15", nil, "ends at 15"),
    ("DELETE FROM partition_state", nil, "no partition state"),
  ]

  @Test("what a row says and what is so are compared", arguments: changes)
  func rows(change: (sql: String, batch: Int64?, words: String)) throws {
    try DoctorDirectory.with { directory in
      try directory.change(directory.active, change.sql)
      let (findings, summary) = try directory.examine()
      #expect(!summary.isHealthy)
      let found = findings.filter { $0.batch == change.batch.map { Offset($0) } && $0.problem.contains(change.words) }
      #expect(!found.isEmpty, "\(findings)")
    }
  }

  @Test("records that are not what a right CRC vouches for are found")
  func wrongCount() throws {
    try DoctorDirectory.with { directory in
      var batch = try DoctorDirectory.batch(1, from: 30)
      batch.setInteger(4 as Int32, at: 57)
      let crc = batch.withUnsafeReadableBytes { CRC32C.checksum(UnsafeRawBufferPointer(rebasing: $0[21...])) }
      batch.setInteger(crc, at: 17)
      let hex = batch.readableBytesView.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
      try directory.change(
        directory.active, "UPDATE record_batch SET data = x'\(hex)', record_count = 4 WHERE base_offset = 33")
      let (findings, _) = try directory.examine()
      #expect(findings.map(\.batch) == [Offset(33)])
      #expect(findings[0].problem.contains("4 records but has 3"))
    }
  }

  @Test("a sealed segment is compared with its hash, also where no batch is touched")
  func seal() throws {
    try DoctorDirectory.with { directory in
      var bytes = try directory.read(directory.sealed)
      // Free space in the page of the last table, behind every page that is checked by SQLite or by a CRC.
      let free = try #require(bytes.indices.last { bytes[$0] == 0 && bytes[$0 - 1] == 0 && bytes[$0 - 64] == 0 })
      bytes[free] = 1
      try directory.write(bytes, to: directory.sealed)
      let (findings, _) = try directory.examine()
      #expect(findings.count == 1)
      #expect(findings.first?.problem.contains("hash") == true && findings.first?.file == directory.sealed)
      #expect(findings.first?.offsets == Offset(0)...Offset(14))
    }
  }

  @Test("a truncated segment is named, and what is left of it is examined")
  func truncated() throws {
    try DoctorDirectory.with { directory in
      try directory.fold(directory.active)
      let bytes = try directory.read(directory.active)
      try directory.write(Array(bytes[..<(bytes.count - 4096)]), to: directory.active)
      let (findings, summary) = try directory.examine()
      #expect(findings.contains { $0.file == directory.active && $0.problem.contains("truncated") }, "\(findings)")
      #expect(summary.batches == 15)
    }
  }

  @Test("a destroyed page costs the batches in it, each named, and no others")
  func destroyedPage() throws {
    try DoctorDirectory.with { directory in
      // Many batches, so that the table has leaves.
      do {
        let connection = try Connection(path: directory.active, mode: .readWrite)
        try connection.execute("BEGIN")
        for first in stride(from: 45 as Int64, to: 345, by: 3) {
          let batch = Array(try DoctorDirectory.batch(0, from: first).readableBytesView)
          let row = try connection.prepare("INSERT INTO record_batch VALUES (?1, ?1 + 2, ?3, ?2, ?3, 7, 3, ?4, ?5)")
          row.bind(first, at: 1)
          row.bind(DoctorDirectory.timestamp(first), at: 2)
          row.bind(DoctorDirectory.timestamp(first + 2), at: 3)
          row.bind(Int64(batch.count), at: 4)
          row.bind(batch, at: 5)
          try row.run()
        }
        try connection.execute(
          "UPDATE partition_state SET batch_bytes = (SELECT sum(byte_count) FROM record_batch); COMMIT")
      }
      try directory.fold(directory.active)
      #expect(try directory.examine().findings == [])
      var bytes = try directory.read(directory.active)
      let inside = Array("value 200".utf8)
      let place = try #require((0..<bytes.count - 9).first { bytes[$0..<$0 + 9].elementsEqual(inside) })
      for position in place / 4096 * 4096..<place / 4096 * 4096 + 4096 { bytes[position] = 0 }
      try directory.write(bytes, to: directory.active)
      let (findings, summary) = try directory.examine()
      let lost = try #require(findings.first { $0.offsets?.contains(Offset(200)) == true }?.offsets)
      #expect(lost.lowerBound > Offset(45) && lost.upperBound < Offset(344))
      #expect(summary.batches == 115 - Int(lost.upperBound - lost.lowerBound + 1) / 3)
    }
  }

  @Test("files that are no databases, of something else, or of a newer Quire are named, and the rest is examined")
  func foreignFiles() throws {
    let cases: [(file: (DoctorDirectory) -> String, damage: (DoctorDirectory, String) throws -> Void, words: String)] = [
      (
        \.active, { try $0.write(Array("this is not a database, but it is long enough to be one".utf8), to: $1) },
        "not a database"
      ),
      (\.active, { try $0.write([], to: $1) }, "empty"),
      (\.closing, { try $0.change($1, "PRAGMA application_id = 7") }, "0x7"),
      (\.closing, { try $0.change($1, "PRAGMA user_version = 99") }, "newer Quire"),
      (\.node, { try $0.change($1, "PRAGMA user_version = 99") }, "newer Quire"),
      (\.node, { try $0.write([], to: $1) }, "empty"),
      ({ "\($0.path)/coordinator/0.db" }, { try $0.change($1, "PRAGMA application_id = 0x51754E44") }, "not a coordinator"),
      (
        \.closing,
        {
          unlink($1); _ = $0
        }, "missing"
      ),
      (
        \.node,
        {
          unlink($1); _ = $0
        }, "no node database"
      ),
    ]
    for item in cases {
      try DoctorDirectory.with { directory in
        let file = item.file(directory)
        try directory.fold(file)
        try item.damage(directory, file)
        let (findings, summary) = try directory.examine()
        #expect(findings.contains { $0.file == file && $0.problem.contains(item.words) }, "\(item.words): \(findings)")
        #expect(summary.batches >= 10)
      }
    }
  }

  @Test("leftovers of a crash are mentioned and are no damage")
  func leftovers() throws {
    try DoctorDirectory.with { directory in
      try directory.write([1, 2, 3], to: directory.segment(45) + ".tmp")
      try directory.write(try directory.read(directory.sealed), to: directory.partition + "/00000000000000000007.db")
      mkdir("\(directory.path)/topics/~deleted-AAAA", 0o700)
      mkdir("\(directory.path)/topics/lost+found", 0o700)
      // Killed while a topic was created: quire.db does not name it yet, and its first segment has no name.
      mkdir("\(directory.path)/topics/songs-0", 0o700)
      try directory.write([1, 2, 3], to: "\(directory.path)/topics/songs-0/00000000000000000000.db.tmp")
      let (findings, summary) = try directory.examine()
      #expect(summary.isHealthy && summary.notices == 6 && findings.allSatisfy { $0.severity == .notice })
    }
  }

  @Test("acknowledged records that are gone are found by the high watermark, unless the topic left them to the system")
  func highWatermark() throws {
    try DoctorDirectory.with { directory in
      try directory.change(directory.node, "UPDATE partition_checkpoint SET high_watermark = 50")
      let (findings, _) = try directory.examine()
      #expect(findings.map(\.offsets) == [Offset(45)...Offset(49)])
      try directory.change(
        directory.node, "INSERT INTO configuration VALUES ('topic', 'plays', 'quire.durability', 'os')")
      #expect(try directory.examine().findings == [])
    }
  }

  @Test("a partition without a directory is damage; a directory without a partition is not")
  func directories() throws {
    try DoctorDirectory.with { directory in
      rename(directory.partition, "\(directory.path)/topics/plays-1")
      let (findings, summary) = try directory.examine()
      #expect(findings.contains { $0.file == directory.partition && $0.severity == .damage })
      #expect(findings.contains { $0.file.hasSuffix("plays-1") && $0.severity == .notice })
      #expect(findings.contains { $0.problem.contains("it is a segment of plays-0") })
      #expect(summary.batches == 15)
    }
    #expect(throws: StorageError.self) { try Doctor.examine(dataDirectory: "/nowhere/at/all") { _ in } }
  }

  @Test("numbers that cannot be end in a finding, not in a trap", arguments: [Int64.min, -1, .max])
  func extremes(value: Int64) throws {
    let columns = [
      "record_batch":
        "base_offset last_offset running_max_timestamp min_timestamp max_timestamp leader_epoch record_count byte_count",
      "partition_state": "partition base_offset generation log_start_offset leader_epoch batch_bytes min_timestamp",
      "segment": "base_offset end_offset generation batch_bytes min_timestamp max_timestamp file_bytes",
      "producer_state": "producer_id producer_epoch", "leader_epoch": "start_offset",
    ]
    for (table, names) in columns {
      for column in names.split(separator: " ") {
        try DoctorDirectory.with { directory in
          try directory.change(
            directory.active,
            "UPDATE \(table) SET \(column) = \(value) WHERE rowid = (SELECT max(rowid) FROM \(table) WHERE \(column) IS NOT NULL)"
          )
          let (findings, summary) = try directory.examine()
          // A state may say that its last commit was by another leader: nothing tells whether that is so.
          let isPlausible = table == "partition_state" && column == "leader_epoch"
          let isOldest =
            column == "producer_id" && value == .max || column == "producer_epoch" && value == -1
          let isSentinel = table == "leader_epoch" && value < 0
          let isSaid = !summary.isHealthy || isPlausible || isOldest || isSentinel
          #expect(isSaid, "\(table).\(column): \(findings)")
        }
      }
    }
  }

  @Test("random damage to any file ends in an examination", arguments: 0..<40 as Range<UInt64>)
  func randomDamage(seed: UInt64) throws {
    try DoctorDirectory.with { directory in
      var random = SeededRandom(seed: seed)
      let files = try directory.contents().keys.sorted()
      let file = files[Int.random(in: files.indices, using: &random)]
      var bytes = try directory.read(file)
      for _ in 0..<Int.random(in: 1...30, using: &random) where !bytes.isEmpty {
        // Half of it near the start of a page, where structure is.
        let page = Int.random(in: bytes.indices, using: &random) / 4096 * 4096
        let place = min(bytes.count - 1, page + Int.random(in: 0..<(Bool.random(using: &random) ? 120 : 4096), using: &random))
        bytes[place] = UInt8.random(in: .min ... .max, using: &random)
      }
      try directory.write(bytes, to: file)
      let (findings, summary) = try directory.examine()
      let damages = findings.filter { $0.severity == .damage }
      #expect(damages.count <= summary.damages)
    }
  }

  @Test("beside a writer: what it has not committed is not seen, and its WAL stays its own")
  func besideWriter() throws {
    try DoctorDirectory.with { directory in
      let writer = try Connection(path: directory.active, mode: .readWrite)
      try writer.execute("BEGIN IMMEDIATE; DELETE FROM record_batch")
      let (findings, _) = try directory.examine()
      #expect(findings == [])
      try writer.execute("ROLLBACK; BEGIN IMMEDIATE; DELETE FROM record_batch WHERE base_offset = 33; COMMIT")
      #expect(try directory.examine().findings.contains { $0.offsets == Offset(33)...Offset(35) })
      #expect(try writer.integer("SELECT count(*) FROM record_batch") == 4)
    }
  }
}
