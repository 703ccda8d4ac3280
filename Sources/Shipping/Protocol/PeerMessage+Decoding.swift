internal import Bytes
internal import Model
internal import NIOCore
internal import Pages

extension PeerMessage {
  /// - Parameter payload: kind and fields of one frame.
  /// - Throws: `WireError` for anything that `encode` does not write.
  static func decode(_ payload: ByteBuffer) throws(WireError) -> PeerMessage {
    try payload.withReader { (reader: inout ByteReader) throws(WireError) -> PeerMessage in
      let number: UInt8 = try reader.integer()
      guard let kind = Kind(rawValue: number) else { throw .malformed("message of kind \(number)") }
      let message = try decode(kind, &reader, payload)
      guard reader.isAtEnd else { throw .malformed("\(reader.remaining) bytes behind a message of kind \(number)") }
      return message
    }
  }

  private static func decode(
    _ kind: Kind, _ reader: inout ByteReader, _ payload: ByteBuffer
  ) throws(WireError) -> PeerMessage {
    switch kind {
    case .hello: .hello(try hello(&reader))
    case .challenge:
      .challenge(
        PeerChallenge(
          version: try reader.integer(), hasSecret: try reader.flag(), identity: try reader.identity(),
          nonce: Array(try reader.bytes(nonceByteCount)), extensions: Array(try reader.longBytes())))
    case .proof: .proof(try reader.proof())
    case .welcome: .welcome(try reader.proof())
    case .goodbye: .goodbye(try reader.refusal())
    case .ping: .ping
    case .credit: .credit(try reader.integer())
    case .clusterBegins: .clusterBegins(isSnapshot: try reader.flag())
    case .topic:
      .topic(
        ShippedTopic(
          name: try reader.text(), id: try reader.topicID(), leaderEpochs: try reader.leaderEpochs(),
          settings: try reader.settings()))
    case .topicRemoved: .topicRemoved(try reader.topicID())
    case .clusterEnds:
      .clusterEnds(
        ClusterHead(
          identity: try reader.identity(), version: try reader.integer(), kafkaAddress: try reader.text(),
          registration: try reader.integer(), settings: try reader.settings()))
    default: try decodeStreamMessage(kind, &reader, payload)
    }
  }

  private static func hello(_ reader: inout ByteReader) throws(WireError) -> PeerHello {
    guard try reader.integer() == magic else { throw .malformed("a greeting of another protocol") }
    let lowest: UInt16 = try reader.integer()
    let highest: UInt16 = try reader.integer()
    guard lowest <= highest else { throw .malformed("versions \(lowest) to \(highest)") }
    let number: UInt8 = try reader.integer()
    guard let intent = PeerHello.Intent(rawValue: number) else { throw .malformed("intent \(number)") }
    return PeerHello(
      versions: lowest...highest, intent: intent, hasSecret: try reader.flag(), identity: try reader.identity(),
      nonce: Array(try reader.bytes(nonceByteCount)), extensions: Array(try reader.longBytes()))
  }

  private static func decodeStreamMessage(
    _ kind: Kind, _ reader: inout ByteReader, _ payload: ByteBuffer
  ) throws(WireError) -> PeerMessage {
    let stream = StreamID(rawValue: try reader.integer())
    switch kind {
    case .follow:
      let topic = try reader.text()
      let partition = TopicPartition(topic: topic, partition: try reader.integer())
      let id = try reader.topicID()
      return .follow(
        FollowRequest(
          stream: stream, partition: partition, topicID: id, standing: try reader.flag() ? try reader.standing() : nil))
    case .unfollow: return .unfollow(stream)
    case .durable:
      return .durable(stream, Acknowledgement(position: try reader.position(), isComplete: try reader.flag()))
    case .pageHashes: return .pageHashes(try hashPiece(stream, &reader))
    case .wantFile:
      return .wantFile(
        FileRequest(
          stream: stream, base: try reader.integer(), generation: try reader.integer(), offset: try reader.natural(),
          maxBytes: try reader.integer()))
    case .pages: return .pages(stream, try reader.rest(of: payload))
    case .highWatermark: return .highWatermark(stream, Offset(try reader.integer()))
    case .wantPageHashes: return .wantPageHashes(stream, segmentBase: try reader.integer())
    case .file:
      let piece = FilePiece(
        stream: stream, base: try reader.integer(), generation: try reader.integer(), offset: try reader.natural(),
        totalBytes: try reader.natural(), isLast: try reader.flag(), bytes: try reader.rest(of: payload))
      guard piece.offset <= piece.totalBytes, Int64(piece.bytes.readableBytes) <= piece.totalBytes - piece.offset else {
        throw .malformed("bytes behind the end of a file")
      }
      return .file(piece)
    case .noFile: return .noFile(stream, base: try reader.integer(), generation: try reader.integer())
    case .refused: return .refused(stream, try reader.refusal())
    case .lag:
      return .lag(
        stream,
        ReplicaLag(commits: try reader.natural(), bytes: try reader.natural(), milliseconds: try reader.natural()))
    default: preconditionFailure("\(kind) is read as a message of the connection")
    }
  }

