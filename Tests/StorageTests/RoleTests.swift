import Glibc
import Model
import Records
import SQLite
import Synchronization
import TestSupport
import Testing

@testable import Storage

/// What leaders want their in-sync sets to be.
final class Proposals: Sendable {
  private let list = Mutex<[IsrProposal]>([])
  func hear(_ store: TestStore) { store.store.setProposalObserver { one in self.list.withLock { $0.append(one) } } }
  var all: [IsrProposal] { list.withLock { $0 } }
  var last: [Int32]? { all.last.map { $0.isr.map(\.rawValue) } }
}

extension TestStore {
  /// - Parameter replicas: none where the partition is this node's alone.
  func lead(
    _ epoch: Int32, _ replicas: [Int32] = [], inSync: [Int32]? = nil, isFixed: Bool = false,
    _ change: (inout TopicConfiguration) -> Void = { _ in }
  ) throws {
    var configuration = store.partition(Self.name())?.configuration ?? TopicConfiguration()
    change(&configuration)
    let set =
      replicas.isEmpty
      ? nil
      : ReplicaSet(
        replicas: replicas.map { NodeID($0) }, inSync: (inSync ?? replicas).map { NodeID($0) }, isFixed: isFixed)
    try store.lead(
      Self.name(), topicID: Self.topicID, epoch: LeaderEpoch(epoch), configuration: configuration, replicas: set)
  }

  /// An append whose outcome comes later.
  func send(
    _ value: String, acks: Int16 = -1, _ change: (inout BatchBuilder) -> Void = { _ in }
  ) throws -> (inbox: Inbox, request: AppendRequest) {
    let inbox = Inbox()
    let made = try request([value], inbox: inbox, change)
    let request = AppendRequest(
      partition: made.partition, records: made.records, batches: made.batches, requiredAcks: acks,
      timeoutMilliseconds: 600_000, receiver: inbox, context: nil)
    store.append([request])
    return (inbox, request)
  }

  var highWatermark: Int64? { log().offsets?.highWatermark.rawValue }
}

/// Several nodes with a directory each.
func withNodes(
  _ count: Int, _ change: (inout StoreOptions) -> Void = { _ in }, _ body: ([TestStore]) throws -> Void
) throws {
  try withTemporaryDirectory { directory in
    var nodes: [TestStore] = []
    for id in 1...count {
      mkdir("\(directory)/\(id)", 0o700)
      nodes.append(
        try TestStore("\(directory)/\(id)") {
          $0.nodeID = NodeID(Int32(id))
          change(&$0)
        })
    }
    try body(nodes)
  }
}

