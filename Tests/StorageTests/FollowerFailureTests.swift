import Glibc
import Model
import Pages
import SQLite
import Synchronization
import TestSupport
import Testing

@testable import Storage

private let filler = String(repeating: "x", count: 300)

@Suite("A follower that") struct FollowerFailureTests {
  @Test("missed a commit refuses what comes next, and is brought back by the pages that differ")
  func diverged() throws {
    try withPair { pair in
      try pair.leader.append(["a"])
      try pair.catchUp()
      let standing = try #require(pair.replica.standing)
      try pair.leader.append(["b"])
      let missed = try pair.pages.next()
      try pair.leader.append(["c"])
      let next = try pair.pages.next()
      let error = #expect(throws: ReplicaError.self) { try pair.replica.apply(next[0]) }
      guard case .diverged = error else { return }
      #expect(pair.replica.standing == standing)
      #expect(try pair.values() == ["a"])
      #expect(try pair.replica.pageHashes(segmentBase: 77) == [])
      let hashes = try pair.replica.pageHashes(segmentBase: 0)
      let resync = try pair.pages.resync(from: hashes, at: standing.position)
      try pair.replica.apply(resync)
      try pair.catchUp()
      #expect(pair.replica.standing?.sum == pair.pages.sums?.total)
      #expect(try pair.values() == ["a", "b", "c"])
      // What is here already is nothing new, and what is older than it does not belong here.
      try pair.replica.apply(next[0])
      #expect(throws: ReplicaError.self) { try pair.replica.apply(missed[0]) }
      #expect(try pair.replica.sync() == pair.pages.position)
    }
  }

  @Test("is closed in order, or crashes, goes on where its files stand", arguments: [true, false])
  func restarts(inOrder: Bool) throws {
    try withPair({ $0.checkpointBytes = 50_000 }, { $0.segmentBytes = 3_000 }) { pair in
      for index in 0..<10 {
        try pair.leader.append(["\(index)", filler])
        try pair.catchUp()
      }
      #expect(pair.follower.log().offsets?.highWatermark == Offset(20))
      let node = try Connection(path: pair.follower.dataDirectory + "/quire.db", mode: .readOnly)
      #expect(try eventually { try node.integer("SELECT high_watermark FROM partition_checkpoint") == 20 })
      node.close()
      #expect(try pair.settles())
      let position = pair.replica.standing?.position
      let copy = pair.follower.directory + "/crashed"
      if !inOrder { try copyAtOneMoment(pair.follower.dataDirectory, to: copy) }
      try pair.follower.store.close()
      #expect(throws: StorageError.self) { try pair.replica.sync() }
      if !inOrder { pair.follower.options.dataDirectory = copy }
      let names = try pair.follower.segmentNames()
      if inOrder { #expect(fileExists("\(pair.follower.partitionDirectory())/\(names.last!).sums")) }
      try pair.follower.begin(attaching: [])
      pair.replica = try Pair.open(pair.follower)
      // No roll, and no commit of its own.
      #expect(try pair.follower.segmentNames() == names)
      #expect(pair.replica.standing?.position == position)
      #expect(pair.replica.standing?.sum == pair.pages.sums?.total)
      #expect(pair.follower.log().offsets?.highWatermark == Offset(20))
      #expect(try pair.values() == pair.leader.readAll().map(\.value))
      #expect(try pair.follower.append(["mine"]).error == .notLeaderOrFollower)
      try pair.leader.append(["after"])
      try pair.catchUp()
      #expect(try pair.values().last == "after")
    }
  }

  @Test("could not sync its WAL trusts nothing of it: it is read on, and a full state takes its place")
  func failedSync() throws {
    try withPair { pair in
      try pair.leader.append(["a"])
      try pair.catchUp()
      try pair.leader.append(["b"])
      for set in try pair.pages.next() { try pair.replica.apply(set) }
      let path = pair.follower.partitionDirectory() + "/00000000000000000000.db"
      try FailureTests().breakSync(of: path + "-wal", ofSQLite: true)
      #expect(throws: StorageError.self) { try pair.replica.sync() }
      #expect(pair.replica.standing == nil)
      #expect(fileExists(pair.follower.partitionDirectory() + "/fenced"))
      #expect(try pair.replica.pageHashes(segmentBase: 0) == [])
      #expect(pair.follower.log().offsets?.highWatermark == Offset(1))
      // The next life does not take it for sound either.
      try pair.follower.reopen(attaching: [])
      pair.replica = try Pair.open(pair.follower)
      #expect(pair.replica.standing == nil)
      try pair.replica.apply(try pair.pages.fullState())
      try pair.catchUp()
      #expect(!fileExists(pair.follower.partitionDirectory() + "/fenced"))
      #expect(try pair.values() == ["a", "b"])
      try pair.leader.append(["c"])
      try pair.catchUp()
      #expect(try pair.values() == ["a", "b", "c"])
    }
  }

  @Test("finds a sealed file damaged asks for it again, and serves nothing of it meanwhile")
  func bitRot() throws {
    try withPair({ _ in }, { $0.segmentBytes = 2_000 }) { pair in
      for index in 0..<8 { try pair.leader.append(["\(index)", filler]) }
      #expect(try pair.leaderSeals())
      try pair.catchUp()
      try pair.copyFiles()
      try pair.follower.store.close()
      let path = "\(pair.follower.partitionDirectory())/\(try pair.follower.segmentNames()[0])"
      let file = open(path, O_RDWR)
      pwrite(file, [0xFF, 0xFF], 2, 5_000)
      close(file)
      try pair.follower.begin(attaching: [])
      pair.replica = try Pair.open(pair.follower)
      pair.replica.raiseHighWatermark(to: Offset(16))
      #expect(pair.replica.wantedFiles.isEmpty)
      _ = try? pair.follower.log().read(from: .zero, maxBytes: 1_000)
      #expect(eventually { pair.replica.wantedFiles.count == 1 })
      #expect(throws: StorageError.self) { try pair.follower.log().read(from: .zero, maxBytes: 1_000) }
      try pair.copyFiles()
      #expect(try pair.values() == pair.leader.readAll().map(\.value))
    }
  }

  @Test("gets the pages of another log, or of a leader that has lost what was acknowledged, keeps what it has")
  func refuses() throws {
    try withPair { pair in
      try pair.leader.append(["a"])
      try pair.catchUp()
      let early = try pair.pages.fullState()
      try pair.leader.append(["b"])
      try pair.catchUp()
      for set in [early, try Self.fullState(ofTopic: "others", in: pair.leader.directory)] {
        let error = #expect(throws: ReplicaError.self) { try pair.replica.apply(set) }
        if case .refused = error {} else { Issue.record("\(error as Any)") }
        #expect(try pair.values() == ["a", "b"])
      }
      #expect(try directoryEntries(pair.follower.partitionDirectory()).filter { $0.contains(".tmp") } == [])
      #expect(throws: StorageError.self) {
        try pair.follower.store.openReplica(
          of: TestStore.name(), topicID: TopicID(high: 1, low: 1), configuration: .init())
      }
    }
  }

