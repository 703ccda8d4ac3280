import Glibc
import Model
import Records
import SQLite
import Synchronization
import TestSupport
import Testing

@testable import Storage

@Suite("Storage at its edges") struct EdgeTests {
  @Test("offsets that a crashed life wrote down are not believed after the orderly close of a life that never opened the log")
  func staleCheckpoint() throws {
    try withStore({ $0.highWatermarkCheckpointMilliseconds = 20 }) { store in
      try store.create()
      for index in 0..<5 { try store.append(["\(index)"]) }
      usleep(200_000)  // for the checkpoint
      let node = try Connection(path: store.dataDirectory + "/quire.db", mode: .readOnly)
      #expect(try node.integer("SELECT high_watermark FROM partition_checkpoint") == 5)
      node.close()
      // The checkpoint of before, and the log of after: as if the crash had come before the next checkpoint.
      let crashed = store.directory + "/crashed"
      try copyTree(store.dataDirectory, to: crashed)
      for index in 5..<8 { try store.append(["\(index)"]) }
      removeTree(crashed + "/topics")
      try copyTree(store.dataDirectory + "/topics", to: crashed + "/topics")
      try store.store.close()
      store.options.dataDirectory = crashed
      try store.begin(attaching: [0], epoch: 1)
      #expect(!store.store.closedCleanly)
      try store.reopen(epoch: 1)
      #expect(store.store.closedCleanly)
      // Unknown is right, 5 is not: a fetch at 7 would be out of range, one at 5 would wait for ever.
      #expect(store.log().offsets.map { $0.logEndOffset == Offset(8) } ?? true)
      #expect(try store.log().loadNow().highWatermark == Offset(8))
      try store.reopen(epoch: 1)
      #expect(store.log().offsets?.logEndOffset == Offset(8))
    }
  }

  @Test("a reader of a segment that could not be opened is not counted out twice")
  func readerCount() throws {
    try withStore { store in
      try store.create()
      try store.append(["a"])
      let snapshot = try store.store.snapshot(of: nil)
      let reference = snapshot.partitions[0].segments[0]
      rename(reference.path, reference.path + ".away")
      #expect(throws: StorageError.self) { try SegmentReader(reference, of: snapshot) }
      rename(reference.path + ".away", reference.path)
      let reader = try SegmentReader(reference, of: snapshot)
      #expect(!reference.file.closeGate(), "a segment would be sealed under its reader")
      withExtendedLifetime(reader) {}
    }
  }

