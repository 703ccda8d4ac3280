import Model
import NIOCore
import Pages
import Synchronization
import TestSupport
import Testing

@testable import Shipping

@Suite("A follower") struct ShippingTests {
  @Test("gets what is there, then each commit, and both ends know when it has all of it")
  func streams() async throws {
    try await Pair.run { pair in
      let (log, sink) = pair.follow(partition(0))
      for page in 0..<5 { try log.commit(page: page, filledWith: 1) }
      try await eventually("the beginning arrives") { sink.pages == log.pages }
      for round in 0..<100 as Range<UInt8> { try log.commit(page: Int(round) % 7, filledWith: round) }
      try await eventually("commits arrive") { sink.pages == log.pages }
      try await eventually("the high watermark arrives") { sink.state.withLock { $0.highWatermark } == Offset(105) }
      try await eventually("it is acknowledged") { log.state.withLock { $0.acknowledged } == log.pages.position }
      try await eventually("the leader's status says so") {
        let status = pair.listener.followers.first
        let shipping = status?.partitions.first
        return status?.identity == identity(2) && shipping?.durable == log.pages.position && shipping?.lag == ReplicaLag.none
          && shipping?.state == .streaming
      }
      try await eventually("the follower's status says so") {
        let status = pair.client.status
        let shipping = status.partitions.first
        return status.state == .connected(identity(1)) && shipping?.durable == log.pages.position
          && shipping?.highWatermark == Offset(105) && shipping?.state == .streaming && status.silentMilliseconds == 0
      }
      #expect(sink.state.withLock { $0.divergences } == 0)
    }
  }

  @Test("says on both ends how far it is behind")
  func lag() async throws {
    try await Pair.run { pair in
      let (log, sink) = pair.follow(partition(0))
      try log.commit(page: 0, filledWith: 1)
      try await eventually("it follows") { sink.pages == log.pages }
      sink.hold(true)
      for round in 0..<10 as Range<UInt8> { try log.commit(page: 0, filledWith: round) }
      @Sendable func isBehind(_ lag: ReplicaLag?) -> Bool {
        lag?.commits == 10 && (lag?.bytes ?? 0) > 1000 && (lag?.milliseconds ?? 0) > 0
      }
      try await eventually("the leader knows") { isBehind(pair.listener.followers.first?.partitions.first?.lag) }
      try await eventually("the follower knows") { isBehind(pair.client.status.partitions.first?.lag) }
      sink.hold(false)
      try await eventually("it has caught up") { pair.client.status.partitions.first?.lag.commits == 0 }
    }
  }

  @Test("follows many partitions over one connection, and goes on where it was when the connection ends")
  func manyPartitions() async throws {
    let leader = FakeLeader()
    var listener = try await startListener(leader)
    let port = listener.address.port!
    let client = startClient(port)
    let sinks = (0..<30 as Range<Int32>).map { _ in FakeSink() }
    let logs = (0..<30 as Range<Int32>).map { leader.log(partition($0)) }
    for (index, sink) in sinks.enumerated() { client.follow(partition(Int32(index)), topicID: topicID, into: sink) }
    var random = SeededRandom(seed: 3)
    for round in 0..<3 {
      for _ in 0..<300 {
        try logs.randomElement(using: &random)!.commit(
          page: .random(in: 0..<6, using: &random), filledWith: .random(in: 0...255, using: &random))
      }
      if round == 1 {
        await listener.stop()
        #expect(leader.openCount == 0, "no source is open after the listener has stopped")
        for log in logs { try log.commit(page: 1, filledWith: 99) }
        listener = try await startListener(leader, port: port)
      }
      try await eventually("round \(round) arrives") { zip(logs, sinks).allSatisfy { $0.pages == $1.pages } }
    }
    #expect(sinks.allSatisfy { $0.state.withLock { $0.divergences } == 0 })
    await client.stop()
    #expect(sinks.allSatisfy { $0.state.withLock { $0.isClosed } })
    await listener.stop()
    #expect(leader.openCount == 0)
  }