  private static func hashPiece(_ stream: StreamID, _ reader: inout ByteReader) throws(WireError) -> HashPiece {
    let segmentBase: Int64 = try reader.integer()
    let total = Int(try reader.integer(UInt32.self))
    let start = Int(try reader.integer(UInt32.self))
    guard reader.remaining % 8 == 0 else { throw .malformed("part of a page hash") }
    let count = reader.remaining / 8
    guard total <= Limits.peerPageHashesMax, start <= total, count <= total - start else {
      throw .malformed("page hashes \(start) to \(start + count) of \(total)")
    }
    var hashes: [UInt64] = []
    hashes.reserveCapacity(count)
    for _ in 0..<count { hashes.append(try reader.integer()) }
    return HashPiece(stream: stream, segmentBase: segmentBase, totalCount: total, start: start, hashes: hashes)
  }
}

extension ByteReader {
  fileprivate mutating func flag() throws(WireError) -> Bool {
    let value: UInt8 = try integer()
    guard value <= 1 else { throw .malformed("neither yes nor no") }
    return value == 1
  }

  /// A number of things: not negative.
  fileprivate mutating func natural() throws(WireError) -> Int64 {
    let value: Int64 = try integer()
    guard value >= 0 else { throw .implausibleLength(value) }
    return value
  }

  private mutating func utf8(_ byteCount: Int) throws(WireError) -> String {
    guard let text = String(validating: try bytes(byteCount), as: UTF8.self) else { throw .malformed("text that is not UTF-8") }
    return text
  }

  fileprivate mutating func text() throws(WireError) -> String { try utf8(Int(try integer(UInt16.self))) }

  fileprivate mutating func longBytes() throws(WireError) -> UnsafeRawBufferPointer {
    try bytes(Int(try integer(UInt32.self)))
  }

  fileprivate mutating func settings() throws(WireError) -> [String: String] {
    let count = Int(try integer(UInt32.self))
    var settings: [String: String] = [:]
    var previous: String?
    for _ in 0..<count {
      let key = try text()
      if let previous, !previous.utf8.lexicographicallyPrecedes(key.utf8) { throw .malformed("settings that are not in order") }
      previous = key
      settings[key] = try utf8(Int(try integer(UInt32.self)))
    }
    // Strings are equal that have the same characters, with other bytes.
    guard settings.count == count else { throw .malformed("a setting that comes twice") }
    return settings
  }

  fileprivate mutating func identity() throws(WireError) -> PeerIdentity {
    PeerIdentity(
      node: NodeID(try integer()), clusterID: try text(), leaderEpoch: LeaderEpoch(try integer()), address: try text())
  }

  fileprivate mutating func leaderEpochs() throws(WireError) -> [LeaderEpoch] {
    let count = Int(try integer(UInt32.self))
    guard count <= remaining / 4 else { throw .implausibleLength(Int64(count)) }
    var epochs: [LeaderEpoch] = []
    for _ in 0..<count { epochs.append(LeaderEpoch(try integer())) }
    return epochs
  }

  fileprivate mutating func topicID() throws(WireError) -> TopicID {
    TopicID(high: try integer(), low: try integer())
  }

  fileprivate mutating func position() throws(WireError) -> CommitPosition {
    CommitPosition(
      leaderEpoch: LeaderEpoch(try integer()), segmentBase: Offset(try integer()), commitSequence: try integer())
  }

  fileprivate mutating func standing() throws(WireError) -> FollowerStanding {
    FollowerStanding(
      position: try position(), sum: DatabaseSum(try integer()), pageCount: Int(try integer(UInt32.self)))
  }

  fileprivate mutating func refusal() throws(WireError) -> PeerRefusal {
    let code = PeerRefusal.Code(rawValue: try integer())
    let words = try text()
    guard words.utf8.count <= PeerRefusal.wordsBytesMax else { throw .malformed("too many words") }
    return PeerRefusal(code, words)
  }

  fileprivate mutating func proof() throws(WireError) -> [UInt8] {
    guard remaining == 0 || remaining == SHA256.byteCount else { throw .malformed("a proof of \(remaining) bytes") }
    return Array(try bytes(remaining))
  }

  /// What is left, without a copy.
  fileprivate mutating func rest(of payload: ByteBuffer) throws(WireError) -> ByteBuffer {
    let start = payload.readerIndex + index
    let count = remaining
    try skip(count)
    return payload.getSlice(at: start, length: count)!
  }
}