  private static func fullState(ofTopic topic: String, in directory: String) throws -> PageSet {
    let path = "\(directory)/other"
    mkdir(path, 0o700)
    let state = PartitionState(
      topicID: TestStore.topicID, topicPartition: TopicPartition(topic: topic, partition: 0), baseOffset: 5, generation: 0,
      logStartOffset: 5, leaderEpoch: 0, commitSequence: 9)
    try SegmentBuilder.build(state, in: path, pageSize: 8192, now: 0)
    let bytes = storedBytes("\(path)/00000000000000000005.db")
    var sums = PageSums(pageSize: PageSize(bytes: 8192)!)
    let after = CommitPosition(leaderEpoch: .zero, segmentBase: Offset(5), commitSequence: 9)
    return try bytes.withUnsafeBytes { bytes in
      try sums.capture(
        pages: (0..<bytes.count / 8192).map {
          (PageNumber(UInt32($0 + 1)), UnsafeRawBufferPointer(rebasing: bytes[$0 * 8192..<($0 + 1) * 8192]))
        }, pageCount: bytes.count / 8192, before: .zero, after: after, resync: true
      ) { _, _ in false }.get()
    }
  }

  @Test("does not fold past the high watermark, while its WAL is within its bound")
  func folds() throws {
    try withPair({
      $0.checkpointBytes = 50_000
      $0.walBytesMax = 600_000
    }) { pair in
      try pair.leader.append(["a"])
      try pair.catchUp()
      let path = pair.follower.partitionDirectory() + "/00000000000000000000.db"
      func fileBytes() -> Int {
        var status = stat()
        stat(path, &status)
        return status.st_size
      }
      let before = fileBytes()
      let large = String(repeating: "y", count: 20_000)
      for _ in 0..<8 {
        try pair.leader.append([large])
        try pair.catchUp(raises: false)
      }
      #expect(fileBytes() == before)
      pair.replica.raiseHighWatermark(to: Offset(9))
      #expect(fileBytes() > before)
      let folded = fileBytes()
      for _ in 0..<40 {
        try pair.leader.append([large])
        try pair.catchUp(raises: false)
      }
      #expect(fileBytes() > folded)
      #expect(try pair.values().count == 9)
    }
  }

