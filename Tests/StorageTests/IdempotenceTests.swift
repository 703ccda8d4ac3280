import Model
import Records
import Storage
import TestSupport
import Testing

@Suite("Idempotent producers") struct IdempotenceTests {
  private func append(
    _ store: TestStore, _ sequence: Int32, epoch: Int16 = 0, id: Int64 = 77, count: Int = 1
  ) throws -> AppendOutcome {
    try store.append((0..<count).map { "\(sequence + Int32($0))" }) {
      $0.producerID = id
      $0.producerEpoch = epoch
      $0.baseSequence = sequence
    }
  }

  @Test("have duplicates of their last five batches answered with the original offset")
  func duplicates() throws {
    try withStore { store in
      try store.create()
      for sequence in 0..<6 { #expect(try append(store, Int32(sequence)).baseOffset == Int64(sequence)) }
      for sequence in 1..<6 { #expect(try append(store, Int32(sequence)).baseOffset == Int64(sequence)) }
      #expect(try append(store, 0).error == .outOfOrderSequenceNumber)
      #expect(try store.readAll().count == 6)
    }
  }

  @Test("must be in sequence; an unknown one may begin anywhere")
  func sequence() throws {
    try withStore { store in
      try store.create()
      #expect(try append(store, 40).baseOffset == 0)
      #expect(try append(store, 42).error == .outOfOrderSequenceNumber)
      #expect(try append(store, 41).baseOffset == 1)
      #expect(try append(store, .max - 1, id: 5, count: 2).baseOffset == 2)
      #expect(try append(store, 0, id: 5).baseOffset == 4, "sequences wrap")
    }
  }

  @Test("with a newer epoch begin at sequence 0 and fence the older one")
  func epochs() throws {
    try withStore { store in
      try store.create()
      #expect(try append(store, 0).baseOffset == 0)
      #expect(try append(store, 1, epoch: 1).error == .outOfOrderSequenceNumber)
      #expect(try append(store, 0, epoch: 1).baseOffset == 1)
      #expect(try append(store, 1).error == .invalidProducerEpoch)
    }
  }

  @Test("are judged against what their own group holds so far")
  func tentative() throws {
    try withStore { store in
      try store.create()
      let inbox = Inbox()
      func request(_ sequence: Int32) throws -> AppendRequest {
        try store.request(["\(sequence)"], inbox: inbox) {
          $0.producerID = 3
          $0.producerEpoch = 0
          $0.baseSequence = sequence
        }
      }
      let requests = try [request(0), request(1), request(1), request(3), request(2)]
      store.store.append(requests)
      inbox.wait(for: 5)
      #expect(requests.map(\.outcome.baseOffset) == [0, 1, 1, nil, 2])
      #expect(requests[3].outcome.error == .outOfOrderSequenceNumber)
    }
  }

  @Test("that come before what a node refused until it led are refused likewise, for as long as that may still come")
  func early() throws {
    try withStore { store in
      try store.lead(3)
      #expect(try append(store, 0).baseOffset == 0)
      store.clock.now += 6000
      #expect(try append(store, 2).error == .outOfOrderSequenceNumber, "nothing was refused")
      try store.lead(4)
      #expect(try append(store, 2).error == .notLeaderOrFollower)
      #expect(try append(store, 2, epoch: 1).error == .notLeaderOrFollower)
      #expect(try append(store, 9, id: 5).error == .notLeaderOrFollower)
      #expect(try append(store, 1).baseOffset == 1)
      #expect(try append(store, 2).baseOffset == 2)
      #expect(try append(store, 1).baseOffset == 1, "a duplicate")
      #expect(try append(store, 0, id: 6).baseOffset == 3)
      store.clock.now += 6000
      #expect(try append(store, 9).error == .outOfOrderSequenceNumber)
      #expect(try append(store, 9, id: 5).baseOffset == 4)
    }
  }

  @Test("that come before what was refused for want of replicas are refused likewise")
  func tooFew() throws {
    try withStore { store in
      let two: (inout TopicConfiguration) -> Void = { $0.minInSyncReplicas = 2 }
      func send(_ sequence: Int32) throws -> AppendOutcome {
        let (inbox, request) = try store.send("\(sequence)") {
          $0.producerID = 8
          $0.producerEpoch = 0
          $0.baseSequence = sequence
        }
        inbox.wait(for: 1)
        return request.outcome
      }
      try store.lead(3, [1, 2], inSync: [1])
      #expect(try send(0).baseOffset == 0)
      store.clock.now += 6000
      try store.lead(3, [1, 2], inSync: [1], two)
      #expect(try send(1).error == .notEnoughReplicas)
      try store.lead(3, [1, 2], inSync: [1]) { $0.minInSyncReplicas = 1 }
      #expect(try send(2).error == .notEnoughReplicas, "or the one in front would be out of order")
      #expect(try send(1).baseOffset == 1)
      #expect(try send(2).baseOffset == 2)
    }
  }

  @Test("are remembered across restarts, rolls and retention, until they expire")
  func survives() throws {
    try withStore { store in
      try store.create { $0.retentionMilliseconds = 1000 }
      for sequence in 0..<3 { _ = try append(store, Int32(sequence)) }
      var configuration = TopicConfiguration()
      configuration.retentionMilliseconds = 1000
      try store.reopen(configuration)
      #expect(try append(store, 2).baseOffset == 2)
      store.clock.now += 5000
      store.store.enforceRetention(now: store.clock.now)
      #expect(eventually { store.log().offsets?.logStartOffset == Offset(3) })
      #expect(try append(store, 2).baseOffset == 2, "a duplicate of a batch that retention removed")
      try store.reopen(configuration)
      #expect(try append(store, 3).baseOffset == 3)
      store.clock.now += store.options.producerExpirationMilliseconds + 1
      store.store.enforceRetention(now: store.clock.now)
      #expect(try eventually { try store.log().producerStates().isEmpty })
      #expect(try append(store, 9).baseOffset == 4)
    }
  }

  @Test("more producers than a partition remembers push out those that appended longest ago, and no others")
  func producerBound() throws {
    try withStore({ $0.producersPerPartitionMax = 20 }) { store in
      try store.create()
      func append(_ producer: Int64, _ sequence: Int32) throws -> AppendOutcome {
        store.clock.now += 1
        return try store.append(["\(producer)"]) {
          $0.producerID = producer
          $0.producerEpoch = 0
          $0.baseSequence = sequence
        }
      }
      for producer in 0..<20 { _ = try append(Int64(producer), 0) }
      let first = try append(0, 1).baseOffset
      for producer in 20..<22 { _ = try append(Int64(producer), 0) }
      for _ in 0..<2 {
        let known = try store.log().producerStates().map(\.producerID)
        #expect(known == [0] + Array(3..<22))
        #expect(try append(0, 1).baseOffset == first, "one that went on appending is still recognised")
        try store.reopen()
      }
      #expect(try findings(store.dataDirectory).damage == [])
    }
  }
}
