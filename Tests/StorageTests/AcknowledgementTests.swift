import Glibc
import Model
import Records
import SQLite
import Storage
import TestSupport
import Testing

/// Partitions whose commits must be durable on another node before they count.
@Suite("Replicated partitions") struct AcknowledgementTests {
  private static let pair = ReplicaSet(replicas: [NodeID(1), NodeID(2)], inSync: [NodeID(1), NodeID(2)], isFixed: true)

  private func replicate(_ store: TestStore, _ set: ReplicaSet? = pair) throws {
    try store.store.setReplicas(of: TestStore.name(), topicID: TestStore.topicID, set)
  }

  /// An append that waits for nobody: its outcome comes later.
  private func send(
    _ value: String, to store: TestStore, acks: Int16 = -1, timeout: Int64 = 60_000,
    _ change: (inout BatchBuilder) -> Void = { _ in }
  ) throws -> (inbox: Inbox, request: AppendRequest) {
    let inbox = Inbox()
    let made = try store.request([value], inbox: inbox, change)
    let request = AppendRequest(
      partition: made.partition, records: made.records, batches: made.batches, requiredAcks: acks,
      timeoutMilliseconds: timeout, receiver: inbox, context: nil)
    store.store.append([request])
    return (inbox, request)
  }

  private func isAnswered(_ inbox: Inbox) -> Bool { inbox.groups != [] }

  private func highWatermark(_ store: TestStore) -> Int64? { store.log().offsets?.highWatermark.rawValue }

  /// Takes everything up to the log's end, and says that it is durable.
  private func acknowledge(_ store: TestStore, _ follower: PageFollower, _ feed: ReplicaFeed) throws {
    #expect(try follower.isSame(as: store, feed))
    feed.acknowledged(try #require(follower.standing).position)
  }

  @Test("acks=all is answered, and readers see records, when the follower has them; acks=1 does not wait")
  func acknowledged() throws {
    try withStore { store in
      try store.create()
      let follower = PageFollower()
      let feed = try follower.follow(store)
      try replicate(store)
      try acknowledge(store, follower, feed)
      let first = try send("first", to: store)
      let one = try send("one", to: store, acks: 1)
      one.inbox.wait(for: 1)
      #expect(one.request.outcome.baseOffset == 1)
      #expect(try follower.isSame(as: store, feed))
      #expect(!isAnswered(first.inbox) && highWatermark(store) == 0)
      #expect(store.log().offsets?.logEndOffset == Offset(2))
      #expect(try store.readAll(from: 0) == [])
      if case .atEnd = store.log().readTail(from: Offset(0), maxBytes: 1000) {
      } else {
        Issue.record("a tail that is not replicated was read")
      }
      try acknowledge(store, follower, feed)
      first.inbox.wait(for: 1)
      #expect(first.request.outcome.baseOffset == 0)
      #expect(eventually { highWatermark(store) == 2 })
      #expect(try store.readAll(from: 0).map(\.value) == ["first", "one"])
      // The follower hears of it.
      #expect(
        try eventually {
          try follower.drain(feed)
          return follower.highWatermark == Offset(2)
        })
      feed.close()
    }
  }

  @Test("readers get whole batches below the high watermark, from memory and from the disk, and none above")
  func bounds() throws {
    try withStore { store in
      try store.create { $0.segmentBytes = 2_000 }
      let follower = PageFollower()
      let feed = try follower.follow(store)
      try replicate(store)
      let filler = String(repeating: "x", count: 500)
      for index in 0..<4 { try send("\(index)" + filler, to: store, acks: 1).inbox.wait(for: 1) }
      try acknowledge(store, follower, feed)
      #expect(eventually { highWatermark(store) == 4 })
      // A roll does not wait, so that the high watermark lies in an older segment.
      for index in 4..<20 { try send("\(index)" + filler, to: store, acks: 1).inbox.wait(for: 1) }
      #expect(try store.segmentNames().count > 3)
      let tail = store.log().readTail(from: Offset(2), maxBytes: 1 << 20)
      guard case .batches(let records) = tail else {
        Issue.record("\(tail)")
        return
      }
      #expect(records.nextOffset == Offset(4))
      #expect(try store.readAll(from: 0).map(\.offset) == [0, 1, 2, 3])
      let snapshot = try store.store.snapshot(of: ["plays"])
      #expect(snapshot.partitions[0].highWatermark == Offset(4))
      #expect(snapshot.partitions[0].segments.allSatisfy { $0.endOffset <= Offset(4) || $0.endOffset == $0.baseOffset })
      let refused = Handoff<Bool>()
      store.store.deleteRecords(in: TestStore.name(), before: Offset(10)) { outcome in
        if case .failure = outcome { refused.give(true) } else { refused.give(false) }
      }
      #expect(refused.take())
      try acknowledge(store, follower, feed)
      #expect(eventually { highWatermark(store) == 20 })
      #expect(try store.readAll(from: 0).count == 20)
      feed.close()
    }
  }

