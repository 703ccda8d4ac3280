import Glibc
import Model
import Pages
import SQLite
import TestSupport
import Testing

@testable import Storage

@Suite("A follower and its leader's feed") struct FollowingTests {
  @Test("end with the same files, whatever is lost, restarted, rolled or removed on the way", arguments: [1, 2, 3])
  func converge(seed: UInt64) throws {
    try withTemporaryDirectory { directory in
      for name in ["leader", "follower"] { mkdir("\(directory)/\(name)", 0o700) }
      let leader = try TestStore("\(directory)/leader") { $0.checkpointBytes = 100_000 }
      let follower = try TestStore("\(directory)/follower") { $0.checkpointBytes = 60_000 }
      try leader.create { $0.segmentBytes = 40_000 }
      let link = try Link(leader, follower)
      var random = SeededRandom(seed: seed)
      for index in 0..<120 {
        for _ in 0...Int(random.next() % 3) {
          try leader.append(["\(index)", String(repeating: "v", count: Int(random.next() % 4_000))])
        }
        switch random.next() % 24 {
        case 0: try link.restartFollower()
        case 1: try link.reconnect()
        case 2:
          let limit = try #require(leader.log().offsets).highWatermark
          let handover = Handover<Result<Offset, StorageError>>()
          leader.store.deleteRecords(in: TestStore.name(), before: Offset(limit.rawValue / 4)) { handover.give($0) }
          _ = try handover.take().get()
        case 3...6: break
        case 7: try link.pump(loses: { random.next() % 2 == 0 })
        case 8: try link.copyFiles()
        default: try link.pump(maxBytes: 1 << (10 + Int(random.next() % 10)))
        }
        if let seen = follower.log().offsets {
          #expect(seen.highWatermark <= leader.log().offsets!.highWatermark)
        }
      }
      #expect(try eventually { try link.isSame() })
      #expect(try follower.readAll() == leader.readAll())
      #expect(try leader.segmentNames().count > 2)
      #expect(link.resyncs > 1)
      let logs = try [leader, follower].map { try $0.log().offset(forTimestamp: 0)?.offset }
      #expect(logs[0] == logs[1])
      // The same pages in what is active too.
      let standing = try #require(link.replica.standing)
      #expect(try leader.log().epoch(of: .zero) == follower.log().epoch(of: .zero))
      try leader.store.close()
      try follower.store.close()
      let newest = try leader.segmentNames().last!
      let pages = storedBytes("\(leader.partitionDirectory())/\(newest)")
      var sums = PageSums(pageSize: PageSize(bytes: 8192)!)
      pages.withUnsafeBytes { pages in
        for start in stride(from: 0, to: pages.count, by: 8192) {
          sums.append(UnsafeRawBufferPointer(rebasing: pages[start..<start + 8192]))
        }
      }
      #expect(sums.total == standing.sum && sums.pageCount == standing.pageCount)
      #expect(try findings(follower.dataDirectory).damage == [])
    }
  }
}
