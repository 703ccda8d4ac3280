import Glibc
import Model
import Pages
import SQLite
import TestSupport
import Testing

@testable import Storage

private let filler = String(repeating: "l", count: 300)

@Suite("A leader that lacks what was acknowledged") struct LossyLeaderTests {
  /// Both have `count` records, acknowledged; then the leader comes back with its first `kept`, and takes others.
  private func withLossyLeader(
    kept: Int, count: Int, segmentBytes: Int64, _ body: (_ leader: TestStore, _ follower: TestStore, Link) throws -> Void
  ) throws {
    try withNodes(2) { nodes in
      let (leader, follower) = (nodes[0], nodes[1])
      try leader.lead(1, [1, 2]) { $0.segmentBytes = segmentBytes }
      let link = try Link(leader, follower)
      let old = leader.directory + "/old"
      for index in 0..<count {
        if index == kept { try copyAtOneMoment(leader.dataDirectory, to: old) }
        try leader.send("both \(index) " + filler, acks: 1).inbox.wait(for: 1)
        try link.pump()
      }
      #expect(try eventually { try link.isSame() && follower.highWatermark == Int64(count) }, "\(link.words)")
      link.close()
      try leader.store.close()
      leader.options.dataDirectory = old
      // What it remembered of the high watermark is as old as its log.
      try leader.begin(attaching: [])
      try leader.lead(2, [1, 2]) { $0.segmentBytes = segmentBytes }
      for index in 0..<5 { try leader.send("other \(index) " + filler, acks: 1).inbox.wait(for: 1) }
      try body(leader, follower, try Link(leader, follower, from: true))
    }
  }

  @Test(
    "is not followed by a replica that is in sync: that keeps all it has, in every page, and leads with it",
    arguments: [(12, 20, Int64(1 << 20)), (19, 20, 1 << 20), (5, 30, 3_000)])
  func refused(kept: Int, count: Int, segmentBytes: Int64) throws {
    try withLossyLeader(kept: kept, count: count, segmentBytes: segmentBytes) { leader, follower, link in
      let standing = try #require(link.replica.standing)
      let values = try follower.readAll().map(\.value)
      for _ in 0..<3 {
        let error = #expect(throws: ReplicaError.self) {
          _ = try eventually {
            try link.pump()
            return false
          }
        }
        guard case .refused = error else {
          Issue.record("\(error as Any)")
          return
        }
        _ = try link.replica.sync()
        #expect(link.replica.standing == standing)
        #expect(follower.highWatermark == Int64(count))
        #expect(try follower.readAll().map(\.value) == values)
        try link.reconnect()
      }
      // Its pages are what they were, and its rows too, also for another life.
      try follower.reopen(attaching: [])
      link.close()
      try follower.lead(3, [2, 1]) { $0.segmentBytes = segmentBytes }
      #expect(try follower.readAll(from: 0).map(\.value).prefix(count).elementsEqual(values))
      let back = try Link(follower, leader, from: true)
      // It had nothing that both acknowledged.
      #expect(try eventually { try back.isSame() }, "\(back.words)")
      #expect(try leader.readAll(from: 0).map(\.value).filter { $0.hasPrefix("other") } == [])
      back.close()
    }
  }

  @Test(
    "is followed by one that is not in sync: what it has counts, and the replica can lead with that",
    arguments: [(12, 20, Int64(1 << 20)), (5, 30, 3_000)])
  func accepted(kept: Int, count: Int, segmentBytes: Int64) throws {
    try withLossyLeader(kept: kept, count: count, segmentBytes: segmentBytes) { leader, follower, link in
      follower.store.setOutOfSync([TestStore.name()])
      #expect(try eventually { try link.isSame() }, "\(link.words)")
      #expect(
        try eventually {
          try link.isSame() && leader.highWatermark == Int64(kept + 5) && follower.highWatermark == Int64(kept + 5)
        })
      let values = (0..<kept).map { "both \($0) " + filler } + (0..<5).map { "other \($0) " + filler }
      #expect(try follower.readAll(from: 0).map(\.value) == values)
      link.close()
      try follower.lead(3, [2, 1]) { $0.segmentBytes = segmentBytes }
      #expect(try follower.readAll(from: 0).map(\.value) == values)
      let back = try Link(follower, leader, from: true)
      #expect(try eventually { try back.isSame() }, "\(back.words)")
      back.close()
    }
  }

  @Test("is not what a promoted replica is: all that it had is readable, whatever high watermark it was told")
  func promoted() throws {
    try withPair { pair in
      try pair.leader.append(["a"])
      try pair.catchUp()
      for value in ["b", "c"] { try pair.leader.append([value]) }
      try pair.catchUp(raises: false)
      #expect(try pair.values() == ["a"])
      try pair.replica.promote(to: LeaderEpoch(3))
      #expect(pair.follower.log().offsets?.highWatermark == Offset(3))
      #expect(try pair.values() == ["a", "b", "c"])
    }
  }
}

@Suite("A node database that") struct NodeDatabaseDamageTests {
  private func damage(_ how: String, _ path: String) throws {
    switch how {
    case "its first page": try #require(system("printf 'x' | dd of='\(path)' bs=1 seek=3 conv=notrunc status=none") == 0)
    case "its schema":
      try #require(system("head -c 3000 /dev/zero | dd of='\(path)' bs=1 seek=1000 conv=notrunc status=none") == 0)
    case "its end": try #require(system("truncate -s 6000 '\(path)'") == 0)
    case "all of it": try #require(system("truncate -s 0 '\(path)'") == 0)
    default: try #require(unlink(path) == 0)
    }
  }

  @Test(
    "is damaged keeps its node from starting; a node of a cluster begins with a new one, and has its partitions still",
    arguments: ["its first page", "its schema", "its end", "all of it", "the file"])
  func damaged(_ how: String) throws {
    try withStore { store in
      try store.lead(1)
      try store.append(["a"])
      let cluster = store.store.node.clusterID
      try store.store.close()
      let path = store.dataDirectory + "/quire.db"
      try damage(how, path)
      let error = #expect(throws: StorageError.self) { try store.begin(attaching: []) }
      guard case .damaged(let found) = error else {
        Issue.record("\(error as Any)")
        return
      }
      #expect(found.file == path)
      store.options.replacesDamagedNodeDatabase = true
      try store.begin(attaching: [])
      #expect(store.store.node.clusterID != cluster)
      #expect(fileExists(path + ".damaged-1") == (how != "the file"))
      try store.lead(2)
      #expect(try store.readAll().map(\.value) == ["a"])
      try store.reopen(attaching: [])
    }
  }
}