  @Test("whose copy differs has it repaired: one that changed by itself, one from elsewhere, one that is too old to stream to")
  func repairs() async throws {
    try await Pair.run { pair in
      var elsewhere = FakePages(bytes: [UInt8](repeating: 77, count: 512 * 20))
      elsewhere.position.commitSequence = 3
      let old = pair.leader.log(partition(1))
      try old.commit(page: 0, filledWith: 5, count: 300)
      let older = old.pages
      for round in 0..<9 as Range<UInt8> { try old.commit(page: 5, filledWith: round) }
      old.forgetSets()
      let (log, sink) = pair.follow(partition(0), FakeSink(elsewhere))
      let (_, oldSink) = pair.follow(partition(1), FakeSink(older))
      for page in 0..<12 { try log.commit(page: page, filledWith: 3) }
      try await eventually("copies from elsewhere are repaired") { sink.pages == log.pages && oldSink.pages == old.pages }

      sink.state.withLock { state in
        state.pages.bytes[1000] ^= 1
        state.sums = state.pages.sums
      }
      for round in 0..<20 as Range<UInt8> { try log.commit(page: 3, filledWith: round) }
      try await eventually("a changed copy is repaired") { sink.pages == log.pages }
      #expect(sink.state.withLock { $0.divergences } >= 1)
    }
  }

  @Test("pulls the files that it lacks piece by piece beside the commits, and asks again for one that is not there yet")
  func files() async throws {
    try await Pair.run { pair in
      let (log, sink) = pair.follow(partition(0))
      var random = SeededRandom(seed: 5)
      let file = random.bytes(5 << 20) + [1, 2, 3]
      log.state.withLock { $0.files = [0: file, 64: []] }
      sink.state.withLock { $0.wanted = [128, 0, 64] }
      try log.commit(page: 0, filledWith: 1)
      try await eventually("it follows, though the first file is missing") { sink.pages == log.pages }
      log.state.withLock { $0.files[128] = Array("late".utf8) }
      for round in 0..<50 as Range<UInt8> { try log.commit(page: 1, filledWith: round) }
      try await eventually("files arrive", within: .seconds(120)) { sink.state.withLock { $0.wanted.isEmpty } }
      try await eventually("commits arrive") { sink.pages == log.pages }
      #expect(sink.state.withLock { $0.files[0] } == file)
      #expect(sink.state.withLock { $0.files[128] } == Array("late".utf8))
    }
  }

  @Test("says what it has, and whether all files are there, also where nothing new comes")
  func completeness() async throws {
    try await Pair.run { pair in
      let log = pair.leader.log(partition(0))
      try log.commit(page: 0, filledWith: 1)
      let there = FakeSink(log.pages)
      there.state.withLock { $0.wanted = [64] }
      let (_, sink) = pair.follow(partition(0), there)
      func said(_ isComplete: Bool) -> Bool {
        log.state.withLock { $0.acknowledged == $0.pages.position && $0.isComplete == isComplete }
      }
      try await eventually("it says that a file is missing") { said(false) }
      log.state.withLock { $0.files[64] = Array("file".utf8) }
      try await eventually("it says that all are there") { said(true) }
      sink.change { $0.wanted = [128] }
      try await eventually("it says that one was found damaged") { said(false) }
      log.state.withLock { $0.files[128] = Array("file".utf8) }
      try await eventually("it has come anew") { said(true) }
      // A page is found to be another one.
      sink.change { state in
        state.pages.bytes[7] ^= 1
        state.sums = state.pages.sums
        state.wishesToBegin = true
      }
      try await eventually("it is brought back") { sink.pages == log.pages && said(true) }
    }
  }