  @Test("while the follower is away acks=all is refused before the append; without followers to wait for it works again")
  func away() throws {
    try withStore { store in
      try store.create()
      try replicate(store)
      let refused = try send("refused", to: store)
      refused.inbox.wait(for: 1)
      #expect(refused.request.outcome.error == .notEnoughReplicas)
      #expect(store.log().offsets?.logEndOffset == Offset(0))
      let follower = PageFollower()
      let feed = try follower.follow(store)
      #expect(try follower.isSame(as: store, feed))
      let sent = try send("waits", to: store)
      #expect(try follower.isSame(as: store, feed))
      #expect(!isAnswered(sent.inbox))
      feed.close()
      #expect(
        try eventually {
          let again = try send("refused", to: store)
          again.inbox.wait(for: 1)
          return again.request.outcome.error == .notEnoughReplicas
        })
      try replicate(store, nil)
      sent.inbox.wait(for: 1)
      #expect(highWatermark(store) == store.log().offsets?.logEndOffset.rawValue)
      let alone = try send("alone", to: store)
      alone.inbox.wait(for: 1)
      #expect(alone.request.outcome.baseOffset != nil)
    }
  }

  @Test("an append that waits too long is answered with an error, and is replicated all the same")
  func timeout() throws {
    try withStore { store in
      try store.create()
      let follower = PageFollower()
      let feed = try follower.follow(store)
      try replicate(store)
      try acknowledge(store, follower, feed)
      let sent = try send("late", to: store, timeout: 1)
      sent.inbox.wait(for: 1)
      #expect(sent.request.outcome.error == .requestTimedOut)
      #expect(highWatermark(store) == 0)
      try acknowledge(store, follower, feed)
      #expect(eventually { highWatermark(store) == 1 })
      #expect(try store.readAll(from: 0).map(\.value) == ["late"])
      feed.close()
    }
  }

  @Test("a duplicate waits as its original does")
  func duplicate() throws {
    try withStore { store in
      try store.create()
      let follower = PageFollower()
      let feed = try follower.follow(store)
      try replicate(store)
      try acknowledge(store, follower, feed)
      let sends = try (0..<2).map { _ in
        try send("once", to: store) {
          $0.producerID = 5
          $0.producerEpoch = 0
          $0.baseSequence = 0
        }
      }
      #expect(try follower.isSame(as: store, feed))
      let one = try send("behind", to: store, acks: 1)
      one.inbox.wait(for: 1)
      #expect(!isAnswered(sends[0].inbox) && !isAnswered(sends[1].inbox))
      try acknowledge(store, follower, feed)
      for sent in sends {
        sent.inbox.wait(for: 1)
        #expect(sent.request.outcome.baseOffset == 0)
      }
      feed.close()
    }
  }

  @Test("what a follower says of commits that it was not sent does not count")
  func foreignAcknowledgements() throws {
    try withStore { store in
      try store.create()
      let follower = PageFollower()
      let feed = try follower.follow(store)
      try replicate(store)
      try acknowledge(store, follower, feed)
      let sent = try send("waits", to: store)
      #expect(eventually { store.log().offsets?.logEndOffset == Offset(1) })
      var ahead = try #require(follower.standing).position
      ahead.commitSequence += 1
      feed.acknowledged(ahead)
      let other = try follower.follow(store, from: follower.standing)
      other.acknowledged(ahead)
      // Behind anything that the lane may have been told.
      try send("behind", to: store, acks: 1).inbox.wait(for: 1)
      #expect(!isAnswered(sent.inbox) && highWatermark(store) == 0)
      try acknowledge(store, follower, feed)
      sent.inbox.wait(for: 1)
      feed.close()
      other.close()
    }
  }

  @Test("after a kill the high watermark is the last one that was known, until the follower has the rest")
  func restart() throws {
    try withStore { store in
      try store.create()
      let follower = PageFollower()
      let feed = try follower.follow(store)
      try replicate(store)
      try send("replicated", to: store, acks: 1).inbox.wait(for: 1)
      try acknowledge(store, follower, feed)
      #expect(eventually { highWatermark(store) == 1 })
      try send("not yet", to: store, acks: 1).inbox.wait(for: 1)
      let node = try Connection(path: store.dataDirectory + "/quire.db", mode: .readOnly)
      #expect(try eventually { try node.integer("SELECT high_watermark FROM partition_checkpoint") == 1 })
      node.close()
      let crashed = store.directory + "/crashed"
      try copyAtOneMoment(store.dataDirectory, to: crashed)
      feed.close()
      try store.store.close()
      store.options.dataDirectory = crashed
      try store.begin(attaching: [0], epoch: 1)
      try replicate(store)
      #expect(try store.readAll(from: 0).map(\.value) == ["replicated"])
      let again = try follower.follow(store, from: follower.standing)
      try acknowledge(store, follower, again)
      #expect(eventually { highWatermark(store) == 2 })
      #expect(try store.readAll(from: 0).map(\.value) == ["replicated", "not yet"])
      again.close()
    }
  }
}
