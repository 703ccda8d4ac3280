import Coordination
import Glibc
import Logging
import Model
import Pages
import SQLite
import TestSupport
import Testing

@testable import Storage

private let shardCount = 2
private let plays = TopicPartition(topic: "plays", partition: 0)

private func offset(_ value: Int64) -> GroupChange {
  .offsetCommitted(
    plays, CommittedOffset(offset: value, leaderEpoch: -1, metadata: "", commitTimestamp: 8, expireTimestamp: nil))
}

private func commit(_ value: Int64, of group: String) -> GroupChanges { GroupChanges(groupID: group, changes: [offset(value)]) }

/// A store whose shards are led, and what is in the first of them.
private struct Shards {
  let store: TestStore
  let coordinator: CoordinatorStore

  init(_ store: TestStore) throws {
    self.store = store
    try store.store.leadCoordinator(shardCount: shardCount)
    coordinator = CoordinatorStore(store.store, shardCount: shardCount)
  }

  static func name(_ shard: Int = 0) -> TopicPartition { CoordinatorTopic.partition(shard) }
  static func directory(_ store: TestStore, _ shard: Int = 0) -> String { "\(store.dataDirectory)/coordinator/\(shard)" }
  static func files(_ store: TestStore, _ shard: Int = 0) throws -> [String] {
    try directoryEntries(directory(store, shard)).filter { $0.hasSuffix(".db") }.sorted()
  }

  func put(_ value: Int64, of group: String = "g") throws { try coordinator.apply([commit(value, of: group)], to: 0) }

  static func offsets(_ groups: [StoredGroup]) -> [String: Int64] {
    Dictionary(uniqueKeysWithValues: groups.map { ($0.groupID, $0.offsets[plays]?.offset ?? -1) })
  }
  func offsets(_ shard: Int = 0) throws -> [String: Int64] { Self.offsets(try coordinator.load(shard: shard)) }
  var log: PartitionLog { store.store.attached(Self.name())! }
}

