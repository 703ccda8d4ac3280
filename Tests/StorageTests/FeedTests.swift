import Glibc
import Model
import NIOCore
import Pages
import Records
import SQLite
import Storage
import Synchronization
import TestSupport
import Testing

/// What followers of a partition are sent: applied to a copy, it must be the leader's file.
@Suite("Feeds") struct FeedTests {
  private let filler = String(repeating: "x", count: 3_000)

  private func append(_ count: Int, to store: TestStore) throws {
    for index in 0..<count { try store.append(["\(index)", filler]) }
  }

  /// Appends from another thread until it is told to stop.
  private final class Load: Sendable {
    private let isStopping = Atomic(false)
    private let thread = Mutex<StorageThread?>(nil)
    let appended = Atomic<Int>(0)
    /// What the follower has taken of it: on a slow machine it is waited for, or it would be too slow for the WAL.
    let taken = Atomic<Int>(0)

    init(_ store: LogStore, _ request: @escaping @Sendable (Inbox) throws -> AppendRequest) {
      let begun = StorageThread("load") { [unowned self] in
        while !isStopping.load(ordering: .relaxed) {
          if appended.load(ordering: .relaxed) > taken.load(ordering: .relaxed) + 40 {
            usleep(200)
            continue
          }
          let inbox = Inbox()
          guard let request = try? request(inbox) else { return }
          store.append([request])
          inbox.wait(for: 1)
          appended.add(1, ordering: .relaxed)
        }
      }
      thread.withLock { $0 = begun }
    }

    func stop() {
      isStopping.store(true, ordering: .relaxed)
      thread.withLock {
        $0?.join()
        $0 = nil
      }
    }
  }

  private func load(_ store: TestStore, bytes: Int) -> Load {
    let value = String(repeating: "y", count: bytes)
    let (log, clock) = (store.log(), store.clock)
    return Load(store.store) { inbox in
      var builder = BatchBuilder()
      builder.append(key: nil, value: .init(string: value), timestamp: clock.now)
      let (records, batches) = try BatchValidator.validate(
        try builder.build(), rules: ValidationRules(configuration: log.configuration, now: clock.now))
      return AppendRequest(
        partition: log, records: records, batches: batches, requiredAcks: -1, receiver: inbox, context: nil)
    }
  }

  @Test("begin with every page, and go on with those that each commit changed")
  func fullStateAndCommits() throws {
    try withStore { store in
      try store.create()
      try append(5, to: store)
      let follower = PageFollower()
      let feed = try follower.follow(store)
      #expect(try follower.isSame(as: store, feed))
      #expect(follower.sets.first?.isFullState == true)
      for index in 0..<20 {
        try store.append(["\(index)"])
        #expect(try follower.isSame(as: store, feed))
      }
      #expect(follower.resyncs.count == 1 && follower.sets.count == 21)
      #expect(follower.sets.dropFirst().allSatisfy { $0.after.commitSequence == $0.before.commitSequence + 1 })
      #expect(eventually { (try? follower.drain(feed)) != nil && follower.highWatermark == Offset(30) })
      #expect(follower.hashRequests == [])
      feed.close()
      #expect(throws: StorageError.self) { try feed.next(maxBytes: 1) }
    }
  }

  @Test("an idle partition's next commit is announced")
  func announcements() throws {
    try withStore { store in
      try store.create()
      try store.append(["a"])
      let follower = PageFollower()
      let feed = try follower.follow(store)
      #expect(try follower.isSame(as: store, feed))
      let calls = follower.calls.count.load(ordering: .relaxed)
      try store.append(["b"])
      #expect(eventually { follower.calls.count.load(ordering: .relaxed) > calls })
      #expect(try follower.isSame(as: store, feed))
      feed.close()
    }
  }

  @Test("keep up while the leader appends, checkpoints and begins its WAL anew; each commit travels once")
  func load() throws {
    try withStore({ $0.checkpointBytes = 64 << 10 }) { store in
      try store.create()
      try append(3, to: store)
      let wal = store.partitionDirectory() + "/00000000000000000000.db-wal"
      let follower = PageFollower()
      let feed = try follower.follow(store)
      #expect(try follower.isSame(as: store, feed))
      let first = try SegmentFiles.salts(wal)
      let load = load(store, bytes: 20_000)
      #expect(
        try eventually {
          let appended = load.appended.load(ordering: .relaxed)
          try follower.drain(feed)
          load.taken.store(appended, ordering: .relaxed)
          return try appended > 60 && SegmentFiles.salts(wal) != first
        })
      load.stop()
      #expect(try follower.isSame(as: store, feed))
      #expect(follower.resyncs.count == 1 && follower.hashRequests == [])
      for (earlier, later) in zip(follower.sets, follower.sets.dropFirst()) { #expect(earlier.after == later.before) }
      feed.close()
    }
  }

  @Test("two followers get the same sets, made once, whenever they come")
  func twoFollowers() throws {
    try withStore { store in
      try store.create()
      let (first, second) = (PageFollower(), PageFollower())
      let feed = try first.follow(store)
      #expect(try first.isSame(as: store, feed))
      try append(10, to: store)
      #expect(try first.isSame(as: store, feed))
      let other = try second.follow(store)
      #expect(try second.isSame(as: store, other))
      for _ in 0..<10 {
        try append(1, to: store)
        #expect(try second.isSame(as: store, other))
      }
      #expect(try first.isSame(as: store, feed))
      #expect(first.standing == second.standing)
      #expect(first.resyncs.count == 1 && second.resyncs.count == 1)
      #expect(first.sets.suffix(10) == second.sets.suffix(10))
      feed.close()
      other.close()
    }
  }

