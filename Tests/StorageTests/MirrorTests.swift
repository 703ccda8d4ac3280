import Glibc
import Model
import NIOCore
import Records
import Storage
import Synchronization
import TestSupport
import Testing

@Suite("Logs of mirrors") struct MirrorTests {
  private func mirror(_ store: TestStore, segmentBytes: Int64 = 1 << 20) throws {
    try store.create {
      $0.mirrorSource = "cluster/plays/id"
      $0.segmentBytes = segmentBytes
    }
  }

  private func batch(_ offset: Int64, _ values: [String], _ change: (inout BatchBuilder) -> Void = { _ in }) throws
    -> ByteBuffer
  {
    var builder = BatchBuilder(compression: .lz4, baseOffset: Offset(offset))
    change(&builder)
    for value in values { builder.append(key: nil, value: ByteBuffer(string: value), timestamp: 1_000 + offset) }
    return try builder.build()
  }

  private func joined(_ parts: ByteBuffer...) -> ByteBuffer {
    var all = ByteBuffer()
    for part in parts { all.writeImmutableBuffer(part) }
    return all
  }

  @discardableResult
  private func bring(_ store: TestStore, _ records: ByteBuffer, logStart: Int64? = nil) throws -> AppendOutcome {
    let inbox = Inbox()
    let request = AppendRequest(
      partition: store.log(), records: records, batches: try LogStretch.validate(records),
      placement: .keepingOffsets(logStartOffset: logStart.map { Offset($0) }), requiredAcks: -1, receiver: inbox, context: nil)
    store.store.append([request])
    inbox.wait(for: 1)
    return request.outcome
  }

  @discardableResult
  private func begin(_ store: TestStore, at offset: Int64) throws -> LogOffsets {
    let handoff = Handoff<Result<LogOffsets, StorageError>>()
    store.store.beginMirror(of: store.log(), at: Offset(offset)) { handoff.give($0) }
    return try handoff.take().get()
  }

  private func sound(_ store: TestStore) throws {
    try store.store.close()
    #expect(try findings(store.dataDirectory).damage.map(\.problem) == [])
  }

  @Test("begin anywhere, keep offsets, pass over what they have, and refuse what does not go on at their end")
  func offsets() throws {
    try withStore { store in
      try mirror(store)
      #expect(try begin(store, at: 1_000_003).logStartOffset == Offset(1_000_003))
      #expect(try begin(store, at: 1_000_003).logEndOffset == Offset(1_000_003))
      #expect(try store.segmentNames() == ["00000000000001000003.db"])
      let one = try batch(1_000_003, ["a", "b"])
      let two = try batch(1_000_005, ["c"])
      #expect(try bring(store, one).error == nil)
      #expect(try bring(store, joined(one, two)).error == nil)
      #expect(try bring(store, joined(one, two)).error == nil)
      #expect(try bring(store, try batch(1_000_007, ["x"])).error == .offsetOutOfRange)
      #expect(try bring(store, try batch(1_000_004, ["x", "y", "z"])).error == .offsetOutOfRange)
      #expect(try store.append(["mine"]).error == .policyViolation)
      #expect(throws: StorageError.self) { try begin(store, at: 2_000_000) }
      #expect(try store.readAll().map(\.value) == ["a", "b", "c"])
      try store.reopen(epoch: 1, store.log().configuration)
      #expect(try store.readAll().map(\.offset) == [1_000_003, 1_000_004, 1_000_005])
      #expect(try bring(store, try batch(1_000_006, ["d"])).error == nil)
      try sound(store)
    }
  }

  @Test("the log start may lie inside of the first batch, from the same commit on")
  func logStart() throws {
    try withStore { store in
      try mirror(store)
      try begin(store, at: 10)
      #expect(try bring(store, try batch(10, ["a", "b", "c"]), logStart: 12).error == nil)
      #expect(try store.log().loadNow().logStartOffset == Offset(12))
      #expect(try store.readAll().map(\.value) == ["c"])
      try store.reopen(epoch: 1, store.log().configuration)
      #expect(try store.log().loadNow().logStartOffset == Offset(12))
      #expect(try bring(store, try batch(13, ["d"]), logStart: 99).error == .offsetOutOfRange)
      try sound(store)
    }
  }

  @Test("offsets without records are read over, also where a segment has nothing else, and by time")
  func holes() throws {
    try withStore { store in
      try mirror(store, segmentBytes: 1024)
      var gap = ByteBuffer()
      EmptyBatch.write(1..<7_000_000_000, to: &gap)
      #expect(try bring(store, joined(try batch(0, ["a"]), gap)).error == nil)
      var more = ByteBuffer()
      for index in 0..<40 { EmptyBatch.write(7_000_000_000 + Int64(index)..<7_000_000_001 + Int64(index), to: &more) }
      for summary in try LogStretch.validate(more) {
        try bring(store, more.getSlice(at: summary.position, length: summary.byteCount)!)
      }
      #expect(try bring(store, try batch(7_000_000_040, ["b"])).error == nil)
      #expect(try store.segmentNames().count > 2)
      #expect(try store.readAll().map(\.offset) == [0, 7_000_000_040])
      #expect(try store.readAll(from: 5_000_000_000).map(\.value) == ["b"])
      #expect(try store.log().offset(forTimestamp: 1_001)?.offset == Offset(7_000_000_040))
      #expect(try store.log().offset(forTimestamp: 1)?.offset == Offset(0))
      #expect(try store.log().offsetOfMaxTimestamp()?.offset == Offset(7_000_000_040))
      try store.reopen(epoch: 1, store.log().configuration)
      #expect(try store.readAll().map(\.offset) == [0, 7_000_000_040])
      try sound(store)
    }
  }

  @Test("who waits at the end of a log is woken when it begins elsewhere")
  func wakes() throws {
    try withStore { store in
      try mirror(store)
      let moved = Mutex<[Int64]>([])
      store.store.setHighWatermarkObserver { logs in
        moved.withLock { $0 += logs.compactMap { $0.offsets?.highWatermark.rawValue } }
      }
      try begin(store, at: 1000)
      #expect(moved.withLock { $0 } == [1000])
      try sound(store)
    }
  }

  @Test("producers of the source are not remembered: their ids are not ours")
  func producers() throws {
    try withStore { store in
      try mirror(store)
      let sent = try batch(0, ["a"]) {
        $0.producerID = 5
        $0.producerEpoch = 0
        $0.baseSequence = 0
      }
      try bring(store, sent)
      store.store.setConfiguration(TopicConfiguration(), for: "plays")
      let mine = try store.append(["mine"]) {
        $0.producerID = 5
        $0.producerEpoch = 0
        $0.baseSequence = 0
      }
      #expect(mine.baseOffset == 1)
      #expect(try bring(store, try batch(2, ["b"])).error == .invalidRequest)
      #expect(try store.readAll().map(\.value) == ["a", "mine"])
    }
  }
}