  @Test("that does not take what comes is sent no more than its window, and what is read ahead stays bounded")
  func backPressure() async throws {
    try await Pair.run { pair in
      let logs = (0..<4 as Range<Int32>).map { pair.leader.log(partition($0)) }
      let sinks = logs.map { _ in FakeSink() }
      for (index, sink) in sinks.enumerated() {
        try logs[index].commit(page: 0, filledWith: 0)
        pair.client.follow(partition(Int32(index)), topicID: topicID, into: sink)
      }
      try await eventually("all are followed") { zip(logs, sinks).allSatisfy { $0.pages == $1.pages } }
      for sink in sinks { sink.hold(true) }
      // 80 MiB in all, of which the window and what is read ahead are 32.
      for round in 0..<20 as Range<UInt8> { for log in logs { try log.commit(page: 0, filledWith: round, count: 2048) } }
      @Sendable func pulled() -> Int { logs.reduce(0) { $0 + $1.state.withLock { $0.pulledBytes } } }
      try await eventually("the window is filled") { pulled() > Limits.peerWindowBytes }
      // Nothing can be waited for that must not happen; what is wrong would have come by then.
      try await Task.sleep(for: .milliseconds(300))
      #expect(pulled() <= Limits.peerWindowBytes + Limits.peerReadAheadBytesMax + 4 * (2 << 20))
      for sink in sinks { sink.hold(false) }
      try await eventually("all of it arrives") { zip(logs, sinks).allSatisfy { $0.pages == $1.pages } }
    }
  }

  @Test("has the commits of one partition while a large state of another is still on its way, throttled")
  func fairness() async throws {
    // Eight minutes for the large one, and no wait for the small.
    try await Pair.run(catchUp: 16 << 10) { pair in
      let small = pair.leader.log(partition(1))
      try small.commit(page: 0, filledWith: 1)
      let (_, smallSink) = pair.follow(partition(1))
      try await eventually("the small one is followed") { smallSink.pages == small.pages }
      let large = pair.leader.log(partition(0))
      var random = SeededRandom(seed: 1)
      try large.commit(page: 0, filledWith: 7, count: 16_384)
      // Of a page of one byte little travels.
      large.state.withLock { $0.pages.bytes = random.bytes(8 << 20) }
      let (_, largeSink) = pair.follow(partition(0))
      try await eventually("the large one has begun") { large.state.withLock { $0.pulledBytes } > 0 }
      for round in 0..<20 as Range<UInt8> {
        try small.commit(page: 0, filledWith: round)
        try await eventually("commit \(round) arrives") { smallSink.pages == small.pages }
      }
      #expect(largeSink.pages.pageCount == 0)
    }
  }

  @Test("is told of its leader's topics, then of what changes, also of what changed while it was away")
  func cluster() async throws {
    func image(_ version: Int64, _ names: [String]) -> ShippedCluster {
      var topics: [TopicID: ShippedTopic] = [:]
      for name in names {
        let id = TopicID(high: UInt64(name.utf8.count), low: UInt64(name.utf8.first!))
        topics[id] = ShippedTopic(name: name, id: id, leaderEpochs: [.zero, .zero], settings: ["retention.ms": "\(version)"])
      }
      return ShippedCluster(identity: identity(1), version: version, settings: ["num": "\(version)"], topics: topics)
    }
    let leader = FakeLeader()
    var listener = try await startListener(leader)
    let port = listener.address.port!
    listener.publish(image(1, ["a", "b"]))
    let events = Events()
    let client = startClient(port, events: events)
    try await eventually("the cluster arrives") { events.clusters.last == image(1, ["a", "b"]) }
    let many = (0..<3000).map { "topic-\($0)" }
    listener.publish(image(2, many))
    listener.publish(image(3, many + ["a"]))
    try await eventually("changes arrive") { events.clusters.last == image(3, many + ["a"]) }
    await listener.stop()
    listener = try await startListener(leader, port: port)
    listener.publish(image(4, ["c"]))
    try await eventually("the cluster arrives anew") { events.clusters.last == image(4, ["c"]) }
    await client.stop()
    await listener.stop()
  }