@Suite("A node's part in a partition") struct RoleTests {
  @Test("an epoch that begins is durable before anything is appended in it, and an older one does not come back")
  func epochs() throws {
    try withStore { store in
      try store.lead(3)
      #expect(
        store.log().offsets
          == LogOffsets(logStartOffset: .zero, highWatermark: .zero, logEndOffset: .zero, leaderEpoch: LeaderEpoch(3)))
      try store.append(["a"])
      // Elected anew while it leads.
      try store.lead(5)
      let crashed = store.directory + "/crashed"
      try copyAtOneMoment(store.dataDirectory, to: crashed)
      for old: Int32 in [0, 3, 4] {
        let error = #expect(throws: StorageError.self) { try store.lead(old) }
        #expect(error?.errorCode == .fencedLeaderEpoch)
      }
      try store.lead(5)
      try store.append(["b"])
      #expect(try store.log().epoch(of: Offset(0)) == LeaderEpoch(3) && store.log().epoch(of: Offset(1)) == LeaderEpoch(5))
      try store.store.close()
      store.options.dataDirectory = crashed
      try store.begin(attaching: [])
      let error = #expect(throws: StorageError.self) { try store.lead(4) }
      #expect(error?.errorCode == .fencedLeaderEpoch)
      try store.lead(6)
      #expect(try store.log().epochEnd(LeaderEpoch(5))?.endOffset == Offset(1))
      #expect(try store.append(["c"]).baseOffset == 1)
      try store.store.close()
      #expect(try findings(store.dataDirectory).damage == [])
    }
  }

  @Test("a partition that left this node on purpose is remembered nowhere")
  func left() throws {
    try withStore { store in
      try store.lead(1)
      try store.append(["a"])
      try store.store.release(TestStore.name(), topicID: TestStore.topicID)
      try store.store.deletePartitions([TestStore.name()], topicID: TestStore.topicID)
      try store.reopen(attaching: [])
      try store.lead(2)
      #expect(try store.readAll() == [])
    }
  }

  @Test("a partition whose files are gone is not begun anew; one that never had records is")
  func lost() throws {
    try withStore { store in
      try store.lead(1)
      try store.append(["a"])
      try store.reopen(attaching: [])
      try store.lead(2)
      try store.store.release(TestStore.name(), topicID: TestStore.topicID)
      #expect(store.store.partition(TestStore.name()) == nil)
      try store.lead(3)
      #expect(try store.readAll().map(\.value) == ["a"])
      try store.store.close()
      removeTree(store.partitionDirectory())
      try store.begin(attaching: [])
      let error = #expect(throws: StorageError.self) { try store.lead(4) }
      guard case .damaged = error else {
        Issue.record("\(error as Any)")
        return
      }
      #expect(store.store.partition(TestStore.name()) == nil)
      // What was deleted may come again.
      try store.store.deletePartition(TestStore.name(), topicID: TestStore.topicID)
      try store.store.lead(
        TestStore.name(7), topicID: TestStore.topicID, epoch: LeaderEpoch(4), configuration: .init(), replicas: nil)
      try store.store.deletePartition(TestStore.name(7), topicID: TestStore.topicID)
      try store.store.lead(
        TestStore.name(7), topicID: TestStore.topicID, epoch: LeaderEpoch(5), configuration: .init(), replicas: nil)
    }
  }

  @Test("what another life, or this one, showed to readers stays seen, whatever the node was meanwhile")
  func seen() throws {
    try withNodes(2) { nodes in
      let (one, two) = (nodes[0], nodes[1])
      try one.lead(1, [1, 2])
      let link = try Link(one, two)
      for index in 0..<5 { _ = try one.send("\(index)", acks: 1) }
      #expect(
        try eventually {
          try link.pump()
          return one.highWatermark == 5 && two.highWatermark == 5
        })
      // Elected: it knows no follower yet, and its in-sync set has one.
      link.close()
      try two.lead(2, [2, 1])
      #expect(two.highWatermark == 5)
      try two.store.release(TestStore.name(), topicID: TestStore.topicID)
      try two.lead(3, [2, 1])
      #expect(two.highWatermark == 5)
      #expect(try two.readAll(from: 0).count == 5)
    }
  }

  @Test(
    "a follower that falls behind, or is gone, is proposed to leave, again and again until that is decided; then it does not count"
  )
  func shrinks() throws {
    try withNodes(2, { $0.replicaLagMaxMilliseconds = 5_000 }) { nodes in
      let (one, two) = (nodes[0], nodes[1])
      let proposals = Proposals()
      proposals.hear(one)
      try one.lead(1, [1, 2, 3]) { $0.minInSyncReplicas = 2 }
      let link = try Link(one, two)
      let first = try one.send("first")
      // Two has everything all the time, three never says anything.
      #expect(
        try eventually {
          try link.pump()
          one.clock.now += 200
          return proposals.last == [1, 2]
        })
      #expect(first.inbox.groups == [] && one.highWatermark == 0)
      let count = proposals.all.count
      #expect(
        eventually {
          one.clock.now += 200
          return proposals.all.count > count + 2
        })
      #expect(proposals.all.allSatisfy { $0 == proposals.all[0] && $0.decided.count == 3 && $0.epoch == LeaderEpoch(1) })
      // What is known already is no answer.
      try one.lead(1, [1, 2, 3])
      #expect(one.highWatermark == 0)
      try one.lead(1, [1, 2, 3], inSync: [1, 2])
      first.inbox.wait(for: 1)
      #expect(first.request.outcome.baseOffset == 0 && one.highWatermark == 1)
      // An idle follower that is connected stays, however long.
      for _ in 0..<10 {
        one.clock.now += 4_000
        try link.pump()
        usleep(50_000)
      }
      #expect(proposals.last == [1, 2])
      // Whose session has ended goes at once.
      one.store.noteSession(of: NodeID(2), isAlive: false)
      #expect(eventually { proposals.last == [1] })
      try one.lead(1, [1, 2, 3], inSync: [1])
      let refused = try one.send("refused")
      refused.inbox.wait(for: 1)
      #expect(refused.request.outcome.error == .notEnoughReplicas)
      _ = try one.send("acks=1", acks: 1)
      one.store.noteSession(of: NodeID(2), isAlive: true)
      // It comes back with everything.
      #expect(
        try eventually {
          try link.pump()
          return proposals.last == [1, 2]
        })
      link.close()
    }
  }

  @Test("a follower that has everything before the leader is told of it gets in sync, though nothing is appended any more")
  func early() throws {
    try withNodes(2) { nodes in
      let (one, two) = (nodes[0], nodes[1])
      let proposals = Proposals()
      proposals.hear(one)
      try one.lead(1, [1])
      try one.append(["a"])
      let link = try Link(one, two)
      #expect(
        try eventually {
          try link.pump()
          return two.highWatermark == 1
        })
      #expect(proposals.all.isEmpty)
      try one.lead(1, [1, 2], inSync: [1])
      #expect(eventually { proposals.last == [1, 2] })
      link.close()
    }
  }

  @Test("what a follower said on an earlier connection does not make it in sync: it may come back with nothing")
  func forgotten() throws {
    try withNodes(2) { nodes in
      let (one, two) = (nodes[0], nodes[1])
      let proposals = Proposals()
      proposals.hear(one)
      try one.lead(1, [1, 2])
      let sent = try one.send("a")
      let link = try Link(one, two)
      #expect(
        try eventually {
          try link.pump()
          return one.highWatermark == 1
        })
      #expect(sent.request.outcome.baseOffset == 0)
      link.close()
      one.store.noteSession(of: NodeID(2), isAlive: false)
      #expect(eventually { proposals.last == [1] })
      try one.lead(1, [1, 2], inSync: [1])
      one.store.noteSession(of: NodeID(2), isAlive: true)
      for _ in 0..<20 {
        one.clock.now += 200
        usleep(20_000)
      }
      #expect(proposals.last == [1])
      // Idle as it is, the follower says on the next one what it has.
      try link.reconnect()
      #expect(
        try eventually {
          try link.pump()
          return proposals.last == [1, 2]
        })
      link.close()
    }
  }

  @Test("a follower that lacks sealed segments is not in sync until they have come, and leaves when one is found damaged")
  func incomplete() throws {
    try withNodes(2) { nodes in
      let (one, two) = (nodes[0], nodes[1])
      let proposals = Proposals()
      proposals.hear(one)
      try one.lead(1, [1, 2], inSync: [1]) { $0.segmentBytes = 2_000 }
      let filler = String(repeating: "x", count: 300)
      for index in 0..<10 { try one.append(["\(index)", filler]) }
      #expect(try eventually { try Pair.sealed(one).count == one.segmentNames().count - 1 })
      let link = try Link(one, two)
      #expect(
        try eventually {
          try link.pump()
          return two.log().offsets?.logEndOffset == Offset(20)
        })
      #expect(!link.replica.isComplete)
      for _ in 0..<5 {
        try one.append(["more"])
        try link.pump()
      }
      #expect(proposals.all.isEmpty && one.highWatermark == 25)
      try link.copyFiles()
      #expect(link.replica.isComplete)
      #expect(
        try eventually {
          try link.pump()
          return proposals.last == [1, 2]
        })
      // From now on it counts, also before that is decided.
      let sent = try one.send("waits", acks: 1)
      sent.inbox.wait(for: 1)
      #expect(one.highWatermark == 25)
      try one.lead(1, [1, 2])
      #expect(
        try eventually {
          try link.pump()
          return one.highWatermark == 26
        })
      link.replica.locked { link.replica.distrustOlder(at: 0) }
      _ = try one.send("behind", acks: 1)
      #expect(
        try eventually {
          try link.pump()
          return proposals.last == [1]
        })
      #expect(one.highWatermark == 26)
      try one.lead(1, [1, 2], inSync: [1])
      #expect(eventually { one.highWatermark == 27 })
      link.close()
    }
  }

  @Test("a leader that another one follows upon answers what waits, ends its feeds and takes no more, before it follows")
  func deposed() throws {
    try withNodes(2) { nodes in
      let (one, two) = (nodes[0], nodes[1])
      try one.lead(1, [1, 2])
      let link = try Link(one, two)
      #expect(
        try eventually {
          try link.pump()
          return two.log().offsets != nil
        })
      let waiting = try one.send("waits")
      #expect(eventually { one.log().offsets?.logEndOffset == Offset(1) })
      let log = one.log()
      let behind = try one.request(["behind"], inbox: Inbox())
      let replica = try Pair.open(one)
      #expect(waiting.inbox.groups == [1])
      #expect(waiting.request.outcome.error == .notLeaderOrFollower)
      #expect(log.isReleased && one.log() !== log)
      #expect(try one.append(["refused"]).error == .notLeaderOrFollower)
      // Of who held on to the log.
      let inbox = Inbox()
      let late = AppendRequest(
        partition: log, records: behind.records, batches: behind.batches, requiredAcks: -1, receiver: inbox, context: nil)
      one.store.append([late])
      inbox.wait(for: 1)
      #expect(late.outcome.error == .notLeaderOrFollower)
      let error = #expect(throws: StorageError.self) { try link.pump() }
      #expect(error?.errorCode == .notLeaderOrFollower)
      #expect(replica.standing != nil)
      link.close()
    }
  }
}
