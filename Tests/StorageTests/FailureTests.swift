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

  /// Puts a pipe where the node's own descriptor of a -wal is: its next fdatasync fails.
  private func breakSync(of path: String) throws {
    var ends: [CInt] = [0, 0]
    pipe(&ends)
    let noFollow = 0o400000  // SQLite opens its own with O_NOFOLLOW
    for name in try directoryEntries("/proc/self/fd") {
      var target = [UInt8](repeating: 0, count: 512)
      let count = readlink("/proc/self/fd/\(name)", &target, target.count)
      guard count > 0, String(decoding: target[..<count], as: UTF8.self) == path else { continue }
      let descriptor = CInt(name)!
      if fcntl(descriptor, F_GETFL) & CInt(noFollow) == 0 { dup2(ends[1], descriptor) }
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
      node.setCheckpointOnClose(true)
      node.close()
      try store.begin(attaching: [0], epoch: 1)
      #expect(try store.readAll().map(\.value) == ["0", "1", "2"])
      #expect(try store.append(["new"]).baseOffset == 3)
      #expect(!fileExists(mark))
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
