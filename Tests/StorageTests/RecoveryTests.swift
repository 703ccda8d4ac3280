import Glibc
import Model
import Records
import SQLite
import Storage
import TestSupport
import Testing

@Suite("A store") struct RecoveryTests {
  @Test("that ended without an order has everything acknowledged, and begins a new leader epoch with its first append")
  func crash() throws {
    try withStore({ $0.checkpointBytes = 30_000 }) { store in
      try store.create { $0.segmentBytes = 3000 }
      for index in 0..<50 { try store.append(["\(index)", String(repeating: "x", count: 100)]) }
      let crashed = store.directory + "/crashed"
      try copyTree(store.dataDirectory, to: crashed)
      // What a crash in the middle of a roll and of a removal leaves.
      let directory = crashed + "/topics/plays-0"
      close(open(directory + "/00000000000000000100.db.tmp", O_CREAT | O_WRONLY, 0o600))
      try store.store.close()
      store.options.dataDirectory = crashed
      try store.begin(attaching: [0], epoch: 1)
      #expect(!store.store.closedCleanly)
      #expect(store.log().offsets == nil)
      #expect(try store.readAll().map(\.offset) == Array(0..<100))
      #expect(!fileExists(directory + "/00000000000000000100.db.tmp"))
      #expect(try store.append(["after"]).baseOffset == 100)
      #expect(try store.log().epochEnd(LeaderEpoch(0))?.endOffset == Offset(100))
      #expect(try store.log().epoch(of: Offset(100)) == LeaderEpoch(1))
      let report = try findings(crashed)
      #expect(report.damage == [] && report.summary.records == 101)
    }
  }

  @Test(
    "whose newest files were taken away gives no acknowledged offset out again, and the gap stays to be seen",
    arguments: [false, true])
  func lostFiles(isWholeSegment: Bool) throws {
    try withStore { store in
      try store.create { $0.segmentBytes = 1_500 }
      for index in 0..<20 { try store.append(["\(index)", String(repeating: "x", count: 100)]) }
      let crashed = store.directory + "/crashed"
      if isWholeSegment {
        try store.store.close()
      } else {
        // Until the high watermark is in the node's database.
        usleep(200_000)
      }
      try copyTree(store.dataDirectory, to: crashed)
      if !isWholeSegment { try store.store.close() }
      let files = try directoryEntries(crashed + "/topics/plays-0").filter { $0.hasSuffix(".db") }.sorted()
      #expect(files.count > 2)
      let newest = "\(crashed)/topics/plays-0/\(files[files.count - 1])"
      if isWholeSegment { unlink(newest) }
      unlink(newest + "-wal")
      unlink(newest + "-shm")
      store.options.dataDirectory = crashed
      try store.begin(attaching: [0], epoch: 1)
      // Whoever looks first: here an append.
      #expect(try store.append(["after"]).baseOffset == 40)
      #expect(store.log().offsets?.highWatermark == Offset(41))
      #expect(try store.readAll(from: 40).map(\.value) == ["after"])
      let end = try #require(Int64(files[files.count - 1].dropLast(3)))
      #expect(throws: StorageError.self) { try store.log().read(from: Offset(isWholeSegment ? end : 39), maxBytes: 1_000) }
      try store.store.close()
      let report = try findings(crashed)
      #expect(!report.damage.isEmpty, "the doctor sees what is missing, in later lives too")
      try store.begin(attaching: [0], epoch: 2)
      #expect(try store.append(["once more"]).baseOffset == 41)
    }
  }

  @Test("that was closed in order knows its offsets without opening a segment")
  func cleanClose() throws {
    try withStore { store in
      try store.create()
      try store.append(["a", "b"])
      try store.reopen()
      #expect(store.store.closedCleanly)
      #expect(store.log().offsets?.highWatermark == Offset(2))
      #expect(try directoryEntries(store.partitionDirectory()) == ["00000000000000000000.db"])
      #expect(try store.readAll().map(\.value) == ["a", "b"])
    }
  }

  @Test("has its directory to itself, and says who has it")
  func secondOpener() throws {
    try withStore { store in
      let error = #expect(throws: StorageError.self) { try TestStore(store.directory) }
      #expect(error.map { "\($0)".contains("in use by process \(getpid())") } == true)
    }
  }

  @Test("of a newer program is refused, naming file and version; nothing is changed")
  func newer() throws {
    try withStore { store in
      try store.create()
      try store.store.close()
      let path = store.dataDirectory + "/quire.db"
      let connection = try Connection(path: path, mode: .readWrite)
      try connection.execute("PRAGMA user_version = 99")
      connection.setCheckpointOnClose(true)
      connection.close()
      let error = #expect(throws: StorageError.self) { try store.begin(attaching: [0]) }
      #expect(error.map { "\($0)".contains(path) && "\($0)".contains("99") } == true)
    }
  }

