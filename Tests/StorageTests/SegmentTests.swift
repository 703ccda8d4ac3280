import Glibc
import Model
import Records
import SQLite
import Storage
import TestSupport
import Testing

/// One value from a lane to the test.
final class Handoff<Value: Sendable>: @unchecked Sendable {
  // Safe because: the semaphore orders the one write before the one read.
  private var value: Value?
  private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
  init() { sem_init(semaphore, 0, 0) }
  func give(_ value: Value) {
    self.value = value
    sem_post(semaphore)
  }
  func take() -> Value {
    sem_wait(semaphore)
    return value!
  }
}

@Suite("Segments") struct SegmentTests {
  private func sealedCount(_ store: TestStore) throws -> Int64 {
    let active = try #require(try store.segmentNames().last)
    let connection = try Connection(path: "\(store.partitionDirectory())/\(active)", mode: .readOnly)
    return try connection.integer("SELECT count(*) FROM segment WHERE length(file_hash) = 8") ?? 0
  }

  @Test("roll by size, are sealed without a WAL, and stay readable across restarts")
  func rollAndSeal() throws {
    try withStore { store in
      try store.create { $0.segmentBytes = 1000 }
      for index in 0..<40 { try store.append([String(repeating: "x", count: 100) + "\(index)"]) }
      let names = try store.segmentNames()
      #expect(names.count >= 5 && names.first == "00000000000000000000.db")
      #expect(try eventually { try sealedCount(store) == Int64(names.count - 1) })
      for name in names.dropLast() { #expect(!fileExists("\(store.partitionDirectory())/\(name)-wal")) }
      #expect(try store.readAll().map(\.offset) == Array(0..<40))
      #expect(try store.readAll(maxBytes: 1).count == 40)
      try store.reopen()
      #expect(try store.readAll(from: 7).map(\.offset) == Array(7..<40))
      #expect(try store.append(["more"]).baseOffset == 40)
    }
  }

  @Test("roll by age, counted from the first append")
  func rollByAge() throws {
    try withStore { store in
      try store.create { $0.segmentMilliseconds = 1000 }
      store.clock.now += 5000
      try store.append(["a"])
      store.clock.now += 999
      try store.append(["b"])
      #expect(try store.segmentNames().count == 1)
      store.clock.now += 1
      try store.append(["c"])
      #expect(try store.segmentNames() == ["00000000000000000000.db", "00000000000000000002.db"])
    }
  }

  @Test("that an idle partition keeps roll too, so that retention by time empties it; its offsets go on")
  func retentionByTime() throws {
    try withStore { store in
      try store.create { $0.retentionMilliseconds = 10_000 }
      for index in 0..<5 { try store.append(["\(index)"]) }
      store.store.enforceRetention(now: store.clock.now + 9_000)
      try store.append(["5"])
      #expect(try store.readAll().count == 6)
      store.store.enforceRetention(now: store.clock.now + 11_000)
      #expect(eventually { store.log().offsets?.logStartOffset == Offset(6) })
      #expect(try eventually { try store.segmentNames() == ["00000000000000000006.db"] })
      #expect(try store.append(["6"]).baseOffset == 6)
      try store.reopen()
      let offsets = try store.log().loadNow()
      #expect(offsets.logStartOffset == Offset(6) && offsets.logEndOffset == Offset(7))
    }
  }

  @Test("over retention.bytes go, oldest first")
  func retentionBySize() throws {
    try withStore { store in
      try store.create {
        $0.segmentBytes = 1000
        $0.retentionBytes = 2500
      }
      for _ in 0..<40 { try store.append([String(repeating: "x", count: 100)]) }
      store.store.enforceRetention(now: store.clock.now)
      #expect(eventually { store.log().offsets!.logStartOffset > Offset(0) })
      let size = try store.log().sizeInBytes()
      #expect(size >= 2500 && size < 3700)
      let found = try store.readAll()
      #expect(found.first?.offset == store.log().offsets?.logStartOffset.rawValue && found.last?.offset == 39)
      #expect(throws: StorageError.self) { try store.log().read(from: Offset(0), maxBytes: 1) }
    }
  }

  @Test("below a log start that was raised are removed; a start inside a batch is exact")
  func deleteRecords() throws {
    try withStore { store in
      try store.create { $0.segmentBytes = 500 }
      for index in 0..<10 { try store.append(["\(index)a", "\(index)b", "\(index)c"]) }
      func delete(_ offset: Int64) throws -> Int64 {
        let done = Handoff<Result<Offset, StorageError>>()
        store.store.deleteRecords(in: TestStore.name(), before: Offset(offset)) { done.give($0) }
        return try done.take().get().rawValue
      }
      #expect(try delete(16) == 16)
      #expect(try delete(3) == 16, "the log start never goes back")
      #expect(throws: StorageError.self) { try delete(31) }
      #expect(try store.readAll().map(\.offset) == Array(16..<30))
      #expect(try eventually { try store.segmentNames().first! > "00000000000000000005.db" })
      #expect(try delete(-1) == 30)
      try store.reopen()
      #expect(try store.log().loadNow().logStartOffset == Offset(30))
      #expect(try store.append(["next"]).baseOffset == 30)
    }
  }

  @Test("that a snapshot pins are unlinked only after it")
  func pins() throws {
    try withStore { store in
      try store.create { $0.segmentBytes = 500 }
      for index in 0..<10 { try store.append(["\(index)", String(repeating: "x", count: 200)]) }
      let before = try store.segmentNames()
      var snapshot: HistorySnapshot? = try store.store.snapshot(of: nil)
      let done = Handoff<Result<Offset, StorageError>>()
      store.store.deleteRecords(in: TestStore.name(), before: Offset(-1)) { done.give($0) }
      _ = try done.take().get()
      usleep(300_000)
      #expect(try store.segmentNames() == before)
      let reader = try SegmentReader(try #require(snapshot?.partitions.first?.segments.first), of: snapshot!)
      try reader.seek(offsets: 0...100, timestamps: 0...Int64.max, isDescending: false)
      #expect(try reader.next() != nil)
      snapshot = nil
    }
  }

  @Test("are rolled when a reader keeps the WAL from starting over past its bound")
  func walBound() throws {
    try withStore({
      $0.checkpointBytes = 50_000
      $0.walBytesMax = 200_000
    }) { store in
      try store.create()
      try store.append(["first"])
      let reader = try Connection(path: "\(store.partitionDirectory())/00000000000000000000.db", mode: .readOnly)
      let select = try reader.prepare("SELECT base_offset FROM record_batch")
      #expect(try select.step())
      for _ in 0..<30 { try store.append([String(repeating: "x", count: 20_000)]) }
      #expect(try store.segmentNames().count >= 2)
      #expect(try store.readAll().count == 31)
      select.reset()
    }
  }

  @Test("open at once stay within the bound, with every partition in use")
  func lru() throws {
    try withStore({ $0.openDatabasesMax = 16 }) { store in
      for partition in 0..<60 { try store.create(Int32(partition)) }
      for round in 0..<3 {
        let inbox = Inbox()
        let requests = try (0..<60).map { try store.request(["\(round)"], Int32($0), inbox: inbox) }
        store.store.append(requests)
        inbox.wait(for: 60)
        #expect(requests.allSatisfy { $0.outcome.baseOffset == Int64(round) })
      }
      let idle = try (0..<60).filter { try directoryEntries(store.partitionDirectory(Int32($0))).count == 1 }
      #expect(idle.count >= 48, "an idle partition is one file")
      for partition in 0..<60 { #expect(try store.readAll(Int32(partition)).count == 3) }
      let descriptors = try directoryEntries("/proc/self/fd").compactMap { name -> String? in
        var target = [UInt8](repeating: 0, count: 512)
        let count = readlink("/proc/self/fd/\(name)", &target, target.count)
        return count > 0 ? String(decoding: target[..<count], as: UTF8.self) : nil
      }
      // SQLite keeps the descriptor of a closed reader for the next one while the same file has a writer: paths are counted.
      let databases = Set(descriptors.filter { $0.hasPrefix(store.dataDirectory + "/topics") && $0.hasSuffix(".db") })
      #expect(databases.count <= 16 + store.options.readThreadCount)
    }
  }
}
