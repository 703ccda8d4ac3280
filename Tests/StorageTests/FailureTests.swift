import Glibc
import Model
import Records
import SQLite
import Storage
import TestSupport
import Testing

/// A small file system of its own, where the tests may mount one.
enum SmallDisk {
  static let isAvailable: Bool = (try? withTemporaryDirectory { try mounted(at: $0, bytes: 1 << 20) {} }) != nil

  static func mounted<R>(at path: String, bytes: Int, _ body: () throws -> R) throws -> R {
    guard mount("tmpfs", path, "tmpfs", 0, "size=\(bytes)") == 0 else {
      throw SystemCallError(call: "mount", number: errno)
    }
    defer { umount2(path, 2) }  // MNT_DETACH
    return try body()
  }
}

@Suite("Failures") struct FailureTests {
  @Test(
    "a full disk refuses appends, loses nothing that was acknowledged, lets retention work, and is served again",
    .enabled(if: SmallDisk.isAvailable))
  func fullDisk() throws {
    try withTemporaryDirectory { disk in
      try SmallDisk.mounted(at: disk, bytes: 6 << 20) {
        let store = try TestStore(disk) {
          $0.reserveBytes = 512 << 10
          $0.checkpointBytes = 256 << 10
          $0.groupCommitBytesMax = 128 << 10
        }
        var configuration = TopicConfiguration()
        configuration.segmentBytes = 500_000
        try store.create { $0 = configuration }
        usleep(50_000)  // for the reserve
        var acknowledged: [Int64] = []
        var refused: AppendOutcome?
        for index in 0..<1000 where refused == nil {
          let outcome = try store.append(["\(index)", String(repeating: "x", count: 20_000)])
          if let base = outcome.baseOffset { acknowledged += [base, base + 1] } else { refused = outcome }
        }
        #expect(refused?.error == .kafkaStorageError)
        #expect(acknowledged.count > 100)
        #expect(try store.readAll().map(\.offset) == acknowledged)
        configuration.retentionBytes = 1_000_000
        store.store.setConfiguration(configuration, for: "plays")
        store.store.enforceRetention(now: store.clock.now)
        #expect(eventually { store.log().offsets!.logStartOffset > Offset(0) })
        var next: Int64?
        #expect(
          try eventually {
            next = try store.append(["again"]).baseOffset
            return next != nil
          })
        #expect(next == Int64(acknowledged.count))
        try store.reopen(configuration)
        let left = try store.readAll()
        #expect(left.last?.value == "again" && left.first!.offset == store.log().offsets!.logStartOffset.rawValue)
        try store.store.close()
      }
    }
  }

  /// Puts a pipe where descriptors of a -wal are, the node's own or those of SQLite: their next fdatasync fails.
  func breakSync(of path: String, ofSQLite: Bool = false) throws {
    var ends: [CInt] = [0, 0]
    pipe(&ends)
    let noFollow = 0o400000  // SQLite opens its own with O_NOFOLLOW
    for name in try directoryEntries("/proc/self/fd") {
      var target = [UInt8](repeating: 0, count: 512)
      let count = readlink("/proc/self/fd/\(name)", &target, target.count)
      guard count > 0, String(decoding: target[..<count], as: UTF8.self) == path else { continue }
      let descriptor = CInt(name)!
      if (fcntl(descriptor, F_GETFL) & CInt(noFollow) != 0) == ofSQLite { dup2(ends[1], descriptor) }
    }
    close(ends[0])
    close(ends[1])
  }

  @Test("a failed sync fences its partition alone, answers an error, and the partition is rebuilt from what was durable")
  func failedSync() throws {
    try withStore { store in
      try store.create(0)
      try store.create(1)
      for index in 0..<5 {
        try store.append(["\(index)"], 0) {
          $0.producerID = 9
          $0.producerEpoch = 0
          $0.baseSequence = Int32(index)
        }
      }
      try store.append(["other"], 1)
      let path = store.partitionDirectory(0) + "/00000000000000000000.db"
      try breakSync(of: path + "-wal")
      let inbox = Inbox()
      let requests = try [store.request(["lost"], 0, inbox: inbox), store.request(["kept"], 1, inbox: inbox)]
      store.store.append(requests)
      inbox.wait(for: 2)
      #expect(requests[0].outcome.error == .kafkaStorageError)
      #expect(requests[1].outcome.baseOffset == 1)
      var offset: Int64?
      #expect(
        try eventually {
          offset = try store.append(["after"], 0).baseOffset
          return offset != nil
        })
      #expect(offset == 5)
      #expect(try store.readAll(0).map(\.value) == ["0", "1", "2", "3", "4", "after"])
      #expect(try eventually { try store.segmentNames(0) == ["00000000000000000000.1.db"] })
      #expect(!fileExists(store.partitionDirectory(0) + "/fenced"))
      let duplicate = try store.append(["4"], 0) {
        $0.producerID = 9
        $0.producerEpoch = 0
        $0.baseSequence = 4
      }
      #expect(duplicate.baseOffset == 4)
      try store.reopen(attaching: [0, 1])
      #expect(try store.readAll(0).count == 6)
      #expect(try findings(store.dataDirectory).damage == [])
    }
  }

  @Test("a fence that the node did not outlive is kept: the next start takes only what was durable")
  func fenceMark() throws {
    try withStore { store in
      try store.create()
      for index in 0..<5 { try store.append(["\(index)"]) }
      try store.store.close()
      let mark = store.partitionDirectory() + "/fenced"
      let descriptor = open(mark, O_CREAT | O_WRONLY, 0o600)
      let line = Array("00000000000000000000.db 3\n".utf8)
      write(descriptor, line, line.count)
      close(descriptor)
      // As after any failure: the end was not an orderly one.
      let node = try Connection(path: store.dataDirectory + "/quire.db", mode: .readWrite)
      try node.execute("UPDATE node_state SET is_clean = 0")
      // A high watermark never passes what is durable.
      try node.execute("UPDATE partition_checkpoint SET high_watermark = 3")
      node.setCheckpointOnClose(true)
      node.close()
      try store.begin(attaching: [0], epoch: 1)
      #expect(try store.readAll().map(\.value) == ["0", "1", "2"])
      #expect(try store.append(["new"]).baseOffset == 3)
      #expect(!fileExists(mark))
    }
  }

  @Test("where the disk took no mark of a failed sync either, the next start writes anew what it finds in a WAL")
  func unmarkedFence() throws {
    try withStore({ $0.readThreadCount = 1 }) { store in
      try store.create()
      for index in 0..<3 { try store.append(["\(index)"]) }
      let gate = Gate()
      // Nobody rebuilds it before the crash.
      store.store.runScanOnReadThread { gate.wait() }
      // The mark is written under this name first.
      mkdir(store.partitionDirectory() + "/fenced.tmp", 0o700)
      try breakSync(of: store.partitionDirectory() + "/00000000000000000000.db-wal")
      #expect(try store.append(["refused"]).error == .kafkaStorageError)
      rmdir(store.partitionDirectory() + "/fenced.tmp")
      let crashed = store.directory + "/crashed"
      try copyTree(store.dataDirectory, to: crashed)
      gate.open()
      try store.store.close()
      let names = ["quire.db-wal", "topics/plays-0/00000000000000000000.db-wal"]
      for name in names { try age("\(crashed)/\(name)") }
      store.options.dataDirectory = crashed
      try store.begin(attaching: [0], epoch: 1)
      #expect(try Array(store.readAll().map(\.value).prefix(3)) == ["0", "1", "2"])
      // A sync alone says nothing after the failed one: the pages are clean for the kernel.
      for name in names { #expect(try !isOld("\(crashed)/\(name)"), "\(name) was not written again") }
      #expect(try store.append(["new"]).error == nil)
      #expect(try findings(crashed).damage == [])
    }
  }

  private func age(_ path: String) throws {
    let times = [timespec(tv_sec: 1, tv_nsec: 0), timespec(tv_sec: 1, tv_nsec: 0)]
    guard utimensat(AT_FDCWD, path, times, 0) == 0 else { throw SystemCallError(call: "utimensat", number: errno) }
  }
  private func isOld(_ path: String) throws -> Bool {
    var status = stat()
    guard stat(path, &status) == 0 else { throw SystemCallError(call: "stat", number: errno) }
    return status.st_mtim.tv_sec == 1
  }

  @Test("a segment whose last checkpoint could not be synced is copied into a new file, which the log names from then on")
  func failedSeal() throws {
    try withStore { store in
      try store.create { $0.segmentBytes = 100 }
      for index in 0..<3 { try store.append(["\(index)"]) }
      let first = store.log().offsets!.highWatermark
      // A reader keeps the segment from being sealed before its descriptors are broken.
      var snapshot: HistorySnapshot? = try store.store.snapshot(of: ["plays"])
      let active = snapshot!.partitions[0].segments.last!
      var reader: SegmentReader? = try SegmentReader(active, of: snapshot!)
      try store.append([String(repeating: "x", count: 100)])
      try store.append([String(repeating: "y", count: 100)])
      try breakSync(of: active.path + "-wal", ofSQLite: true)
      (reader, snapshot) = (nil, nil)
      _ = reader
      let copy = active.path.replacing(".db", with: ".1.db")
      #expect(eventually { fileExists(copy) && !fileExists(active.path) && !fileExists(copy + "-wal") })
      #expect(try store.readAll().count == Int(first.rawValue) + 2)
      try store.reopen()
      #expect(try store.readAll().count == Int(first.rawValue) + 2)
      #expect(try findings(store.dataDirectory).damage == [])
    }
  }

  @Test("a group that cannot be committed is rolled back whole, and the next one is not held up by it")
  func failedCommit() throws {
    try withStore { store in
      try store.create()
      try store.append(["a"])
      // Another process holds the write lock: BEGIN answers busy.
      let path = store.partitionDirectory() + "/00000000000000000000.db"
      let other = try Connection(path: path, mode: .readWrite)
      try other.execute("BEGIN IMMEDIATE")
      let inbox = Inbox()
      let requests = try (0..<3).map { try store.request(["\($0)"], inbox: inbox) }
      store.store.append(requests)
      inbox.wait(for: 3)
      #expect(requests.allSatisfy { $0.outcome.error == .kafkaStorageError })
      #expect(store.log().offsets?.logEndOffset == Offset(1))
      other.rollback()
      other.close()
      #expect(try store.append(["b"]).baseOffset == 1)
      #expect(try store.readAll().map(\.value) == ["a", "b"])
    }
  }
}
