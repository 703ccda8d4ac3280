import Glibc
import Model
import Synchronization
import TestSupport
import Testing

@testable import Storage

private let filler = String(repeating: "f", count: 300)

/// Flips a bit of what `needle` stands in; of the last place where it stands.
private func flip(_ path: String, at needle: String) throws {
  let bytes = storedBytesByOthers(path)
  let wanted = Array(needle.utf8)
  let place = try #require(
    (0...max(0, bytes.count - wanted.count)).last { bytes[$0..<min(bytes.count, $0 + wanted.count)].elementsEqual(wanted) })
  // Another process: closing a descriptor of a database would drop SQLite's locks in this one.
  let flipped = bytes[place] ^ 0x20
  let octal = String(flipped, radix: 8)
  let command = "printf '\\\(octal)' | dd of='\(path)' bs=1 seek=\(place) conv=notrunc,fsync status=none"
  try #require(system(command) == 0)
}

private func storedBytesByOthers(_ path: String) -> [UInt8] {
  let copy = path + ".look"
  guard system("cp '\(path)' '\(copy)'") == 0 else { return [] }
  defer { unlink(copy) }
  return storedBytes(copy)
}

private final class Damages: Sendable {
  private let list = Mutex<[DamagedLeader]>([])
  func hear(_ store: TestStore) { store.store.setDamageObserver { one in self.list.withLock { $0.append(one) } } }
  var all: [DamagedLeader] { list.withLock { $0 } }
}

@Suite("Damage of replicas") struct ScrubTests {
  /// A leader with some segments, and a follower that has all of it.
  private func withLink(
    scrubs: Bool = true, _ body: (_ leader: TestStore, _ follower: TestStore, Link) throws -> Void
  ) throws {
    try withNodes(
      2,
      {
        $0.scrubBytesPerSecond = scrubs ? 1 << 30 : 0
        $0.scrubPauseMilliseconds = 20
      }
    ) { nodes in
      try nodes[0].lead(1, [1, 2]) { $0.segmentBytes = 4_000 }
      let link = try Link(nodes[0], nodes[1])
      for index in 0..<20 {
        try nodes[0].send("needle-\(index)-" + filler, acks: 1).inbox.wait(for: 1)
        try link.pump()
      }
      #expect(try eventually { try link.isSame() }, "\(link.words)")
      try body(nodes[0], nodes[1], link)
    }
  }

  /// Reads all there is; what is not as it was written would be found here.
  private func expectRight(_ store: TestStore, isWhole: Bool) throws {
    var position = Offset(0)
    guard let end = store.store.partition(TestStore.name())?.offsets?.highWatermark else { return }
    var count = 0
    while position < end {
      do throws(StorageError) {
        let records = try store.log().read(from: position, maxBytes: 2_000)
        do {
          for record in try store.decode(records) {
            #expect(record.value == "needle-\(record.offset)-" + filler)
            count += 1
          }
        } catch { Issue.record("\(error)") }
        position = records.nextOffset
      } catch {
        if isWhole { throw error }
        position = Offset(position.rawValue + 1)
      }
    }
    if isWhole { #expect(count == Int(end.rawValue)) }
  }

  @Test(
    "on a follower is found without a reader, and mended from the leader",
    arguments: ["sealed", "active", "sealed, by a reader"])
  func follower(_ place: String) throws {
    try withLink(scrubs: place != "sealed, by a reader") { leader, follower, link in
      let names = try follower.segmentNames()
      let before = try #require(link.replica.standing)
      if place == "active" {
        try flip("\(follower.partitionDirectory())/\(names.last!)-wal", at: "needle-19-")
      } else {
        try flip("\(follower.partitionDirectory())/\(names[0])", at: "needle-1-")
        if place != "sealed" {
          // In a life that has not read the file yet.
          try link.restartFollower()
          #expect(
            try eventually {
              try link.pump()
              return follower.highWatermark == 20
            })
        }
      }
      try expectRight(follower, isWhole: false)
      #expect(
        try eventually {
          try link.pump()
          try expectRight(follower, isWhole: false)
          return place == "active" ? link.resyncs > 1 + names.count - 1 : !link.replica.wantedFiles.isEmpty
        }, "\(link.words)")
      #expect(try eventually { try link.isSame() }, "\(link.words)")
      try expectRight(follower, isWhole: true)
      #expect(link.replica.standing?.sum == before.sum)
      #expect(link.replica.isComplete)
    }
  }

  @Test("on a leader is told, and mended when the leader follows the other one", arguments: ["sealed", "active"])
  func leader(_ place: String) throws {
    try withLink { leader, follower, link in
      let damages = Damages()
      damages.hear(leader)
      let names = try leader.segmentNames()
      let path = "\(leader.partitionDirectory())/\(place == "active" ? names.last! + "-wal" : names[0])"
      try flip(path, at: place == "active" ? "needle-19-" : "needle-1-")
      try expectRight(leader, isWhole: false)
      #expect(eventually { damages.all.contains { $0.epoch == LeaderEpoch(1) && $0.topicPartition == TestStore.name() } })
      try expectRight(leader, isWhole: false)
      link.close()
      try follower.lead(2, [2, 1]) { $0.segmentBytes = 4_000 }
      let back = try Link(follower, leader, from: true)
      if place == "sealed" { #expect(!back.replica.isComplete) }
      #expect(try eventually { try back.isSame() }, "\(back.words)")
      try expectRight(leader, isWhole: true)
      #expect(back.replica.isComplete)
      back.close()
    }
  }

  @Test("that a leader has since its start does not replace what a follower has as it should be")
  func leaderKeepsDamage() throws {
    try withLink(scrubs: false) { leader, follower, link in
      let damages = Damages()
      let name = try leader.segmentNames().last!
      link.close()
      try leader.store.close()
      try flip("\(leader.partitionDirectory())/\(name)", at: "needle-19-")
      try leader.begin(attaching: [])
      damages.hear(leader)
      try leader.lead(2, [1, 2])
      let standing = try #require(link.replica.standing)
      let again = try Link(leader, follower, from: true)
      let error = #expect(throws: StorageError.self) {
        _ = try eventually {
          try again.pump()
          return again.replica.standing != standing
        }
      }
      guard case .damaged = error else {
        Issue.record("\(error as Any)")
        return
      }
      #expect(again.replica.standing == standing)
      #expect(eventually { !damages.all.isEmpty })
      again.close()
      try follower.lead(3, [2, 1])
      let back = try Link(follower, leader, from: true)
      #expect(try eventually { try back.isSame() }, "\(back.words)")
      try expectRight(leader, isWhole: true)
      back.close()
    }
  }
}
