import Glibc
import Model
import Storage
import TestSupport
import Testing

@Suite("Read ahead") struct ReadAheadTests {
  private static let count: Int64 = 300

  /// A log that no memory holds, of batches of one record of 1 KB.
  private func withLog(
    _ change: (inout StoreOptions) -> Void = { _ in }, _ body: (TestStore, PartitionLog) throws -> Void
  ) throws {
    try withStore {
      $0.logTailBytesMax = 0
      change(&$0)
    } _: { store in
      let log = try store.create { $0.segmentBytes = 100_000 }
      for index in 0..<Self.count { try store.append(["\(index) " + String(repeating: "x", count: 1000)]) }
      try body(store, log)
    }
  }

  private func memory(_ log: PartitionLog, from offset: Offset, maxBytes: Int = 20_000) -> FetchedRecords? {
    if case .batches(let records) = log.readTail(from: offset, maxBytes: maxBytes) { records } else { nil }
  }

  @Test("gives whoever reads on the next piece from memory, whole and in order to the end")
  func readsOn() throws {
    try withLog { store, log in
      var position = Offset(0)
      var offsets: [Int64] = []
      var reads = 0
      while position.rawValue < Self.count {
        var kept: FetchedRecords?
        // The first read says nothing, the second that somebody reads on.
        if reads >= 2 {
          #expect(
            eventually {
              kept = memory(log, from: position)
              return kept != nil
            })
        }
        reads += 1
        let records = try kept ?? log.read(from: position, maxBytes: 20_000)
        #expect(records.firstOffset == position && records.byteCount <= 20_000)
        offsets += try store.decode(records).map(\.offset)
        position = records.nextOffset
      }
      #expect(offsets == Array(0..<Self.count))
      #expect(reads >= 10)
    }
  }

  @Test("keeps the places of several readers apart")
  func twoReaders() throws {
    try withLog { store, log in
      var positions = [Offset(0), Offset(100)]
      var offsets: [[Int64]] = [[], []]
      for _ in 0..<8 {
        for reader in 0..<2 {
          let kept = memory(log, from: positions[reader], maxBytes: 5000)
          let records = try kept ?? log.read(from: positions[reader], maxBytes: 5000)
          offsets[reader] += try store.decode(records).map(\.offset)
          positions[reader] = records.nextOffset
        }
      }
      #expect(offsets[0] == Array(0..<Int64(offsets[0].count)) && offsets[0].count >= 8)
      #expect(offsets[1] == Array(100..<100 + Int64(offsets[1].count)) && offsets[1].count >= 8)
    }
  }

  @Test("gives nothing that DeleteRecords or a deletion took")
  func nothingThatIsGone() throws {
    try withLog { store, log in
      let first = try log.read(from: Offset(0), maxBytes: 20_000)
      let second = try log.read(from: first.nextOffset, maxBytes: 20_000)
      let next = second.nextOffset
      usleep(100_000)
      let handoff = Handoff<Result<Offset, StorageError>>()
      store.store.deleteRecords(in: log.topicPartition, before: Offset(Self.count)) { handoff.give($0) }
      #expect(try handoff.take().get() == Offset(Self.count))
      #expect(memory(log, from: next) == nil)
      #expect(throws: StorageError.self) { try log.read(from: next, maxBytes: 20_000) }
    }
  }

  @Test("takes no more memory than it may")
  func bounded() throws {
    try withLog {
      $0.readAheadBytesMax = 10_000
    } _: { _, log in
      var position = Offset(0)
      for _ in 0..<6 {
        #expect(memory(log, from: position) == nil)
        position = try log.read(from: position, maxBytes: 20_000).nextOffset
        usleep(20_000)
      }
    }
  }
}
