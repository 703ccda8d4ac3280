import Glibc
import Model
import Pages
import SQLite
import Storage
import TestSupport
import Testing

/// Followers that cannot go on commit by commit.
@Suite("Feeds: followers that fell behind") struct FeedResyncTests {
  private let filler = String(repeating: "x", count: 3_000)

  private func append(_ count: Int, to store: TestStore) throws {
    for index in 0..<count { try store.append(["\(index)", filler]) }
  }

  @Test("one that was away for longer than sets are kept gets the pages that differ, and no others")
  func pageHashes() throws {
    try withStore { store in
      try store.create()
      try append(200, to: store)
      let follower = PageFollower()
      var feed = try follower.follow(store)
      #expect(try follower.isSame(as: store, feed))
      feed.close()
      try append(10, to: store)
      // Nobody follows meanwhile: what was captured is let go of.
      let standing = try #require(follower.standing)
      feed = try follower.follow(store, from: standing)
      #expect(try follower.isSame(as: store, feed))
      let all = try #require(follower.standing).pageCount
      if follower.hashRequests != [] {
        let repair = try #require(follower.resyncs.last)
        #expect(!repair.isFullState && repair.before == standing.position && repair.pageCountBefore < all)
      }
      feed.close()
    }
  }

  @Test("a follower that stands elsewhere is asked for its page hashes: behind, ahead, of another epoch, or with other pages")
  func standings() throws {
    try withStore { store in
      try store.create()
      try append(50, to: store)
      let follower = PageFollower()
      var feed = try follower.follow(store)
      #expect(try follower.isSame(as: store, feed))
      feed.close()
      try store.reopen()
      for change in ["behind", "ahead", "epoch", "page", "longer", "nothing"] {
        let good = try #require(follower.images[0])
        let damaged = 3 * good.sums.pageSize.bytes
        var image = good
        switch change {
        case "behind": image.position.commitSequence -= 7
        case "ahead": image.position.commitSequence += 7
        case "epoch": image.position.leaderEpoch = LeaderEpoch(5)
        default: break
        }
        if change != "nothing" { image.bytes[damaged] ^= 0xFF } else { image.bytes = [] }
        if change == "longer" { image.bytes += [UInt8](repeating: 7, count: good.sums.pageSize.bytes) }
        image.sums = PageSums(pageSize: good.sums.pageSize)
        for start in stride(from: 0, to: image.bytes.count, by: good.sums.pageSize.bytes) {
          image.bytes[start..<start + good.sums.pageSize.bytes].withUnsafeBytes { image.sums.append($0) }
        }
        follower.images[0] = image
        let asked = follower.hashRequests.count
        feed = try follower.follow(store, from: image.standing)
        #expect(try follower.isSame(as: store, feed), "\(change)")
        #expect(follower.hashRequests.count == asked + 1, "\(change)")
        let repair = try #require(follower.resyncs.last)
        #expect(repair.after == good.position && repair.isFullState == (change == "nothing"), "\(change)")
        try store.append(["next"])
        #expect(try follower.isSame(as: store, feed), "\(change)")
        #expect(follower.sets.last?.flags.contains(.resync) == false)
        feed.close()
        try store.reopen()
      }
    }
  }

  @Test("a follower that takes nothing keeps the leader neither from appending nor from folding its WAL; later it is repaired")
  func slowFollower() throws {
    try withStore({
      $0.checkpointBytes = 64 << 10
      $0.walBytesMax = 1 << 20
      $0.replicaWaitingBytesMax = 1
    }) { store in
      try store.create()
      try append(3, to: store)
      let follower = PageFollower()
      let feed = try follower.follow(store)
      #expect(try follower.isSame(as: store, feed))
      let wal = store.partitionDirectory() + "/00000000000000000000.db-wal"
      // One set waits for the follower, then frames do.
      try append(8, to: store)
      let salts = try SegmentFiles.salts(wal)
      try append(6, to: store)
      #expect(try SegmentFiles.salts(wal) == salts)
      // And then no longer.
      try append(300, to: store)
      #expect(SegmentFiles.size(wal) < 2 << 20)
      #expect(try SegmentFiles.salts(wal) != salts)
      #expect(try store.segmentNames().count == 1)
      #expect(try follower.isSame(as: store, feed))
      #expect(follower.hashRequests == [0])
      #expect(follower.resyncs.count == 2 && follower.resyncs.last?.isFullState == false)
      try append(1, to: store)
      #expect(try follower.isSame(as: store, feed))
      #expect(follower.resyncs.count == 2)
      feed.close()
    }
  }