  @Test("keeps a topic whose name looks like that of a deleted directory, and removes what a crash left of a deletion")
  func deletedNames() throws {
    try withStore { store in
      let name = TopicPartition(topic: "old.deleted-box", partition: 0)
      try store.store.createPartition(name, topicID: TestStore.topicID, leaderEpoch: .zero, configuration: .init())
      #expect(throws: StorageError.self) {
        try store.store.createPartition(name, topicID: TestStore.topicID, leaderEpoch: .zero, configuration: .init())
      }
      let long = TopicPartition(topic: String(repeating: "n", count: TopicName.lengthMax), partition: 0)
      try store.store.createPartition(long, topicID: TestStore.topicID, leaderEpoch: .zero, configuration: .init())
      try store.store.deletePartition(long, topicID: TestStore.topicID)
      mkdir(store.dataDirectory + "/topics/~deleted-1abc", 0o700)
      try store.reopen(attaching: [])
      #expect(try directoryEntries(store.dataDirectory + "/topics") == ["old.deleted-box-0"])
      // Not of our making, and no reason not to start.
      mkdir(store.dataDirectory + "/topics/~deleted-1abc", 0o700)
      mkdir(store.dataDirectory + "/topics/~deleted-1abc/lost+found", 0o700)
      try store.reopen(attaching: [])
      #expect(try directoryEntries(store.dataDirectory + "/topics").count == 2)
    }
  }

  @Test("never removes the log of a topic that it was not told to delete")
  func othersLogs() throws {
    try withStore { store in
      try store.create()
      try store.append(["a"])
      try store.reopen(attaching: [])
      let other = TopicID(high: 1, low: 1)
      let error = #expect(throws: StorageError.self) {
        try store.store.createPartition(TestStore.name(), topicID: other, leaderEpoch: .zero, configuration: .init())
      }
      #expect(error.map { "\($0)".contains(store.partitionDirectory()) && "\($0)".contains("\(TestStore.topicID)") } == true)
      try store.store.deletePartition(TestStore.name(), topicID: other)
      try store.reopen()
      #expect(try store.readAll().map(\.value) == ["a"])
      try store.store.deletePartition(TestStore.name(), topicID: TestStore.topicID)
      #expect(!fileExists(store.partitionDirectory()))
      // What a creation leaves that was killed before its segment had a name.
      mkdir(store.partitionDirectory(), 0o700)
      close(open(store.partitionDirectory() + "/00000000000000000000.db.tmp", O_CREAT | O_WRONLY, 0o600))
      try store.create()
    }
  }

  @Test("removes a -wal whose database is gone before another file gets the name")
  func strayWAL() throws {
    try withStore { store in
      try store.create { $0.segmentBytes = 150 }
      try store.append(["a"])
      let directory = store.partitionDirectory()
      try copyFile(directory + "/00000000000000000000.db-wal", directory + "/00000000000000000001.db-wal")
      try store.append([String(repeating: "b", count: 100)])
      #expect(try store.segmentNames() == ["00000000000000000000.db", "00000000000000000001.db"])
      #expect(try store.append(["c"]).baseOffset == 2)
      #expect(try store.readAll().count == 3)
      #expect(try findings(store.dataDirectory).summary.records == 3)
    }
  }

  @Test("never gives a producer id twice")
  func producerIDs() throws {
    try withStore { store in
      let first = try (0..<3).flatMap { _ in Array(try store.store.node.takeProducerIDs(count: 2)) }
      try store.reopen(attaching: [])
      let second = try (0..<3).flatMap { _ in Array(try store.store.node.takeProducerIDs(count: 2)) }
      #expect(Set(first + second).count == 12)
    }
  }

  @Test("with a segment of another partition refuses that partition and serves the others")
  func foreignSegment() throws {
    try withStore { store in
      try store.create(0)
      try store.create(1)
      try store.append(["a"], 0)
      try store.append(["b"], 1)
      try store.store.close()
      let (own, other) = (store.partitionDirectory(0), store.partitionDirectory(1))
      rename(own + "/00000000000000000000.db", store.directory + "/kept.db")
      rename(other + "/00000000000000000000.db", own + "/00000000000000000000.db")
      rename(store.directory + "/kept.db", other + "/00000000000000000000.db")
      try store.begin(attaching: [0, 1])
      #expect(try store.append(["x"], 0).error == .kafkaStorageError)
      #expect(throws: StorageError.self) { try store.readAll(1) }
      try store.create(2)
      #expect(try store.append(["c"], 2).baseOffset == 0)
    }
  }

  @Test("can be read beside, up to the high watermark it wrote down", arguments: [true, false])
  func offline(isRunning: Bool) throws {
    try withStore { store in
      try store.create { $0.segmentBytes = 400 }
      try store.store.node.perform { connection throws(SQLiteError) in
        let topic = try connection.prepare("INSERT INTO topic VALUES (?, 'plays', 0)")
        topic.bind(TestStore.topicID.bytes, at: 1)
        try topic.run()
        let partition = try connection.prepare("INSERT INTO partition VALUES (?, 0, 0)")
        partition.bind(TestStore.topicID.bytes, at: 1)
        try partition.run()
      }
      for index in 0..<20 { try store.append(["\(index)"]) }
      if !isRunning { try store.store.close() }
      var snapshot: HistorySnapshot?
      #expect(
        try eventually {
          snapshot = try OfflineStore(dataDirectory: store.dataDirectory).snapshot(of: nil)
          return snapshot?.partitions.first?.highWatermark == Offset(20)
        })
      var offsets: [Int64] = []
      for segment in snapshot?.partitions.first?.segments ?? [] {
        let reader = try SegmentReader(segment, of: snapshot!)
        try reader.seek(offsets: 0...Int64.max, timestamps: Int64.min...Int64.max, isDescending: false)
        while let row = try reader.next() { offsets.append(row.baseOffset) }
      }
      #expect(offsets == Array(0..<20))
      #expect(try findings(store.dataDirectory).damage == [])
      if isRunning { #expect(try store.append(["more"]).baseOffset == 20) }
    }
  }
}
