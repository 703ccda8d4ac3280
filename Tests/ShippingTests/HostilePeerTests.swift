import Model
import NIOCore
import Pages
import Synchronization
import TestSupport
import Testing

@testable import Shipping

@Suite("Peers that are dead, rude or somebody else") struct HostilePeerTests {
  /// Long enough for a greeting on a slow machine.
  private static var impatient: PeerTiming {
    var timing = patient
    timing.deadAfter = .seconds(3)
    return timing
  }

  @Test("a follower that says nothing any more is noticed, and its sources are closed")
  func silentFollower() async throws {
    let leader = FakeLeader()
    let log = leader.log(partition(0))
    try log.commit(page: 0, filledWith: 1)
    let listener = try await startListener(leader, timing: Self.impatient)
    let follower = try RawPeer(port: listener.address.port!)
    try await follower.greet(as: identity(2))
    try await follower.send(
      .follow(FollowRequest(stream: StreamID(rawValue: 1), partition: partition(0), topicID: topicID, standing: nil)))
    #expect(try await follower.receiveEnd()?.code == .silent)
    try await eventually("its source is closed") { leader.openCount == 0 && listener.followers.isEmpty }
    await listener.stop()
  }

  @Test("a leader that says nothing any more, or nothing at all, is left, and tried again until it answers")
  func silentLeader() async throws {
    let port = try RawPort()
    var timing = Self.impatient
    timing.greetingWithin = .milliseconds(500)
    let events = Events()
    let client = startClient(port.port, timing: timing, events: events)
    // The first one does not even greet.
    let first = try await port.accept()
    #expect(try await first.receiveEnd()?.code == .silent)
    try await eventually("it was noticed") { events.refusals.first == .silent }
    // Others do, if the machine lets them in time, and stand still then.
    for _ in 0..<10 where !events.disconnections.contains(.silent) {
      let next = try await port.accept()
      try? await next.welcome(as: identity(1))
      _ = try await next.receiveEnd()
    }
    try await eventually("this, too") { events.disconnections.contains(.silent) }
    await client.stop()
  }

  @Test(
    "whoever has another secret, or none, is told so, and comes no further",
    arguments: [nil, PeerSecret(Array("0123456789abcdef".utf8))])
  func wrongSecret(other: PeerSecret?) async throws {
    let leader = FakeLeader()
    let listener = try await startListener(leader)
    let events = Events()
    let client = startClient(listener.address.port!, secret: other, events: events)
    try await eventually("it is refused") { events.refusals.contains(other == nil ? .secretNeeded : .wrongSecret) }
    #expect(events.connectionCount == 0 && listener.followers.isEmpty)
    await client.stop()
    await listener.stop()
  }