  @Test("where more pages differ than one set may have, the segment rolls, and is copied as a file")
  func largeState() throws {
    try withStore({ $0.replicaResyncBytesMax = 256 << 10 }) { store in
      try store.create()
      try append(100, to: store)
      let follower = PageFollower()
      let feed = try follower.follow(store)
      #expect(try follower.isSame(as: store, feed))
      #expect(try store.segmentNames() == ["00000000000000000000.db", "00000000000000000200.db"])
      #expect(follower.images.keys.sorted() == [200])
      let name = store.partitionDirectory() + "/00000000000000000000.db"
      #expect(try eventually { try sealed(feed, base: 0) != nil })
      let total = try #require(try sealed(feed, base: 0))
      var bytes: [UInt8] = []
      while bytes.count < total {
        let piece = try feed.readFile(base: 0, generation: 0, offset: Int64(bytes.count), maxBytes: 10_000)
        #expect(piece.total == total && !piece.bytes.isEmpty && piece.bytes.count <= 10_000)
        bytes += piece.bytes
      }
      #expect(try bytes == SegmentFiles.bytes(name))
      #expect(try feed.readFile(base: 0, generation: 0, offset: total, maxBytes: 100).bytes == [])
      #expect(throws: StorageError.self) { try feed.readFile(base: 200, generation: 0, offset: 0, maxBytes: 100) }
      #expect(throws: StorageError.self) { try feed.readFile(base: 0, generation: 1, offset: 0, maxBytes: 100) }
      feed.close()
    }
  }

  private func sealed(_ feed: ReplicaFeed, base: Int64) throws -> Int64? {
    do { return try feed.readFile(base: base, generation: 0, offset: 0, maxBytes: 1).total } catch { return nil }
  }

  @Test("a segment that rolls while its follower owes the page hashes is left to be copied; the next one comes whole")
  func rollWhileAsked() throws {
    try withStore { store in
      try store.create()
      try append(20, to: store)
      let follower = PageFollower()
      var feed = try follower.follow(store)
      #expect(try follower.isSame(as: store, feed))
      feed.close()
      var standing = try #require(follower.standing)
      standing.sum = DatabaseSum(1)
      follower.answers = false
      feed = try follower.follow(store, from: standing)
      #expect(
        try eventually {
          try follower.drain(feed)
          return follower.hashRequests == [0]
        })
      store.clock.now += 8 * 86_400_000
      store.store.enforceRetention(now: store.clock.now)
      #expect(try eventually { try store.segmentNames().last == "00000000000000000040.db" })
      #expect(try follower.isSame(as: store, feed))
      follower.answer(0, feed)
      try append(1, to: store)
      #expect(try follower.isSame(as: store, feed))
      #expect(follower.segmentBase == 40)
      feed.close()
    }
  }

  @Test("without a follower the WAL is folded as ever, and a segment that nobody reads is sealed")
  func closedFeed() throws {
    try withStore({ $0.checkpointBytes = 64 << 10 }) { store in
      try store.create()
      try append(3, to: store)
      let follower = PageFollower()
      let feed = try follower.follow(store)
      #expect(try follower.isSame(as: store, feed))
      let wal = store.partitionDirectory() + "/00000000000000000000.db-wal"
      let salts = try SegmentFiles.salts(wal)
      feed.close()
      try append(60, to: store)
      #expect(try SegmentFiles.salts(wal) != salts)
    }
  }
}
