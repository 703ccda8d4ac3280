import Bytes
import Model
import NIOCore
import Pages
import TestSupport
import Testing

@testable import Shipping

@Suite("Peer messages as bytes") struct MessageTests {
  private static let stream = StreamID(rawValue: 7)
  private static let position = CommitPosition(leaderEpoch: LeaderEpoch(3), segmentBase: Offset(4096), commitSequence: 42)
  private static let nonce = [UInt8](repeating: 9, count: 32)

  /// One of each kind.
  static let all: [PeerMessage] = [
    .hello(PeerHello(versions: 1...3, intent: .fence, hasSecret: true, identity: identity(2), nonce: nonce, extensions: [1])),
    .challenge(PeerChallenge(version: 1, hasSecret: false, identity: identity(1, epoch: -1), nonce: nonce)),
    .proof(nonce), .proof([]), .welcome(nonce), .goodbye(PeerRefusal(.replaced, "node 2 has connected anew")), .ping,
    .follow(FollowRequest(stream: stream, partition: partition(3, "t.ü"), topicID: topicID, standing: nil)),
    .follow(
      FollowRequest(
        stream: stream, partition: partition(0), topicID: topicID,
        standing: FollowerStanding(position: position, sum: DatabaseSum(99), pageCount: 12))),
    .unfollow(stream), .durable(stream, Acknowledgement(position: position, isComplete: true)),
    .pageHashes(HashPiece(stream: stream, segmentBase: 4096, totalCount: 5, start: 2, hashes: [1, .max])),
    .wantFile(FileRequest(stream: stream, base: 1, generation: 2, offset: 3, maxBytes: 4)), .credit(1 << 20),
    .pages(stream, ByteBuffer(string: "some pages")), .highWatermark(stream, Offset(77)),
    .wantPageHashes(stream, segmentBase: 4096),
    .file(
      FilePiece(
        stream: stream, base: 1, generation: 2, offset: 3, totalBytes: 9, isLast: true, bytes: ByteBuffer(string: "rest"))),
    .noFile(stream, base: 1, generation: 2), .refused(stream, PeerRefusal(.notLeader, "")),
    .lag(stream, ReplicaLag(commits: 1, bytes: 2, milliseconds: 3)), .clusterBegins(isSnapshot: true),
    .topic(
      ShippedTopic(
        name: "t", id: topicID, leaderEpochs: [LeaderEpoch(0), LeaderEpoch(3)], settings: ["b": "2", "a": "", "ä": "ö"])),
    .topicRemoved(topicID),
    .clusterEnds(ClusterHead(identity: identity(1), version: 8, kafkaAddress: "a:9092", registration: 7, settings: ["x": "y"])),
  ]

  private static func payload(_ message: PeerMessage) -> ByteBuffer {
    var buffer = ByteBuffer()
    message.encode(into: &buffer)
    return buffer
  }

  @Test("each is read as it was meant", arguments: all)
  func roundTrip(message: PeerMessage) throws {
    #expect(try PeerMessage.decode(Self.payload(message)) == message)
  }

  @Test("a frame is what the format says")
  func golden() {
    let frame = Array(
      PeerFrame.encode(.durable(Self.stream, Acknowledgement(position: Self.position, isComplete: true))).readableBytesView)
    let payload: [UInt8] = [18, 0, 0, 0, 7, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 42, 1]
    let checksum = payload.withUnsafeBytes { CRC32C.checksum($0) }
    #expect(frame == [0, 0, 0, 26] + (0..<4).map { UInt8(truncatingIfNeeded: checksum >> UInt32(24 - 8 * $0)) } + payload)
  }