  @Test("a roll that cannot be undone leaves no successor that a crash would make the active segment")
  func failedRoll() throws {
    try withStore { store in
      try store.create { $0.segmentBytes = 1 }
      try store.append(["0"])
      let obstacle = store.partitionDirectory() + "/00000000000000000001.db"
      mkdir(obstacle, 0o700)
      #expect(try store.append(["refused"]).error == .kafkaStorageError)
      // Without need of a roll the partition would go on, if its fence were lifted now.
      store.store.setConfiguration(TopicConfiguration(), for: "plays")
      usleep(500_000)
      #expect(try store.append(["refused"]).error == .kafkaStorageError)
      rmdir(obstacle)
      var offset: Int64?
      #expect(
        try eventually {
          offset = try store.append(["1"]).baseOffset
          return offset != nil
        })
      #expect(offset == 1)
      let crashed = store.directory + "/crashed"
      try copyTree(store.dataDirectory, to: crashed)
      try store.store.close()
      store.options.dataDirectory = crashed
      try store.begin(attaching: [0], epoch: 1)
      #expect(try store.readAll().map(\.value) == ["0", "1"])
    }
  }

  /// Two batches, and a log start in the middle of the first, behind the record with the largest timestamp.
  ///
  /// - Returns: the time of the records that are left: the last has 500 more.
  private func cutInFrontOfMaximum(_ store: TestStore) throws -> Int64 {
    try store.create()
    let now = store.clock.now
    try store.append(["a", "b", "c"], timestamps: [now, now + 1000, now])
    try store.append(["d"], timestamps: [now + 500])
    let inbox = Inbox()
    store.store.deleteRecords(in: TestStore.name(), before: Offset(2)) { _ in inbox.appendsCompleted([]) }
    #expect(eventually { store.log().offsets?.logStartOffset == Offset(2) })
    return now
  }

  @Test("the largest timestamp is found behind a log start in the middle of the batch that had it")
  func maxTimestampBehindLogStart() throws {
    try withStore { store in
      let now = try cutInFrontOfMaximum(store)
      let found = try store.log().offsetOfMaxTimestamp()
      #expect(found?.offset == Offset(3) && found?.timestamp == now + 500)
    }
  }

  @Test("the largest timestamp is one below the high watermark, whatever the active segment has behind it")
  func maxTimestampBelowHighWatermark() throws {
    try withStore { store in
      let now = try cutInFrontOfMaximum(store)
      // As an append that is committed and not synced yet.
      let segment = try Connection(path: store.partitionDirectory() + "/00000000000000000000.db", mode: .readWrite)
      try segment.execute(
        """
        INSERT INTO record_batch SELECT 4, 4, \(now + 2000), \(now + 2000), \(now + 2000), leader_epoch, 1, byte_count, data
        FROM record_batch WHERE base_offset = 3
        """)
      let found = try store.log().offsetOfMaxTimestamp()
      #expect(found?.offset == Offset(3) && found?.timestamp == now + 500)
      segment.close()
    }
  }

  @Test("a batch larger than the default bound of a request is readable where the settings let it in")
  func largeBatch() throws {
    try withStore { store in
      try store.create { $0.maxMessageBytes = .max }
      let outcome = try store.append([String(repeating: "x", count: Limits.requestBytesMax + 1)])
      #expect(outcome.baseOffset == 0)
      let records = try store.log().read(from: Offset(0), maxBytes: 1)
      #expect(records.byteCount > Limits.requestBytesMax)
    }
  }

  @Test("a segment whose roll fails again and again does not grow past the bound of its file")
  func boundWhileRollsFail() throws {
    func bound(_ options: inout StoreOptions) {
      options.segmentFileBytesMax = 400 << 10
      options.checkpointBytes = 64 << 10
    }
    try withStore(bound) { store in
      try store.create()
      try store.append(["first"])
      // Where the drafts of successors would be written.
      for offset in 1...200 {
        let digits = String(offset)
        let name = String(repeating: "0", count: 20 - digits.count) + digits
        mkdir("\(store.partitionDirectory())/\(name).db.tmp", 0o700)
      }
      var refused: Int?
      for index in 0..<100 where refused == nil {
        if try store.append([String(repeating: "x", count: 10_000)]).error != nil { refused = index }
      }
      #expect(refused != nil)
      var status = stat()
      stat(store.partitionDirectory() + "/00000000000000000000.db", &status)
      #expect(status.st_size <= 400 << 10)
    }
  }

  @Test("what fails is tried again soon, then twice as late each time, and never later than the longest delay")
  func retryDelay() {
    var retry = RetryDelay(firstMilliseconds: 100, longestMilliseconds: 350)
    #expect(retry.isDue(at: 0))
    for delay in [100, 200, 350, 350] as [Int64] {
      retry.noteFailure(at: 0)
      #expect(!retry.isDue(at: delay * 1_000_000 - 1) && retry.isDue(at: delay * 1_000_000))
    }
    retry.reset()
    #expect(retry.isDue(at: 0))
  }

  @Test("work on a partition that somebody waits for overtakes a pass of retention over all of them")
  func overtaking() throws {
    try withStore { store in
      for partition in 0..<40 { try store.create(Int32(partition)) }
      try store.reopen(attaching: Array(0..<40))
      let gate = Gate()
      store.store.shared.lanes[0].submit { _ in
        gate.wait()
      } orElse: {
      }
      store.store.enforceRetention(now: store.clock.now)
      let inbox = Inbox()
      store.log(39).loadSegments { _ in inbox.appendsCompleted([]) }
      let loadedFirst = Mutex<Int?>(nil)
      @Sendable func isLoaded(_ log: PartitionLog) -> Bool { log.shared.withLock { $0.isLoaded } }
      let logs = (0..<39).map { store.log(Int32($0)) }
      store.store.shared.lanes[0].submit { _ in
        let loaded = logs.count(where: isLoaded)
        loadedFirst.withLock { $0 = loaded }
      } orElse: {
      }
      gate.open()
      #expect(eventually { loadedFirst.withLock { $0 != nil } })
      #expect(loadedFirst.withLock { $0! } < 5)
      #expect(eventually { logs.allSatisfy(isLoaded) })
    }
  }
}