  @Test(
    "garbage, huge lengths, messages out of place and lies about what was agreed cost the connection they came over, and no other"
  )
  func garbage() async throws {
    try await Pair.run { pair in
      let (log, sink) = pair.follow(partition(0))
      try log.commit(page: 0, filledWith: 1)
      let port = pair.listener.address.port!
      func end(_ isGreeted: Bool = true, _ rudeness: (RawPeer) async throws -> Void) async throws -> PeerRefusal.Code? {
        let peer = try RawPeer(port: port)
        if isGreeted { try await peer.greet(as: identity(3)) }
        try await rudeness(peer)
        return try await peer.receiveEnd()?.code
      }
      let stream = StreamID(rawValue: 1)
      let follow = PeerMessage.follow(FollowRequest(stream: stream, partition: partition(0), topicID: topicID, standing: nil))
      #expect(try await end(false) { try await $0.send(Array("GET / HTTP/1.1\r\nHost: quire\r\n\r\n".utf8)) } == .malformed)
      #expect(try await end(false) { try await $0.send([0x7F, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0]) } == .malformed)
      #expect(try await end(false) { try await $0.send(follow) } == .malformed)
      #expect(try await end { try await $0.send([0, 0x20, 0, 0, 0, 0, 0, 0]) } == .malformed)
      #expect(try await end { try await $0.send(.welcome([])) } == .malformed)
      #expect(try await end { try await $0.send(.credit(.max)) } == .malformed)
      let window = PeerMessage.credit(UInt32(Limits.peerWindowBytes))
      #expect(try await end { try await $0.send(window, window) } == .malformed)
      #expect(try await end { try await $0.send(follow, follow) } == .malformed)
      #expect(
        try await end {
          try await $0.send(
            follow, .pageHashes(HashPiece(stream: stream, segmentBase: 0, totalCount: 9, start: 4, hashes: [1])))
        } == .malformed)
      let file = PeerMessage.wantFile(FileRequest(stream: stream, base: 0, generation: 0, offset: 0, maxBytes: 1))
      #expect(try await end { try await $0.send(follow, file, file, file, file, file, file) } == .malformed)
      // What is said of streams that are gone, or never were, is let pass: it may have crossed their end.
      let peer = try RawPeer(port: port)
      try await peer.greet(as: identity(3))
      try await peer.send(.durable(StreamID(rawValue: 9), Acknowledgement(position: .zero, isComplete: true)))
      try await peer.send(.unfollow(StreamID(rawValue: 9)))
      try await peer.send(.goodbye(PeerRefusal(.stopping, "bye")))
      #expect(try await peer.receiveEnd()?.code == .stopping)
      try log.commit(page: 1, filledWith: 2)
      try await eventually("the follower was not disturbed") { sink.pages == log.pages }
      #expect(pair.events.connectionCount == 1)
      try await eventually("nothing is left of the others") { pair.leader.openCount == 1 }
    }
  }

  @Test("a crowd that only knocks does not keep a follower out")
  func crowd() async throws {
    let leader = FakeLeader()
    let listener = try await startListener(leader)
    let crowd = try (0..<Limits.peerGreetingsMax + 20).map { _ in try RawPeer(port: listener.address.port!) }
    // Some say a little.
    for peer in crowd.suffix(10) { try await peer.send([0, 0]) }
    try await eventually("the oldest are sent away") { crowd.count { $0.isReadable } >= 20 }
    let events = Events()
    let client = startClient(listener.address.port!, events: events)
    try await eventually("the follower is let in") { events.connectionCount == 1 }
    await client.stop()
    await listener.stop()
  }

  @Test("a follower that takes nothing costs what fits into its connection, and the others nothing")
  func neverReads() async throws {
    try await Pair.run { pair in
      let (log, sink) = pair.follow(partition(0))
      let big = pair.leader.log(partition(1))
      try big.commit(page: 0, filledWith: 1)
      let peer = try RawPeer(port: pair.listener.address.port!)
      try await peer.greet(as: identity(3))
      try await peer.send(.credit(UInt32(Limits.peerWindowBytes)))
      try await peer.send(
        .follow(FollowRequest(stream: StreamID(rawValue: 1), partition: partition(1), topicID: topicID, standing: nil)))
      try await eventually("it is served") { big.state.withLock { $0.pulledBytes } > 0 }
      for round in 0..<20 as Range<UInt8> {
        try big.commit(page: 0, filledWith: round, count: 8192)
        try log.commit(page: 0, filledWith: round)
        try await eventually("commit \(round) arrives at the other one") { sink.pages == log.pages }
      }
      #expect(big.state.withLock { $0.pulledBytes } <= Limits.peerWindowBytes + (8 << 20))
    }
  }

  @Test("a node that connects anew takes the place of its former connection")
  func replaced() async throws {
    let leader = FakeLeader()
    let listener = try await startListener(leader)
    let first = try RawPeer(port: listener.address.port!)
    try await first.greet(as: identity(2))
    let second = try RawPeer(port: listener.address.port!)
    try await second.greet(as: identity(2))
    #expect(try await first.receiveEnd()?.code == .replaced)
    try await second.send(.goodbye(PeerRefusal(.stopping, "bye")))
    #expect(try await second.receiveEnd()?.code == .stopping)
    await listener.stop()
  }

  @Test("a leader that sends more than it was allowed to, or files that nobody asked for, is left")
  func rudeLeader() async throws {
    let port = try RawPort()
    let events = Events()
    let client = startClient(port.port, events: events)
    let sink = FakeSink()
    client.follow(partition(0), topicID: topicID, into: sink)
    let first = try await port.accept()
    try await first.welcome(as: identity(1))
    let stream = try #require(try await first.receiveFollow())
    // Of a stream that is gone, which is let pass and may be sent anew.
    let gone = PeerMessage.pages(StreamID(rawValue: 99), ByteBuffer(repeating: 0, count: 1 << 19))
    for _ in 0..<(2 * Limits.peerWindowBytes >> 19) { #expect(try await first.send(gone)) }
    let file = FilePiece(
      stream: stream, base: 0, generation: 0, offset: 0, totalBytes: 1, isLast: true, bytes: ByteBuffer(bytes: [1]))
    try await first.send(.file(file))
    try await eventually("a file that nobody asked for") { events.disconnections == [.malformed] }

    let second = try await port.accept()
    try await second.welcome(as: identity(1))
    let next = try #require(try await second.receiveFollow())
    sink.hold(true)
    let log = FakeLog()
    try log.commit(page: 0, filledWith: 1)
    var set: [UInt8] = []
    try log.state.withLock { try #require($0.sets[0]) }.encode(into: &set)
    try await second.send(.pages(next, ByteBuffer(bytes: set)))
    for _ in 0...(Limits.peerWindowBytes >> 19) {
      // It hangs up while there is still something to be said.
      if try await !second.send(.pages(next, ByteBuffer(repeating: 1, count: 1 << 19))) { break }
    }
    try await eventually("more than was allowed") { events.disconnections == [.malformed, .tooMuch] }
    sink.hold(false)
    await client.stop()
  }
}