  @Test("a part of a message, or one with something behind it, is none", arguments: all)
  func cut(message: PeerMessage) {
    let payload = Self.payload(message)
    // The rest of these is as long as the frame is.
    var hasRest = false
    switch message {
    case .pages, .file, .pageHashes: hasRest = true
    default: break
    }
    for length in 0..<payload.readableBytes {
      let part = payload.getSlice(at: 0, length: length)!
      let read = try? PeerMessage.decode(part)
      #expect(
        read == nil || hasRest || read?.kind == .proof || read?.kind == .welcome, "the first \(length) bytes of \(message.kind)"
      )
      #expect(read != message)
    }
    var longer = payload
    longer.writeInteger(0, as: UInt8.self)
    let read = try? PeerMessage.decode(longer)
    #expect(read == nil || hasRest || read?.kind == .proof || read?.kind == .welcome, "\(message.kind)")
  }

  @Test("a stream of all of them comes out whole, however it is cut, and random changes of it end in errors")
  func streams() {
    var stream = ByteBuffer()
    for message in Self.all { stream.writeImmutableBuffer(PeerFrame.encode(message)) }
    for size in [1, 2, 7, 100, 10_000] {
      var decoder = PeerFrameDecoder(bytesMax: 1 << 16)
      var rest = stream
      var messages: [PeerMessage] = []
      while rest.readableBytes > 0 {
        decoder.append(rest.readSlice(length: min(size, rest.readableBytes))!)
        while let payload = try? decoder.next() {
          if let message = try? PeerMessage.decode(payload) { messages.append(message) }
        }
      }
      #expect(messages == Self.all)
    }
    stream.withUnsafeReadableBytes { ShippingFuzzing.stream($0) }
    var random = SeededRandom(seed: 11)
    for message in Self.all {
      let payload = Array(Self.payload(message).readableBytesView)
      for _ in 0..<200 {
        var changed = payload
        changed[Int(random.next() % UInt64(changed.count))] = UInt8(truncatingIfNeeded: random.next())
        changed.withUnsafeBytes { ShippingFuzzing.message($0) }
      }
    }
  }

  @Test("a frame that promises much, is empty, or was changed on its way ends the stream, and costs what has come")
  func hostileFrames() throws {
    var decoder = PeerFrameDecoder(bytesMax: 100)
    decoder.append(ByteBuffer(bytes: [0, 0, 0, 101, 0, 0, 0, 0]))
    #expect(throws: WireError.self) { try decoder.next() }
    decoder = PeerFrameDecoder(bytesMax: 1 << 30)
    decoder.append(ByteBuffer(bytes: [0x3F, 0, 0, 0, 0, 0, 0, 0, 1]))
    #expect(try decoder.next() == nil)
    #expect(decoder.bufferedBytes == 9)
    decoder = PeerFrameDecoder(bytesMax: 100)
    decoder.append(ByteBuffer(repeating: 0, count: 8))
    #expect(throws: WireError.self) { try decoder.next() }
    var frame = PeerFrame.encode(.unfollow(Self.stream))
    frame.setInteger(8, at: frame.writerIndex - 1, as: UInt8.self)
    decoder = PeerFrameDecoder(bytesMax: 100)
    decoder.append(frame)
    #expect(throws: WireError.self) { try decoder.next() }
  }

  @Test("what a cluster became is told in as few topics as changed, and arrives whole")
  func clusters() throws {
    func topic(_ number: UInt64, _ name: String, _ settings: [String: String] = [:]) -> ShippedTopic {
      ShippedTopic(name: name, id: TopicID(high: 0, low: number), leaderEpochs: [.zero], settings: settings)
    }
    func image(_ version: Int64, _ topics: [ShippedTopic]) -> ShippedCluster {
      ShippedCluster(
        identity: identity(1), version: version, settings: ["v": "\(version)"],
        topics: Dictionary(uniqueKeysWithValues: topics.map { ($0.id, $0) }))
    }
    let images = [
      image(1, [topic(1, "a"), topic(2, "b"), topic(3, "c")]),
      image(2, [topic(1, "a"), topic(3, "c", ["retention.ms": "1"]), topic(4, "b")]),
      image(3, []),
    ]
    #expect(images[0].messages(since: nil).count == 5)
    #expect(
      images[1].messages(since: images[0]).map(\.kind) == [.clusterBegins, .topicRemoved, .topic, .topic, .clusterEnds])
    var arriving = ArrivingCluster()
    var earlier: ShippedCluster?
    for image in images {
      var arrived: ShippedCluster?
      for message in image.messages(since: earlier) {
        switch message {
        case .clusterBegins(let isSnapshot): try arriving.begin(isSnapshot: isSnapshot)
        case .topic(let topic): try arriving.set(topic)
        case .topicRemoved(let id): try arriving.remove(id)
        case .clusterEnds(let head): arrived = try arriving.end(head)
        default: Issue.record("\(message.kind)")
        }
      }
      #expect(arrived == image)
      earlier = image
    }
    #expect(throws: PeerRefusal.self) { try arriving.set(topic(9, "of no cluster")) }
    var fresh = ArrivingCluster()
    #expect(throws: PeerRefusal.self) { try fresh.begin(isSnapshot: false) }
  }

  @Test("a throttle lets no more through than it says, over any length of time")
  func throttle() {
    var now = NIODeadline.uptimeNanoseconds(1_000_000_000)
    let start = now
    var throttle = Throttle(bytesPerSecond: 1000, now: now)
    var taken = 0
    while taken < 20_000 {
      if let wait = throttle.wait(at: now) {
        now = now + wait
      } else {
        throttle.take(700)
        taken += 700
      }
    }
    let seconds = Double((now - start).nanoseconds) / 1e9
    #expect(abs(seconds - 20) < 1.5, "\(taken) bytes in \(seconds) s")
    // Time in which nothing is taken is not saved up.
    now = now + .seconds(100)
    var burst = 0
    while throttle.wait(at: now) == nil {
      throttle.take(50)
      burst += 50
    }
    #expect(burst <= 300)
  }

  @Test("a follower that never acknowledges is counted in bounded memory, and to the last commit")
  func unacknowledged() {
    func position(_ sequence: Int64) -> CommitPosition {
      CommitPosition(leaderEpoch: LeaderEpoch(1), segmentBase: .zero, commitSequence: sequence)
    }
    var sets = UnacknowledgedSets()
    let now = NIODeadline.uptimeNanoseconds(5_000_000_000)
    for sequence in 0..<1000 as Range<Int64> {
      sets.append(before: position(sequence), after: position(sequence + 1), bytes: 10, since: now)
    }
    let later = now + .milliseconds(70)
    #expect(
      sets.lag(at: later, backlog: .none, waitingSince: nil) == ReplicaLag(commits: 1000, bytes: 10_000, milliseconds: 70))
    sets.acknowledge(position(100))
    #expect(sets.lag(at: later, backlog: .none, waitingSince: nil).commits == 900)
    sets.acknowledge(position(1000))
    #expect(sets.isEmpty && sets.lag(at: later, backlog: .none, waitingSince: nil) == .none)
  }
}
