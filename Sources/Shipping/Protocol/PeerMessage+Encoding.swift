internal import Model
internal import NIOCore
internal import Pages

extension PeerMessage {
  /// Kind and fields, as they stand in a frame.
  func encode(into buffer: inout ByteBuffer) {
    buffer.writeInteger(kind.rawValue)
    switch self {
    case .hello(let hello):
      buffer.writeMultipleIntegers(Self.magic, hello.versions.lowerBound, hello.versions.upperBound, hello.intent.rawValue)
      buffer.writeBool(hello.hasSecret)
      buffer.writeIdentity(hello.identity)
      buffer.writeBytes(hello.nonce)
      buffer.writeLongBytes(hello.extensions)
    case .challenge(let challenge):
      buffer.writeInteger(challenge.version)
      buffer.writeBool(challenge.hasSecret)
      buffer.writeIdentity(challenge.identity)
      buffer.writeBytes(challenge.nonce)
      buffer.writeLongBytes(challenge.extensions)
    case .proof(let proof), .welcome(let proof): buffer.writeBytes(proof)
    case .goodbye(let refusal): buffer.writeRefusal(refusal)
    case .ping: break
    case .credit(let count): buffer.writeInteger(count)
    case .clusterBegins(let isSnapshot): buffer.writeBool(isSnapshot)
    case .topic(let topic):
      buffer.writeText(topic.name)
      buffer.writeMultipleIntegers(topic.id.high, topic.id.low, UInt32(topic.leaderEpochs.count))
      for epoch in topic.leaderEpochs { buffer.writeInteger(epoch.rawValue) }
      buffer.writeSettings(topic.settings)
    case .topicRemoved(let id): buffer.writeMultipleIntegers(id.high, id.low)
    case .clusterEnds(let head):
      buffer.writeIdentity(head.identity)
      buffer.writeInteger(head.version)
      buffer.writeText(head.kafkaAddress)
      buffer.writeInteger(head.registration)
      buffer.writeSettings(head.settings)
    default: encodeStreamMessage(into: &buffer)
    }
  }

  private func encodeStreamMessage(into buffer: inout ByteBuffer) {
    switch self {
    case .follow(let request):
      buffer.writeInteger(request.stream.rawValue)
      buffer.writeText(request.partition.topic)
      buffer.writeMultipleIntegers(request.partition.partition, request.topicID.high, request.topicID.low)
      buffer.writeBool(request.standing != nil)
      if let standing = request.standing {
        buffer.writePosition(standing.position)
        buffer.writeMultipleIntegers(standing.sum.rawValue, UInt32(clamping: standing.pageCount))
      }
    case .unfollow(let stream): buffer.writeInteger(stream.rawValue)
    case .durable(let stream, let acknowledged):
      buffer.writeInteger(stream.rawValue)
      buffer.writePosition(acknowledged.position)
      buffer.writeBool(acknowledged.isComplete)
    case .pageHashes(let piece):
      buffer.writeMultipleIntegers(piece.stream.rawValue, piece.segmentBase, UInt32(piece.totalCount), UInt32(piece.start))
      buffer.reserveCapacity(minimumWritableBytes: 8 * piece.hashes.count)
      for hash in piece.hashes { buffer.writeInteger(hash) }
    case .wantFile(let request):
      buffer.writeMultipleIntegers(
        request.stream.rawValue, request.base, request.generation, request.offset, request.maxBytes)
    case .pages(let stream, let bytes):
      buffer.writeInteger(stream.rawValue)
      buffer.writeImmutableBuffer(bytes)
    case .highWatermark(let stream, let offset): buffer.writeMultipleIntegers(stream.rawValue, offset.rawValue)
    case .wantPageHashes(let stream, let segmentBase): buffer.writeMultipleIntegers(stream.rawValue, segmentBase)
    case .file(let piece):
      buffer.writeMultipleIntegers(piece.stream.rawValue, piece.base, piece.generation, piece.offset, piece.totalBytes)
      buffer.writeBool(piece.isLast)
      buffer.writeImmutableBuffer(piece.bytes)
    case .noFile(let stream, let base, let generation): buffer.writeMultipleIntegers(stream.rawValue, base, generation)
    case .refused(let stream, let refusal):
      buffer.writeInteger(stream.rawValue)
      buffer.writeRefusal(refusal)
    case .lag(let stream, let lag):
      buffer.writeMultipleIntegers(stream.rawValue, lag.commits, lag.bytes, lag.milliseconds)
    default: preconditionFailure("\(kind) is written as a message of the connection")
    }
  }
}

extension ByteBuffer {
  fileprivate mutating func writeBool(_ value: Bool) { writeInteger(value ? 1 : 0, as: UInt8.self) }

  /// - Precondition: it has less than 64 KiB; what may have more is cut before.
  fileprivate mutating func writeText(_ text: String) {
    writeInteger(UInt16(text.utf8.count))
    writeString(text)
  }

  fileprivate mutating func writeLongBytes(_ bytes: some Collection<UInt8>) {
    writeInteger(UInt32(bytes.count))
    writeBytes(bytes)
  }

  fileprivate mutating func writeSettings(_ settings: [String: String]) {
    writeInteger(UInt32(settings.count))
    // By their bytes, which is what a reader compares.
    for (key, value) in settings.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
      writeText(key)
      writeLongBytes(value.utf8)
    }
  }

  fileprivate mutating func writeIdentity(_ identity: PeerIdentity) {
    writeInteger(identity.node.rawValue)
    writeText(identity.clusterID)
    writeInteger(identity.leaderEpoch.rawValue)
    writeText(identity.address)
  }

  fileprivate mutating func writePosition(_ position: CommitPosition) {
    writeMultipleIntegers(position.leaderEpoch.rawValue, position.segmentBase.rawValue, position.commitSequence)
  }

  fileprivate mutating func writeRefusal(_ refusal: PeerRefusal) {
    writeInteger(refusal.code.rawValue)
    writeText(refusal.words)
  }
}