  @Test("rests while nothing comes is opened again by the next set, and was read meanwhile")
  func rests() throws {
    try withPair { pair in
      try pair.leader.append(["a"])
      try pair.catchUp()
      let open = pair.follower.store.levels.openDatabases
      // A reader's connection is one, and stays.
      #expect(try pair.values() == ["a"])
      #expect(
        eventually {
          pair.replica.locked { pair.replica.rest(isCrowded: true) }
          return pair.follower.store.levels.openDatabases == open
        })
      #expect(try pair.values() == ["a"])
      try pair.leader.append(["b"])
      try pair.catchUp()
      #expect(try pair.values() == ["a", "b"])
      #expect(pair.replica.standing?.sum == pair.pages.sums?.total)
    }
  }

  @Test("loses segments to its leader's retention removes them when nobody reads them any more")
  func retention() throws {
    try withPair({ _ in }, { $0.segmentBytes = 2_000 }) { pair in
      for index in 0..<12 {
        try pair.leader.append(["\(index)", filler])
        try pair.catchUp()
      }
      let names = try pair.leader.segmentNames()
      let handover = Handover<Result<Offset, StorageError>>()
      pair.leader.store.deleteRecords(in: TestStore.name(), before: Offset(20)) { handover.give($0) }
      #expect(try handover.take().get() == Offset(20))
      var snapshot: HistorySnapshot? = try pair.follower.store.snapshot(of: nil)
      #expect(snapshot?.partitions.first?.segments.count == names.count)
      try pair.catchUp()
      #expect(pair.follower.log().offsets?.logStartOffset == Offset(20))
      #expect(try pair.follower.segmentNames() == names)
      snapshot = nil
      #expect(
        try eventually {
          _ = try pair.replica.sync()
          return try pair.follower.segmentNames() == pair.leader.segmentNames()
        })
      #expect(try pair.follower.segmentNames().count < names.count)
      #expect(try pair.values() == pair.leader.readAll().map(\.value))
    }
  }

  @Test("is promoted takes appends under a new epoch, with all it had; and can follow again")
  func promotion() throws {
    try withPair({ _ in }, { $0.segmentBytes = 2_000 }) { pair in
      for index in 0..<8 { try pair.leader.append(["\(index)", filler]) }
      for set in try pair.pages.next() { try pair.replica.apply(set) }
      // The rest of a segment, its successors, and the rows that say how they were sealed: all at once.
      try pair.leader.append(["last"])
      #expect(try pair.leaderSeals())
      try pair.catchUp()
      try pair.copyFiles()
      let log = pair.follower.log()
      try pair.replica.promote(to: LeaderEpoch(3))
      #expect(pair.follower.log() === log)
      #expect(log.offsets?.highWatermark == Offset(17))
      #expect(try pair.follower.append(["mine"]).baseOffset == 17)
      #expect(try pair.values() == (try pair.leader.readAll().map(\.value)) + ["mine"])
      #expect(try log.epoch(of: Offset(17)) == LeaderEpoch(3))
      #expect(try log.epoch(of: Offset(16)) == LeaderEpoch(0))
      #expect(throws: StorageError.self) { try pair.replica.sync() }
      let error = #expect(throws: ReplicaError.self) { try pair.replica.apply(try pair.pages.fullState()) }
      if case .storage(.closed) = error {} else { Issue.record("\(error as Any)") }
      // And the other way round.
      pair.replica = try Pair.open(pair.follower)
      #expect(pair.replica.standing?.position.leaderEpoch == LeaderEpoch(3))
      #expect(log.isDeleted && pair.follower.log() !== log)
      #expect(try pair.values().last == "mine")
      #expect(try pair.follower.append(["refused"]).error == .notLeaderOrFollower)
      try pair.follower.store.close()
      #expect(try findings(pair.follower.dataDirectory).damage == [])
    }
  }

  @Test("applies sets while it is read shows each reader a log that only grows, without gaps")
  func readers() throws {
    try withPair({ $0.checkpointBytes = 60_000 }, { $0.segmentBytes = 20_000 }) { pair in
      try pair.leader.append(["0"])
      try pair.catchUp()
      let log = pair.follower.log()
      let watcher = Watcher(log)
      let thread = StorageThread("watcher") { watcher.run() }
      for index in 1..<60 {
        try pair.leader.append(["\(index)", filler])
        try pair.catchUp(raises: index % 3 == 0)
      }
      watcher.isStopping.store(true, ordering: .relaxed)
      thread.join()
      #expect(watcher.problems.withLock { $0 } == [])
      #expect(watcher.rounds.load(ordering: .relaxed) > 0)
    }
  }

  /// Reads a log from its beginning to its high watermark, again and again.
  private final class Watcher: Sendable {
    private let log: PartitionLog
    let isStopping = Atomic(false)
    let rounds = Atomic(0)
    let problems = Mutex<[String]>([])

    init(_ log: PartitionLog) { self.log = log }

    func run() {
      var seen = Offset.zero
      while !isStopping.load(ordering: .relaxed) {
        do throws(StorageError) {
          let limit = try log.loadNow().highWatermark
          if limit < seen { note("the high watermark fell from \(seen) to \(limit)") }
          seen = limit
          var position = Offset.zero
          while position < limit {
            let records = try log.read(from: position, maxBytes: 5_000)
            guard records.nextOffset > position else { return note("nothing at \(position), below \(limit)") }
            position = records.nextOffset
          }
          if let end = log.offsets?.highWatermark, position > end { note("read to \(position), past \(end)") }
          rounds.add(1, ordering: .relaxed)
        } catch { return note("\(error)") }
      }
    }

    private func note(_ words: String) { problems.withLock { $0.append(words) } }
  }
}
