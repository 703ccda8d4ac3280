import Glibc
import Model
import Pages
import Records
import TestSupport
import Testing

@testable import Storage

private let filler = String(repeating: "v", count: 400)

@Suite("After a change of its leader") struct LeaderChangeTests {
  /// What each node's readers see only grows.
  private final class Watch {
    private var seen: [ObjectIdentifier: Int64] = [:]

    func look(_ nodes: [TestStore]) {
      for node in nodes {
        guard let offset = node.store.partition(TestStore.name())?.offsets?.highWatermark.rawValue else { continue }
        let before = seen[ObjectIdentifier(node), default: 0]
        #expect(offset >= before, "the high watermark of \(node.options.nodeID) fell from \(before) to \(offset)")
        seen[ObjectIdentifier(node)] = max(before, offset)
      }
    }
  }

  /// Both have the same files in the end.
  private func expectSame(_ link: Link) throws {
    // Both show all there is: otherwise one could show more while the other one is read.
    #expect(
      try eventually {
        let end = link.leader.log().offsets?.logEndOffset.rawValue
        return try link.isSame() && link.leader.highWatermark == end && link.follower.highWatermark == end
      }, "\(link.words)")
    #expect(try link.follower.readAll(from: 0) == link.leader.readAll(from: 0))
    #expect(try link.leader.log().producerStates().map(\.lastSequence) != [])
    let standing = try #require(link.replica.standing)
    link.close()
    for store in [link.leader, link.follower] { try store.store.close() }
    let name = try link.leader.segmentNames().last!
    for store in [link.leader, link.follower] {
      let bytes = try SegmentFiles.settled("\(store.partitionDirectory())/\(name)")
      var sums = PageSums(pageSize: PageSize(bytes: 8192)!)
      bytes.withUnsafeBytes { bytes in
        for start in stride(from: 0, to: bytes.count, by: 8192) {
          sums.append(UnsafeRawBufferPointer(rebasing: bytes[start..<start + 8192]))
        }
      }
      #expect(sums.total == standing.sum && sums.pageCount == standing.pageCount)
      #expect(try findings(store.dataDirectory).damage == [])
    }
  }

  @Test("a segment that was read while the node followed is sealed when it leads")
  func sealsWhatWasReadBefore() throws {
    try withNodes(2) { nodes in
      let (one, two) = (nodes[0], nodes[1])
      try one.lead(1, [1, 2])
      let link = try Link(one, two)
      for index in 0..<5 { _ = try one.send("record \(index) " + filler, acks: 1) }
      #expect(
        try eventually {
          try link.pump()
          return two.highWatermark == 5
        })
      // From the file, through a connection that is kept.
      #expect(try two.readAll(from: 0).count == 5)
      link.close()
      try two.lead(2) { $0.segmentBytes = 4_000 }
      for index in 0..<20 { try two.append(["more \(index) " + filler]) }
      #expect(try eventually { try Pair.sealed(two).count >= 2 })
    }
  }

  @Test(
    "what the old leader had alone is undone: it ends with the new one's files, and nobody's high watermark falls",
    arguments: [(1, 1), (1, 30), (30, 1), (30, 30), (12, 40)])
  func extra(onOld: Int, onNew: Int) throws {
    try withNodes(2, { $0.checkpointBytes = 60_000 }) { nodes in
      let (one, two) = (nodes[0], nodes[1])
      let watch = Watch()
      var sequence: Int32 = 0
      func append(_ store: TestStore, _ value: String, at number: Int32) throws -> AppendOutcome {
        let sent = try store.send(value + filler, acks: 1) {
          $0.producerID = 77
          $0.producerEpoch = 0
          $0.baseSequence = number
        }
        sent.inbox.wait(for: 1)
        return sent.request.outcome
      }
      try one.lead(1, [1, 2]) { $0.segmentBytes = 4_000 }
      var link = try Link(one, two)
      for index in 0..<15 {
        #expect(try append(one, "both \(index) ", at: sequence).baseOffset == Int64(sequence))
        sequence += 1
        try link.pump()
        watch.look(nodes)
      }
      #expect(
        try eventually {
          try link.pump()
          return one.highWatermark == 15
        })
      let common = sequence
      // Nobody else gets these.
      link.close()
      for index in 0..<onOld {
        #expect(try append(one, "old \(index) ", at: sequence).baseOffset != nil)
        sequence += 1
      }
      if onOld > 20 { #expect(try eventually { try Pair.sealed(one).count > Pair.sealed(two).count }) }
      watch.look(nodes)
      let waiting = try one.send("never", acks: -1)
      #expect(eventually { one.log().offsets?.logEndOffset == Offset(Int64(16 + onOld)) })
      try two.lead(2, [2, 1]) { $0.segmentBytes = 4_000 }
      watch.look(nodes)
      // The producer goes on where it had an answer that counts.
      sequence = common
      for index in 0..<onNew {
        #expect(try append(two, "new \(index) ", at: sequence).baseOffset == Int64(sequence))
        sequence += 1
      }
      #expect(two.highWatermark == 15)
      link = try Link(two, one, from: true)
      #expect(waiting.request.outcome.error == .notLeaderOrFollower)
      #expect(
        try eventually {
          try link.pump()
          try link.copyFiles()
          watch.look(nodes)
          return two.highWatermark == Int64(15 + onNew) && one.highWatermark == Int64(15 + onNew)
        })
      #expect(try two.readAll(from: 0).allSatisfy { !$0.value.hasPrefix("old") && $0.value != "never" })
      // It leads again, and remembers the producer as the other one left it.
      #expect(try eventually { try link.isSame() }, "\(link.words)")
      link.close()
      try one.lead(3, [1, 2]) { $0.segmentBytes = 4_000 }
      watch.look(nodes)
      #expect(try append(one, "again", at: sequence - 1).baseOffset == Int64(sequence - 1))
      #expect(one.log().offsets?.logEndOffset == Offset(Int64(sequence)))
      #expect(try append(one, "next", at: sequence).baseOffset == Int64(sequence))
      link = try Link(one, two, from: true)
      try expectSame(link)
    }
  }

  @Test(
    "and after many of them, with commits that are lost, restarts and kills, both end with the same files",
    arguments: [1, 2, 5, 11])
  func many(seed: UInt64) throws {
    try withNodes(2, { $0.checkpointBytes = 40_000 }) { nodes in
      var random = SeededRandom(seed: seed)
      let watch = Watch()
      var epoch: Int32 = 1
      var (leader, follower) = (nodes[0], nodes[1])
      try leader.lead(epoch, [1, 2]) { $0.segmentBytes = 8_000 }
      var link = try Link(leader, follower)
      for round in 0..<60 {
        for _ in 0...Int(random.next() % 4) {
          let sent = try leader.send("\(round) " + String(repeating: "w", count: Int(random.next() % 900)), acks: 1) {
            $0.producerID = Int64(random.next() % 5)
            $0.producerEpoch = Int16(round)
            $0.baseSequence = 0
          }
          sent.inbox.wait(for: 1)
        }
        if random.next() % 3 != 0 { try link.pump() }
        if random.next() % 3 == 0 { try link.copyFiles() }
        watch.look(nodes)
        switch random.next() % 8 {
        case 0:
          // The follower has all that was replicated, and leads.
          link.close()
          epoch += 1
          (leader, follower) = (follower, leader)
          guard link.replica.isComplete else {
            (leader, follower) = (follower, leader)
            epoch -= 1
            try link.reconnect()
            continue
          }
          try leader.lead(epoch, [1, 2]) { $0.segmentBytes = 8_000 }
          watch.look(nodes)
          link = try Link(leader, follower, from: random.next() % 4 != 0)
        case 1: try link.restartFollower()
        case 2:
          epoch += 1
          try leader.lead(epoch, [1, 2])
        default: break
        }
      }
      let sent = try leader.send("end", acks: 1) {
        $0.producerID = 9
        $0.producerEpoch = 0
        $0.baseSequence = 0
      }
      sent.inbox.wait(for: 1)
      #expect(
        try eventually {
          try link.pump()
          try link.copyFiles()
          watch.look(nodes)
          return leader.highWatermark == leader.log().offsets?.logEndOffset.rawValue
        })
      try expectSame(link)
    }
  }
}