  @Test("a transaction that outgrew the cache, and was written before its commit, travels whole")
  func spilledTransaction() throws {
    try withStore { store in
      try store.create { $0.maxMessageBytes = 20 << 20 }
      try store.append(["a"])
      let follower = PageFollower()
      let feed = try follower.follow(store)
      #expect(try follower.isSame(as: store, feed))
      try store.append([String(repeating: "z", count: 12 << 20)])
      try store.append(["b"])
      #expect(try follower.isSame(as: store, feed))
      #expect(follower.resyncs.count == 1)
      feed.close()
    }
  }

  @Test("the rest of a segment comes in front of its successor, of which every page comes")
  func roll() throws {
    try withStore { store in
      try store.create { $0.segmentBytes = 20_000 }
      let follower = PageFollower()
      let feed = try follower.follow(store)
      #expect(try follower.isSame(as: store, feed))
      for _ in 0..<5 {
        // Until there is a new one, without a look at the feed.
        let count = try store.segmentNames().count
        while try store.segmentNames().count == count { try append(1, to: store) }
        #expect(try follower.isSame(as: store, feed))
      }
      let names = try store.segmentNames()
      #expect(names.count == 6 && follower.images.count == 6)
      // Each as a whole once, in order, and nothing of an older one behind it.
      #expect(follower.resyncs.map(\.after.segmentBase) == names.map { Offset(Int64($0.prefix(20))!) })
      #expect(follower.sets.map(\.after.segmentBase) == follower.sets.map(\.after.segmentBase).sorted())
      for name in names.dropLast() {
        #expect(eventually { !fileExists("\(store.partitionDirectory())/\(name)-wal") })
        #expect(try follower.isSealedFileSame(as: store, name), "\(name)")
      }
      feed.close()
    }
  }

  @Test("what retention and DeleteRecords change travels as any commit does")
  func retention() throws {
    try withStore { store in
      try store.create { $0.segmentBytes = 20_000 }
      let follower = PageFollower()
      let feed = try follower.follow(store)
      for _ in 0..<30 {
        try append(1, to: store)
        try follower.drain(feed)
      }
      let count = try store.segmentNames().count
      #expect(count > 3)
      store.store.deleteRecords(in: TestStore.name(), before: Offset(30)) { _ in }
      #expect(eventually { store.log().offsets!.logStartOffset == Offset(30) })
      #expect(try follower.isSame(as: store, feed))
      #expect(try eventually { try store.segmentNames().count < count })
      #expect(try follower.isSame(as: store, feed))
      #expect(follower.hashRequests == [])
      feed.close()
    }
  }

  @Test("a follower that was away goes on where it stands, as long as its next commit is kept")
  func reconnect() throws {
    try withStore { store in
      try store.create()
      try append(3, to: store)
      let follower = PageFollower()
      var feed = try follower.follow(store)
      #expect(try follower.isSame(as: store, feed))
      // Taken by nobody but another follower.
      let other = PageFollower()
      let others = try other.follow(store)
      #expect(try other.isSame(as: store, others))
      feed.close()
      try store.append(["a"])
      #expect(try other.isSame(as: store, others))
      feed = try follower.follow(store, from: follower.standing)
      #expect(try follower.isSame(as: store, feed))
      #expect(follower.resyncs.count == 1 && follower.hashRequests == [])
      feed.close()
      others.close()
    }
  }

  @Test("after a kill of the leader, and with another epoch, its follower goes on with what it has")
  func kill() throws {
    try withStore { store in
      try store.create()
      try append(20, to: store)
      let follower = PageFollower()
      let feed = try follower.follow(store)
      #expect(try follower.isSame(as: store, feed))
      let crashed = store.directory + "/crashed"
      try copyTree(store.dataDirectory, to: crashed)
      feed.close()
      try store.store.close()
      store.options.dataDirectory = crashed
      try store.begin(attaching: [0], epoch: 1)
      let again = try follower.follow(store, from: follower.standing)
      #expect(try follower.isSame(as: store, again))
      try store.append(["of the new epoch"])
      #expect(try follower.isSame(as: store, again))
      #expect(follower.resyncs.count == 1 && follower.standing?.position.leaderEpoch == LeaderEpoch(1))
      again.close()
    }
  }

  @Test("a deleted partition ends its feeds, and another topic of the name has none")
  func deletion() throws {
    try withStore { store in
      try store.create()
      try store.append(["a"])
      let follower = PageFollower()
      let feed = try follower.follow(store)
      #expect(try follower.isSame(as: store, feed))
      try store.store.deletePartition(TestStore.name(), topicID: TestStore.topicID)
      #expect(throws: StorageError.self) { try follower.drain(feed) }
      #expect(throws: StorageError.self) { try follower.follow(store) }
      try store.create()
      #expect(throws: StorageError.self) {
        try store.store.openFeed(
          of: TestStore.name(), topicID: TopicID(high: 1, low: 2), follower: NodeID(2), from: nil
        ) {}
      }
      feed.close()
    }
  }
}
