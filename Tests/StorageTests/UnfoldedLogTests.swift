import Glibc
import Model
import SQLite
import TestSupport
import Testing

@testable import Storage

private let filler = String(repeating: "x", count: 300)

/// A -wal beside a segment that is sealed: one of a replica, or one that does not belong there.
@Suite("A -wal beside a sealed segment") struct UnfoldedLogTests {
  /// Frames of the very file, as somebody with the `sqlite3` shell would leave them: salts and checksums are right.
  private func putLog(beside path: String, _ directory: String) throws {
    let copy = "\(directory)/copy.db"
    try copyFile(path, copy)
    let connection = try Connection(path: copy, mode: .readWrite)
    try connection.execute("UPDATE partition_state SET log_start_offset = log_start_offset + 1; DELETE FROM record_batch")
    try copyFile(copy + "-wal", path + "-wal")
    connection.close()
  }

  /// What is found beside a running node, or where none runs.
  private func isFirstSegmentSealed(_ dataDirectory: String) throws -> Bool? {
    let node = try Connection(path: dataDirectory + "/quire.db", mode: .readWrite)
    try node.execute(
      "INSERT OR IGNORE INTO topic VALUES (x'00000000000000070000000000000009', 'plays', 0);"
        + "INSERT OR IGNORE INTO partition VALUES (x'00000000000000070000000000000009', 0, 0)")
    node.close()
    return try OfflineStore(dataDirectory: dataDirectory).snapshot(of: nil).partitions.first?.segments.first?.isSealed
  }

  @Test("of an ordinary partition is not its own: nobody reads it, and the file's bytes stay what they are")
  func ordinary() throws {
    try withStore { store in
      try store.create { $0.segmentBytes = 2_000 }
      for index in 0..<12 { try store.append(["\(index)", filler]) }
      #expect(try eventually { try Pair.sealed(store).count == store.segmentNames().count - 1 })
      let records = try store.readAll()
      try store.store.close()
      let first = "\(store.partitionDirectory())/\(try store.segmentNames()[0])"
      let bytes = storedBytes(first)
      try putLog(beside: first, store.directory)
      #expect(try isFirstSegmentSealed(store.dataDirectory) == true)
      #expect(storedBytes(first) == bytes && fileExists(first + "-wal"))
      try store.begin(attaching: [0])
      #expect(try store.readAll() == records)
      #expect(!fileExists(first + "-wal"))
      try store.append(["more", filler])
      try store.reopen()
      #expect(try store.readAll().count == records.count + 2)
      #expect(storedBytes(first) == bytes)
      try store.store.close()
      #expect(try findings(store.dataDirectory).damage == [])
    }
  }

  @Test("of an ordinary partition's damaged segment does not hide the damage, and changes nothing of what is left")
  func damaged() throws {
    try withStore { store in
      try store.create { $0.segmentBytes = 2_000 }
      for index in 0..<12 { try store.append(["\(index)", filler]) }
      #expect(try eventually { try Pair.sealed(store).count == store.segmentNames().count - 1 })
      try store.store.close()
      let first = "\(store.partitionDirectory())/\(try store.segmentNames()[0])"
      try putLog(beside: first, store.directory)
      let file = open(first, O_RDWR)
      pwrite(file, [0xFF, 0xFF], 2, 5_000)
      close(file)
      let bytes = storedBytes(first)
      try store.begin(attaching: [0])
      _ = try? store.readAll()
      try store.reopen()
      #expect(storedBytes(first) == bytes)
    }
  }

  @Test(
    "of a replica that did not come to folding it is folded after a start, into its leader's file", arguments: [false, true])
  func replica(promoted: Bool) throws {
    try withPair({ _ in }, { $0.segmentBytes = 2_000 }) { pair in
      try pair.leader.append(["0", filler])
      try pair.catchUp()
      let first = "\(pair.follower.partitionDirectory())/\(try pair.follower.segmentNames()[0])"
      // Somebody reads the segment, so that it cannot be folded.
      let reader = try Connection(path: first, mode: .readOnly)
      try reader.execute("BEGIN")
      _ = try reader.integer("SELECT count(*) FROM record_batch")
      for index in 1..<8 {
        try pair.leader.append(["\(index)", filler])
        try pair.catchUp()
      }
      #expect(try pair.leaderSeals())
      try pair.catchUp()
      #expect(fileExists(first + "-wal") && SegmentFiles.size(first + "-wal") > 0)
      let crashed = pair.follower.directory + "/crashed"
      try copyAtOneMoment(pair.follower.dataDirectory, to: crashed)
      reader.close()
      try pair.follower.store.close()
      pair.follower.options.dataDirectory = crashed
      let again = "\(pair.follower.partitionDirectory())/\(try pair.follower.segmentNames()[0])"
      #expect(SegmentFiles.size(again + "-wal") > 0)
      #expect(try isFirstSegmentSealed(crashed) == false)
      try pair.follower.begin(attaching: promoted ? [0] : [])
      if promoted {
        #expect(try pair.follower.log().loadNow().logEndOffset == Offset(16))
      } else {
        pair.replica = try Pair.open(pair.follower)
        pair.replica.raiseHighWatermark(to: Offset(16))
        #expect(try pair.settles())
        #expect(pair.replica.wantedFiles.isEmpty)
      }
      let leaders = "\(pair.leader.partitionDirectory())/\(try pair.leader.segmentNames()[0])"
      #expect(eventually { !fileExists(again + "-wal") })
      #expect(try pair.values() == pair.leader.readAll().map(\.value))
      #expect(storedBytes(again) == storedBytes(leaders))
    }
  }
}
