import Glibc
import Model
import Records
import SQLite
import Storage
import TestSupport
import Testing

@Suite("Damage") struct DamageTests {
  /// Flips a byte of the batch that holds `needle`.
  private func damage(_ path: String, at needle: String) throws {
    let descriptor = open(path, O_RDWR)
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: Int(lseek(descriptor, 0, SEEK_END)))
    pread(descriptor, &bytes, bytes.count, 0)
    let wanted = Array(needle.utf8)
    let place = try #require((0..<bytes.count - wanted.count).first { Array(bytes[$0..<$0 + wanted.count]) == wanted })
    var flipped = bytes[place] ^ 0x40
    pwrite(descriptor, &flipped, 1, place)
  }

  @Test("of one batch costs that batch: its range answers an error, everything else is served, and the doctor names it")
  func oneBatch() throws {
    try withStore { store in
      try store.create { $0.segmentBytes = 1000 }
      for index in 0..<20 { try store.append(["needle-\(index)-", String(repeating: "x", count: 100)]) }
      #expect(try store.segmentNames().count > 2)
      try store.store.close()
      let path = "\(store.partitionDirectory())/00000000000000000000.db"
      try damage(path, at: "needle-1-")
      try store.begin(attaching: [0])
      #expect(try store.log().read(from: Offset(0), maxBytes: 1 << 20).nextOffset == Offset(2))
      let error = #expect(throws: StorageError.self) { try store.log().read(from: Offset(3), maxBytes: 1 << 20) }
      #expect(error?.errorCode == .kafkaStorageError)
      guard case .damaged(let found) = error else {
        Issue.record("\(String(describing: error))")
        return
      }
      #expect(found.file == path && found.offset == Offset(3))
      #expect(try store.readAll(from: 4).map(\.offset) == Array(4..<40))
      #expect(try store.append(["more"]).baseOffset == 40)
      let report = try findings(store.dataDirectory)
      #expect(report.damage.contains { $0.file == path && $0.batch == Offset(2) })
      #expect(report.damage.allSatisfy { $0.file == path })
    }
  }

  @Test("of a page costs no offset in front of it, also where a fetch begins in the middle of the last batch there")
  func inFrontOfPage() throws {
    try withStore { store in
      try store.create()
      for index in 0..<400 { try store.append(["needle-\(index)-", "x", String(repeating: "y", count: 100)]) }
      try store.store.close()
      let firstBatch = try damagePage("\(store.partitionDirectory())/00000000000000000000.db", holding: "needle-200-")
      #expect((1...200).contains(firstBatch))
      try store.begin(attaching: [0])
      let end = Int64(firstBatch) * 3
      for offset in [end - 1, end - 2, end - 3, end - 100, 0] {
        let records = try store.log().read(from: Offset(offset), maxBytes: 1 << 20)
        let decoded = try store.decode(records)
        #expect(decoded.first?.offset == offset / 3 * 3 && decoded.last?.offset == end - 1, "from \(offset)")
        #expect(records.nextOffset == Offset(end))
      }
      for offset in [end, end + 1] {
        #expect(throws: StorageError.self) { try store.log().read(from: Offset(offset), maxBytes: 1 << 20) }
      }
    }
  }

  /// Makes the page that holds `needle-N-` one that SQLite refuses.
  ///
  /// - Returns: the least N on that page.
  private func damagePage(_ path: String, holding needle: String) throws -> Int {
    let descriptor = open(path, O_RDWR)
    defer { close(descriptor) }
    var header = [UInt8](repeating: 0, count: 18)
    pread(descriptor, &header, header.count, 0)
    let pageSize = Int(header[16]) << 8 | Int(header[17])
    var page = [UInt8](repeating: 0, count: pageSize)
    var position = 0
    while pread(descriptor, &page, pageSize, position) == pageSize {
      let text = String(decoding: page, as: UTF8.self)
      if text.contains(needle) {
        page[0] = 0xFF
        pwrite(descriptor, page, pageSize, position)
        return try #require(text.matches(of: /needle-(\d+)-/).compactMap { Int($0.1) }.min())
      }
      position += pageSize
    }
    throw StorageError.closed
  }

  @Test("that is a missing row breaks the continuity of offsets")
  func missingRow() throws {
    try withStore { store in
      try store.create()
      for index in 0..<5 { try store.append(["\(index)"]) }
      try store.store.close()
      let path = "\(store.partitionDirectory())/00000000000000000000.db"
      let connection = try Connection(path: path, mode: .readWrite)
      try connection.execute("DELETE FROM record_batch WHERE base_offset = 2")
      connection.setCheckpointOnClose(true)
      connection.close()
      try store.begin(attaching: [0])
      #expect(throws: StorageError.self) { try store.log().read(from: Offset(2), maxBytes: 100) }
      #expect(try store.log().read(from: Offset(0), maxBytes: 1 << 20).nextOffset == Offset(2))
      #expect(try store.log().read(from: Offset(3), maxBytes: 1 << 20).nextOffset == Offset(5))
      let report = try findings(store.dataDirectory)
      #expect(report.damage.contains { $0.offsets?.contains(Offset(2)) ?? false })
    }
  }

  @Test("below what a fenced log had durable keeps it fenced, and costs its own range only: the rest is read on")
  func fencedAndDamaged() throws {
    try withStore { store in
      try store.create()
      for index in 0..<6 { try store.append(["needle-\(index)-"]) }
      try store.store.close()
      let path = "\(store.partitionDirectory())/00000000000000000000.db"
      try damage(path, at: "needle-2-")
      let mark = open(store.partitionDirectory() + "/fenced", O_CREAT | O_WRONLY, 0o600)
      let line = Array("00000000000000000000.db 5\n".utf8)
      write(mark, line, line.count)
      close(mark)
      try store.begin(attaching: [0], epoch: 1)
      let first = try store.append(["refused"])
      #expect(first.error == .kafkaStorageError)
      #expect(try store.log().read(from: Offset(0), maxBytes: 1 << 20).nextOffset == Offset(2))
      #expect(throws: StorageError.self) { try store.log().read(from: Offset(2), maxBytes: 1 << 20) }
      #expect(try store.readAll(from: 3).map(\.value) == ["needle-3-", "needle-4-"])
      #expect(store.log().offsets?.highWatermark == Offset(5) && store.log().failure != nil)
      var notices: [Doctor.Finding] = []
      _ = try Doctor.examine(dataDirectory: store.dataDirectory) { if $0.severity == .notice { notices.append($0) } }
      #expect(notices.contains { $0.file == path && $0.problem.contains("fenced") })
      // The next life meets the same.
      try store.reopen(epoch: 2)
      #expect(!store.store.closedCleanly)
      #expect(try store.readAll(from: 3).count == 2)
    }
  }

  /// A segment that was sealed, and then changed by somebody else.
  private func withChangedSegment(_ change: String, _ body: (TestStore, _ path: String) throws -> Void) throws {
    try withStore { store in
      try store.create { $0.segmentBytes = 400 }
      let now = store.clock.now
      for index in 0..<20 { try store.append(["\(index)"], timestamps: [now + Int64(index)]) }
      let path = "\(store.partitionDirectory())/00000000000000000000.db"
      let sealed = "SELECT count(*) FROM segment WHERE base_offset = 0 AND file_hash IS NOT NULL"
      #expect(
        try eventually {
          let active = try Connection(path: store.partitionDirectory() + "/" + store.segmentNames().last!, mode: .readOnly)
          return try active.integer(sealed) == 1
        })
      try store.store.close()
      let connection = try Connection(path: path, mode: .readWrite)
      try connection.execute(change)
      connection.setCheckpointOnClose(true)
      connection.close()
      try store.begin(attaching: [0])
      try body(store, path)
    }
  }

  private func offsets(
    in store: TestStore, timestamps: ClosedRange<Int64> = .min ... .max, isDescending: Bool = false
  ) throws -> [Int64] {
    let snapshot = try store.store.snapshot(of: ["plays"])
    let reader = try SegmentReader(snapshot.partitions[0].segments[0], of: snapshot)
    try reader.seek(offsets: 0...Int64.max, timestamps: timestamps, isDescending: isDescending)
    var found: [Int64] = []
    while let row = try reader.next() {
      _ = try reader.bytes()
      found.append(row.baseOffset)
    }
    return found
  }

  @Test("of what a row says about a sealed batch misleads no question about time: the batches themselves are looked at")
  func timesOfRows() throws {
    try withChangedSegment("UPDATE record_batch SET min_timestamp = 0, max_timestamp = 0 WHERE base_offset = 1") { store, _ in
      let now = store.clock.now
      let rows = try offsets(in: store, timestamps: now + 1...now + 1)
      let found = try store.log().offset(forTimestamp: now + 1)
      #expect(rows.contains(1) && found?.offset == Offset(1))
    }
  }

  @Test("that takes batches from an end of a sealed segment is an error that names file and offset, from either side")
  func missingEnd() throws {
    let last = "DELETE FROM record_batch WHERE base_offset = (SELECT max(base_offset) FROM record_batch)"
    for (change, isFirst) in [(last, false), ("DELETE FROM record_batch WHERE base_offset = 0", true)] {
      try withChangedSegment(change) { store, path in
        for isDescending in [false, true] {
          let error = #expect(throws: StorageError.self) { try offsets(in: store, isDescending: isDescending) }
          guard case .damaged(let found) = error else {
            Issue.record("\(String(describing: error))")
            continue
          }
          #expect(found.file == path && (found.offset == Offset(0)) == isFirst)
        }
      }
    }
  }

  @Test("of the number of records that a row tells is found")
  func recordCount() throws {
    try withChangedSegment("UPDATE record_batch SET record_count = 7 WHERE base_offset = 1") { store, _ in
      #expect(throws: StorageError.self) { try offsets(in: store) }
    }
  }
}
