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
}