@Suite("A shard of the coordinator") struct CoordinatorLogTests {
  @Test("has each commit at an offset of its own, a new epoch after an unclean end, and no door")
  func commits() throws {
    try withStore { store in
      var shards = try Shards(store)
      #expect(try shards.offsets() == [:])
      for value in 1...3 { try shards.put(Int64(value)) }
      try shards.put(7, of: "h")
      #expect(shards.log.offsets?.highWatermark == Offset(4))
      #expect(try shards.offsets() == ["g": 3, "h": 7])
      #expect(store.store.topics == [] && store.store.partitionsByTopic.isEmpty)
      #expect(store.store.partition(Shards.name()) == nil)
      #expect(try store.store.snapshot(of: nil).partitions.isEmpty)
      #expect(throws: StorageError.self) {
        try store.store.createPartition(
          Shards.name(), topicID: TestStore.topicID, leaderEpoch: .zero, configuration: TopicConfiguration())
      }
      try store.reopen(attaching: [])
      shards = try Shards(store)
      #expect(shards.log.offsets?.leaderEpoch == .zero)
      #expect(try shards.offsets() == ["g": 3, "h": 7])
      let crashed = store.directory + "/crashed"
      try copyAtOneMoment(store.dataDirectory, to: crashed)
      try store.store.close()
      store.options.dataDirectory = crashed
      try store.begin(attaching: [])
      shards = try Shards(store)
      try shards.put(4)
      #expect(shards.log.offsets?.leaderEpoch == LeaderEpoch(1) && shards.log.offsets?.logEndOffset == Offset(5))
      #expect(try shards.offsets() == ["g": 4, "h": 7])
      #expect(try Shards.files(store) == ["00000000000000000000.db"])
      #expect(Shards.offsets(try OfflineStore(dataDirectory: crashed).groups()) == ["g": 4, "h": 7])
      #expect(try findings(crashed).damage == [])
    }
  }

  @Test("a failed sync takes back what was not acknowledged, and nothing else; what followers say counts anew")
  func failedSync() throws {
    try withStore({ $0.checkpointBytes = 64 << 10 }) { store in
      var shards = try Shards(store)
      for value in 1...40 {
        try shards.put(Int64(value))
        try shards.put(Int64(value), of: "group \(value)")
      }
      try FailureTests().breakSync(of: Shards.directory(store) + "/00000000000000000000.db-wal")
      let failure = #expect(throws: UnappliedChanges.self) { try shards.put(99) }
      #expect(failure?.answer == .coordinatorNotAvailable && failure?.isOutcomeKnown == true)
      #expect(eventually { (try? shards.put(41)) != nil })
      #expect(try shards.offsets()["g"] == 41 && shards.offsets()["group 40"] == 40)
      #expect(try eventually { try Shards.files(store) == ["00000000000000000000.1.db"] })
      #expect(shards.log.offsets?.logEndOffset == Offset(81))
      try store.reopen(attaching: [])
      shards = try Shards(store)
      #expect(try shards.offsets().count == 41 && shards.offsets()["g"] == 41)
      #expect(try findings(store.dataDirectory).damage == [])
    }
  }

  @Test("a fence that the node did not outlive is kept: the next start takes the commits that were durable")
  func fenceMark() throws {
    try withStore { store in
      var shards = try Shards(store)
      for value in 1...5 { try shards.put(Int64(value), of: "group \(value)") }
      let crashed = store.directory + "/crashed"
      try copyAtOneMoment(store.dataDirectory, to: crashed)
      try store.store.close()
      store.options.dataDirectory = crashed
      try FenceMark(name: SegmentName(baseOffset: 0, generation: 0), endOffset: 3).write(Shards.directory(store))
      let node = try Connection(path: crashed + "/quire.db", mode: .readWrite)
      try node.execute("UPDATE partition_checkpoint SET high_watermark = 3")
      node.close()
      try store.begin(attaching: [])
      shards = try Shards(store)
      #expect(try shards.offsets() == ["group 1": 1, "group 2": 2, "group 3": 3])
      try shards.put(4)
      #expect(shards.log.offsets?.logEndOffset == Offset(4))
    }
  }

  // What earlier releases left

  /// A shard as releases up to now have written it.
  private func makeEarlier(_ path: String, _ values: [String: Int64]) throws {
    let connection = try Connection(path: path, mode: .create)
    try connection.execute("PRAGMA journal_mode=WAL")
    try connection.execute(String(decoding: EmbeddedFiles.bytes(of: "migrations/coordinator/0001-initial.sql")!, as: UTF8.self))
    try connection.execute("PRAGMA application_id = \(DatabaseFamily.coordinator.applicationID); PRAGMA user_version = 1")
    for (group, value) in values {
      try connection.execute("INSERT INTO committed_offset VALUES ('\(group)', 'plays', 0, \(value), -1, '', 8, NULL)")
    }
    connection.close()
  }

  @Test("the files of an earlier release are taken over with all they hold, also after a crash in the middle of it")
  func migration() throws {
    try withStore { store in
      try store.store.close()
      let directory = store.dataDirectory + "/coordinator"
      removeTree(directory)
      mkdir(directory, 0o700)
      try makeEarlier(directory + "/0.db", ["g": 5, "h": 6])
      try makeEarlier(directory + "/1.db", ["i": 7])
      #expect(Shards.offsets(try OfflineStore(dataDirectory: store.dataDirectory).groups()) == ["g": 5, "h": 6, "i": 7])
      #expect(try findings(store.dataDirectory).damage == [])
      // Killed at each step: before the copy has its name, and before the earlier file is gone.
      mkdir(directory + "/0", 0o700)
      _ = open(directory + "/0/00000000000000000000.db.tmp", O_CREAT | O_WRONLY, 0o600)
      let between = store.directory + "/between"
      try copyTree(store.dataDirectory, to: between)
      try store.begin(attaching: [])
      try store.store.close()
      #expect(try directoryEntries(directory).sorted() == ["0", "1"])
      // As if it had been killed then.
      try copyTree(directory + "/0", to: between + "/coordinator/0")
      for path in [store.dataDirectory, between] {
        store.options.dataDirectory = path
        try store.begin(attaching: [])
        let shards = try Shards(store)
        #expect(try shards.offsets() == ["g": 5, "h": 6] && shards.offsets(1) == ["i": 7])
        #expect(try directoryEntries(path + "/coordinator").sorted() == ["0", "1"])
        try shards.put(8)
        try store.store.close()
        #expect(Shards.offsets(try OfflineStore(dataDirectory: path).groups()) == ["g": 8, "h": 6, "i": 7])
        #expect(try findings(path).damage == [])
      }
      // An earlier release that was started again knew nothing of what is here.
      try makeEarlier(between + "/coordinator/0.db", ["late": 1])
      #expect(throws: StorageError.self) { try store.begin(attaching: []) }
      unlink(between + "/coordinator/0.db")
      try store.begin(attaching: [])
    }
  }

  // Replicas

  /// A leader and a follower of the first shard.
  private func withFollower(_ body: (Shards, TestStore, Follow) throws -> Void) throws {
    try withTemporaryDirectory { directory in
      for name in ["leader", "follower"] { mkdir("\(directory)/\(name)", 0o700) }
      let leader = try TestStore("\(directory)/leader") { $0.checkpointBytes = 64 << 10 }
      let follower = try TestStore("\(directory)/follower") { $0.nodeID = NodeID(2) }
      let shards = try Shards(leader)
      try body(shards, follower, try Follow(leader, follower))
    }
  }

  private final class Follow {
    let replica: FollowerPartition
    let feed: ReplicaFeed

    init(_ leader: TestStore, _ follower: TestStore) throws {
      replica = try follower.store.openReplica(of: Shards.name(), topicID: CoordinatorTopic.id, configuration: .init())
      feed = try leader.store.openFeed(
        of: Shards.name(), topicID: CoordinatorTopic.id, follower: NodeID(2), from: replica.standing, notify: {})
    }

    func pump() throws {
      while let change = try feed.next(maxBytes: 1 << 20) {
        switch change {
        case .pages(let set): try replica.apply(set)
        case .wantsPageHashes(let base): feed.pageHashes(segmentBase: base, try replica.pageHashes(segmentBase: base))
        case .highWatermark(let offset): replica.raiseHighWatermark(to: offset)
        }
      }
      if let position = try replica.sync() { feed.acknowledged(position) }
    }

    func catchUp(to end: Int64) throws -> Bool {
      try eventually {
        try pump()
        return replica.log.offsets?.highWatermark == Offset(end)
      }
    }
  }

  @Test("a follower has the leader's pages; promoted, it has the groups and goes on, and the old leader follows")
  func promotion() throws {
    try withFollower { shards, other, follow in
      for value in 1...200 { try shards.put(Int64(value), of: "group \(value % 50)") }
      #expect(try follow.catchUp(to: 200))
      for value in 201...220 {
        try shards.put(Int64(value), of: "group \(value % 50)")
        try follow.pump()
      }
      #expect(try follow.catchUp(to: 220))
      let file = "00000000000000000000.db"
      let (ours, theirs) = ("\(Shards.directory(shards.store))/\(file)", "\(Shards.directory(other))/\(file)")
      #expect(try SegmentFiles.settled(ours) == SegmentFiles.settled(theirs))
      let expected = try shards.offsets()
      #expect(expected.count == 50)
      // The leader stops; the follower takes its place.
      follow.feed.close()
      #expect(throws: (any Error).self) { try CoordinatorStore(other.store, shardCount: shardCount).load(shard: 0) }
      try follow.replica.promote(to: LeaderEpoch(1))
      let next = CoordinatorStore(other.store, shardCount: shardCount)
      #expect(Shards.offsets(try next.load(shard: 0)) == expected)
      try next.apply([commit(1_000, of: "group 0")], to: 0)
      let log = try #require(other.store.attached(Shards.name()))
      #expect(log.offsets?.leaderEpoch == LeaderEpoch(1) && log.offsets?.logEndOffset == Offset(221))
      let back = try Follow(other, shards.store)
      #expect(try back.catchUp(to: 221))
      #expect(try SegmentFiles.settled(ours) == SegmentFiles.settled(theirs))
      #expect(throws: UnappliedChanges.self) { try shards.put(5) }
      back.feed.close()
      #expect(try findings(other.dataDirectory).damage == [])
    }
  }

  @Test("a commit is answered when every in-sync replica has it, and what none but the leader has is not read")
  func inSyncSet() throws {
    try withFollower { shards, other, follow in
      try shards.put(1)
      #expect(try follow.catchUp(to: 1))
      let hasty = CoordinatorStore(shards.store.store, shardCount: shardCount, timeoutMilliseconds: 50)
      let set = ReplicaSet(replicas: [NodeID(1), NodeID(2)], inSync: [NodeID(1), NodeID(2)], isFixed: true)
      try shards.store.store.setReplicas(of: Shards.name(), topicID: CoordinatorTopic.id, set)
      #expect(
        try eventually {
          try follow.pump()
          return (try? hasty.load(shard: 0)).map { Shards.offsets($0) } == ["g": 1]
        })
      let coordinator = shards.coordinator
      let outcome = Handover<Bool>()
      let thread = StorageThread("commit") {
        outcome.give((try? coordinator.apply([commit(2, of: "g")], to: 0)) != nil)
      }
      #expect(try follow.catchUp(to: 2))
      #expect(outcome.take())
      thread.join()
      #expect(try shards.offsets() == ["g": 2])
      // Committed here, and there is no word of it from the follower.
      let failure = #expect(throws: UnappliedChanges.self) { try hasty.apply([commit(3, of: "g")], to: 0) }
      #expect(failure?.isOutcomeKnown == false && failure?.answer == .coordinatorNotAvailable)
      #expect(shards.log.offsets?.highWatermark == Offset(2) && shards.log.offsets?.logEndOffset == Offset(3))
      #expect(throws: (any Error).self, "not before the follower has it") { try hasty.load(shard: 0) }
      #expect(try follow.catchUp(to: 3))
      #expect(try shards.offsets() == ["g": 3])
      // It goes away: nothing is begun that could not be finished.
      follow.feed.close()
      #expect(
        eventually {
          do throws(UnappliedChanges) { try shards.coordinator.apply([commit(4, of: "g")], to: 0) } catch {
            return error.isOutcomeKnown
          }
          return false
        })
      _ = other
    }
  }
}
