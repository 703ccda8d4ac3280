import Model
import NIOCore
import Records
import SQLite
import Storage
import Synchronization
import TestSupport
import Testing

@Suite("Appends") struct AppendTests {
  @Test("are given dense offsets, and come back byte for byte from the tail and from the disk")
  func roundTrip() throws {
    try withStore { store in
      let log = try store.create()
      #expect(try store.append(["a", "b"]).baseOffset == 0)
      #expect(try store.append(["c"]).baseOffset == 2)
      let offsets = try #require(log.offsets)
      #expect(offsets.logStartOffset == Offset(0) && offsets.highWatermark == Offset(3) && offsets.logEndOffset == Offset(3))
      guard case .batches(let tail) = log.readTail(from: Offset(1), maxBytes: 1 << 20) else {
        Issue.record("nothing in the tail")
        return
      }
      #expect(tail.firstOffset == Offset(0) && tail.nextOffset == Offset(3))
      #expect(try store.decode(tail).map(\.value) == ["a", "b", "c"])
      let cold = try log.read(from: Offset(1), maxBytes: 1 << 20)
      #expect(cold.firstOffset == Offset(0) && cold.nextOffset == Offset(3))
      let joined = tail.chunks.reduce(into: ByteBuffer()) { $0.writeImmutableBuffer($1) }
      #expect(cold.chunks == [joined])
      guard case .atEnd = log.readTail(from: Offset(3), maxBytes: 1) else {
        Issue.record("the end is not the end")
        return
      }
    }
  }

  @Test("stop at maxBytes, but for the first batch, which is whole")
  func maxBytes() throws {
    try withStore { store in
      let log = try store.create()
      for index in 0..<5 { try store.append([String(repeating: "x", count: 1000) + "\(index)"]) }
      for records in [
        try log.read(from: Offset(1), maxBytes: 1),
        try #require({ if case .batches(let found) = log.readTail(from: Offset(1), maxBytes: 1) { found } else { nil } }()),
      ] {
        #expect(records.firstOffset == Offset(1) && records.nextOffset == Offset(2))
      }
      #expect(try log.read(from: Offset(1), maxBytes: 1, wholeFirstBatch: false).chunks.isEmpty)
      #expect(try log.read(from: Offset(0), maxBytes: 2500).nextOffset == Offset(2))
      #expect(throws: StorageError.self) { try log.read(from: Offset(6), maxBytes: 1) }
      #expect(try log.read(from: Offset(5), maxBytes: 1).byteCount == 0)
    }
  }

  @Test("of many partitions are committed together, bounded in bytes, and told once for each group")
  func groups() throws {
    try withStore({ $0.groupCommitBytesMax = 40_000 }) { store in
      for partition in 0..<8 { try store.create(Int32(partition)) }
      let moved = Mutex<[Int]>([])
      store.store.setHighWatermarkObserver { logs in moved.withLock { $0.append(logs.count) } }
      let inbox = Inbox()
      let requests = try (0..<400).map { index in
        try store.request([String(repeating: "y", count: 900)], Int32(index % 8), inbox: inbox)
      }
      store.store.append(requests)
      inbox.wait(for: 400)
      #expect(inbox.groups.reduce(0, +) == 400)
      #expect(inbox.groups.allSatisfy { $0 <= 44 } && inbox.groups.count >= 9)
      #expect(moved.withLock { $0.count } == inbox.groups.count)
      for partition in 0..<8 {
        let own = requests.filter { $0.partition.topicPartition.partition == partition }
        #expect(own.compactMap(\.outcome.baseOffset) == Array(0..<50))
        #expect(try store.readAll(Int32(partition)).count == 50)
      }
    }
  }

  @Test("carry the leader epoch and the offsets inside their bytes")
  func patched() throws {
    try withStore { store in
      try store.create()
      try store.append(["a"])
      try store.reopen(epoch: 4)
      try store.append(["b"])
      let records = try store.log().read(from: Offset(1), maxBytes: 1)
      let header = try records.chunks[0].withUnsafeReadableBytes { try BatchHeader($0) }
      #expect(header.baseOffset == 1 && header.partitionLeaderEpoch == 4)
      #expect(try store.log().epochEnd(LeaderEpoch(0))?.endOffset == Offset(1))
      #expect(try store.log().epochEnd(LeaderEpoch(2))?.epoch == LeaderEpoch(0))
      #expect(try store.log().epochEnd(LeaderEpoch(4))?.endOffset == Offset(2))
      #expect(try store.log().epochEnd(LeaderEpoch(5)) == nil)
      #expect(try store.log().epoch(of: Offset(0)) == LeaderEpoch(0))
      #expect(try store.log().epoch(of: Offset(1)) == LeaderEpoch(4))
    }
  }

  @Test("under LogAppendTime answer the time of the append")
  func logAppendTime() throws {
    try withStore { store in
      try store.create { $0.timestampType = .logAppendTime }
      let outcome = try store.append(["a"], timestamps: [5])
      guard case .appended(_, let time, _) = outcome else {
        Issue.record("\(outcome)")
        return
      }
      #expect(time == store.clock.now)
      #expect(try store.readAll().map(\.timestamp) == [store.clock.now])
    }
  }

  @Test("keep small batches from pinning large receive buffers, and the tail within its bound")
  func tailBound() throws {
    try withStore({
      $0.logTailBytesPerPartitionMax = 10_000
      $0.logTailBytesMax = 25_000
    }) { store in
      for partition in 0..<4 { try store.create(Int32(partition)) }
      for partition in 0..<4 {
        for _ in 0..<20 { try store.append([String(repeating: "z", count: 1000)], Int32(partition)) }
      }
      func isInMemory(_ partition: Int32, _ offset: Int64) -> Bool {
        if case .batches = store.log(partition).readTail(from: Offset(offset), maxBytes: 1) { true } else { false }
      }
      #expect(!isInMemory(3, 0) && isInMemory(3, 19) && isInMemory(3, 12))
      #expect(!isInMemory(0, 19), "the partition appended to longest ago gives first")
    }
  }

  @Test("to a missing or deleted partition are refused")
  func deleted() throws {
    try withStore { store in
      let log = try store.create()
      try store.append(["a"])
      try store.store.deletePartition(TestStore.name(), topicID: TestStore.topicID)
      #expect(store.store.partition(TestStore.name()) == nil)
      #expect(!fileExists(store.partitionDirectory()))
      let inbox = Inbox()
      try store.create(1)
      let request = try store.request(["b"], 1, inbox: inbox)
      let stale = AppendRequest(
        partition: log, records: request.records, batches: request.batches, requiredAcks: 1, receiver: inbox, context: nil)
      store.store.append([stale])
      inbox.wait(for: 1)
      #expect(stale.outcome.error == .unknownTopicOrPartition)
      try store.create()
      #expect(try store.append(["new"]).baseOffset == 0)
    }
  }

  @Test("of several megabytes at once go into the WAL once, in few large writes")
  func largeGroup() throws {
    try withStore { store in
      try store.create()
      let inbox = Inbox()
      let requests = try (0..<3).map { _ in
        try store.request([String(repeating: "x", count: 1_000_000)], inbox: inbox)
      }
      let before = try systemCalls("syscw")
      store.store.append(requests)
      inbox.wait(for: 3)
      // 3 MB in pieces of 128 KiB, and what is written of the state. SQLite's cache is smaller: had it spilled, it would have written
      // the header of each frame once more.
      #expect(try systemCalls("syscw") - before < 150)
      #expect(try store.readAll().count == 3)
    }
  }
}
