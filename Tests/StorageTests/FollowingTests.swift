import Glibc
import Model
import Pages
import SQLite
import TestSupport
import Testing

@testable import Storage

/// A leader's feed and a follower, as a connection would join them.
private final class Link {
  let leader: TestStore
  let follower: TestStore
  private(set) var replica: FollowerPartition
  private var feed: ReplicaFeed
  private(set) var resyncs = 0

  init(_ leader: TestStore, _ follower: TestStore) throws {
    (self.leader, self.follower) = (leader, follower)
    replica = try Pair.open(follower)
    feed = try Self.feed(of: leader, from: nil)
  }

  deinit { feed.close() }

  private static func feed(of leader: TestStore, from standing: ReplicaStanding?) throws -> ReplicaFeed {
    try leader.store.openFeed(
      of: TestStore.name(), topicID: TestStore.topicID, follower: NodeID(2), from: standing, notify: {})
  }

  /// A connection that broke, or a follower that was started anew.
  func reconnect() throws {
    feed.close()
    feed = try Self.feed(of: leader, from: replica.standing)
  }

  func restartFollower() throws {
    try follower.reopen(attaching: [])
    replica = try Pair.open(follower)
    try reconnect()
  }

  /// Takes what there is at the moment.
  ///
  /// - Parameter loses: whether the next set is lost on its way.
  func pump(maxBytes: Int = 1 << 20, loses: () -> Bool = { false }) throws {
    while let change = try feed.next(maxBytes: maxBytes) {
      switch change {
      case .pages(let set):
        if loses() { continue }
        if set.header.flags.contains(.resync) { resyncs += 1 }
        do throws(ReplicaError) { try replica.apply(set) } catch {
          guard case .diverged = error else { throw error }
          try reconnect()
        }
      case .wantsPageHashes(let base): feed.pageHashes(segmentBase: base, try replica.pageHashes(segmentBase: base))
      case .highWatermark(let offset):
        _ = try replica.sync()
        replica.raiseHighWatermark(to: offset)
      }
    }
    if let position = try replica.sync() { feed.acknowledged(position) }
  }

  func copyFiles() throws {
    for wanted in replica.wantedFiles {
      var have = wanted.have
      do throws(StorageError) {
        while true {
          let piece = try feed.readFile(base: wanted.base, generation: wanted.generation, offset: have, maxBytes: 20_000)
          try replica.writeFile(
            base: wanted.base, generation: wanted.generation, offset: have, total: piece.total, piece.bytes)
          have += Int64(piece.bytes.count)
          if piece.bytes.isEmpty || have >= piece.total { break }
        }
      } catch {
        // Retention was faster.
        guard case .refused = error else { throw error }
      }
    }
  }

  /// Both have the same segments, the sealed ones byte for byte, and the follower shows all that the leader has.
  func isSame() throws -> Bool {
    try pump()
    try copyFiles()
    let names = try leader.segmentNames()
    let (ours, theirs) = (leader.partitionDirectory(), follower.partitionDirectory())
    guard try follower.segmentNames() == names, replica.wantedFiles.isEmpty,
      follower.log().offsets == leader.log().offsets
    else { return false }
    return names.dropLast().allSatisfy { name in
      !fileExists("\(ours)/\(name)-wal") && !fileExists("\(theirs)/\(name)-wal")
        && storedBytes("\(ours)/\(name)") == storedBytes("\(theirs)/\(name)")
    }
  }
}

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