  @Test("of a partition that its leader does not have, or cannot read, tries again until it can")
  func refusedPartition() async throws {
    try await Pair.run { pair in
      let sink = FakeSink()
      pair.client.follow(partition(9), topicID: topicID, into: sink)
      try await eventually("it is refused") { pair.client.status.partitions.first?.state == .failed("there is no t-9") }
      let log = pair.leader.log(partition(9))
      log.state.withLock { $0.isBroken = true }
      try log.commit(page: 0, filledWith: 1)
      try await eventually("its stream ends") { pair.client.status.partitions.first?.state == .failed("the log is broken") }
      log.state.withLock { $0.isBroken = false }
      try await eventually("it is followed") { sink.pages == log.pages }
      // The others of the connection were not disturbed.
      #expect(pair.events.connectionCount == 1)
      await pair.client.unfollow(partition(9))
      #expect(sink.state.withLock { $0.isClosed })
      try await eventually("its source is closed") { pair.leader.openCount == 0 }
    }
  }

  @Test("is served only when its leader wants it, and asking a node who it is makes nobody its follower")
  func admission() async throws {
    let leader = FakeLeader()
    leader.refusal.withLock { $0 = PeerRefusal(.notLeader, "it has another one") }
    let listener = try await startListener(leader, identity: identity(1, epoch: 5))
    let port = listener.address.port!
    let asked = try await PeerClient.ask(configuration(port), as: identity(2, epoch: 9), on: group)
    #expect(asked.leaderEpoch == LeaderEpoch(5))
    await #expect(throws: PeerRefusal.self) {
      try await PeerClient.ask(
        configuration(port, secret: PeerSecret(Array("a guess of somebody".utf8))), as: identity(2), on: group)
    }
    #expect(leader.admitted.withLock { $0 }.isEmpty)
    #expect(leader.fences.withLock { $0 }.isEmpty)
    let events = Events()
    let client = startClient(port, events: events)
    let sink = FakeSink()
    let log = leader.log(partition(0))
    try log.commit(page: 0, filledWith: 1)
    client.follow(partition(0), topicID: topicID, into: sink)
    try await eventually("it is sent away") { events.disconnections.contains(.notLeader) }
    #expect(sink.state.withLock { $0.applied } == 0)
    leader.refusal.withLock { $0 = nil }
    try await eventually("it is served") { sink.pages.position == log.pages.position }
    await client.stop()
    await listener.stop()
    await #expect(throws: PeerRefusal.self) { try await PeerClient.ask(configuration(port), as: identity(2), on: group) }
  }

  @Test("that is promoted fences its leader first, and a leader that is behind serves nobody")
  func fence() async throws {
    let leader = FakeLeader()
    let listener = try await startListener(leader, identity: identity(1, epoch: 4))
    let port = listener.address.port!
    func fence(_ epoch: Int32, _ key: PeerSecret? = secret) async -> PeerRefusal.Code? {
      do throws(PeerRefusal) {
        try await PeerClient.fence(configuration(port, secret: key), as: identity(2, epoch: epoch), on: group)
        return nil
      } catch { return error.code }
    }
    #expect(await fence(4) == .staleEpoch)
    #expect(await fence(5, PeerSecret(Array("a guess of somebody".utf8))) == .wrongSecret)
    #expect(leader.fences.withLock { $0 }.isEmpty, "nobody is believed without the secret")
    #expect(await fence(5) == nil)
    #expect(leader.fences.withLock { $0 } == [LeaderEpoch(5)])
    let events = Events()
    let client = startClient(port, identity: identity(2, epoch: 6), events: events)
    try await eventually("the follower is sent away") { events.disconnections.contains(.fenced) }
    #expect(leader.fences.withLock { $0.contains(LeaderEpoch(6)) })
    await client.stop()
    await listener.stop()
    #expect(await fence(7) == .disconnected)
  }
}

extension SeededRandom {
  /// - Parameter count: a multiple of 8.
  fileprivate mutating func bytes(_ count: Int) -> [UInt8] {
    var words = [UInt64](repeating: 0, count: count / 8)
    for index in words.indices { words[index] = next() }
    return words.withUnsafeBytes { Array($0) }
  }
}
