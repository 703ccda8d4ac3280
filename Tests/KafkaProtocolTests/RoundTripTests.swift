import Bytes
import FuzzTargets
import KafkaProtocol
import NIOCore
import TestSupport
import Testing

@Suite struct RoundTripTests {
  @Test("any message in any version is read as it was written", arguments: APIKey.allCases)
  func anyMessage(key: APIKey) throws {
    for version in knownVersions(key) {
      for round in 0..<12 { try roundTrip(requestType(key), version, seed: UInt64(version) << 16 | UInt64(round)) }
    }
  }

  private func roundTrip<R: KafkaRequest>(_: R.Type, _ version: Int16, seed: UInt64) throws {
    var filler = RandomFiller(
      version: version, isFlexible: ServedVersions.isFlexible(R.apiKey, version), generator: SeededRandom(seed: seed))
    var request = R()
    try request.fields(&filler)
    let clientID = seed % 3 == 0 ? nil : "c"
    let encoded = KafkaMessageCodec.encodeRequest(request, version: version, correlationID: 7, clientID: clientID)
    #expect(encoded.parts.reduce(0) { $0 + $1.readableBytes } == encoded.byteCount)
    var frame = try frame(of: encoded)
    let header = try RequestHeader.decode(from: &frame)
    #expect(
      header == RequestHeader(apiKey: R.apiKey.rawValue, apiVersion: version, correlationID: 7, clientID: clientID))
    #expect(try KafkaMessageCodec.decode(R.self, from: &frame, version: version) == request, "\(R.self) \(version)")

    var response = R.Response()
    try response.fields(&filler)
    frame = try self.frame(of: KafkaMessageCodec.encodeResponse(response, correlationID: -1, version: version))
    let (id, again) = try KafkaMessageCodec.decodeResponse(R.Response.self, from: &frame, version: version)
    #expect(id == -1)
    #expect(again == response, "\(R.Response.self) \(version)")
  }

  private func frame(of encoded: EncodedMessage) throws -> ByteBuffer {
    var decoder = FrameDecoder()
    for part in encoded.parts { decoder.append(part) }
    return try #require(try decoder.next())
  }

  @Test("a subscription and an assignment are read as they were written", arguments: ConsumerProtocolSubscription.versions)
  func consumerProtocol(version: Int16) throws {
    for round in 0..<20 {
      var filler = RandomFiller(
        version: version, isFlexible: false, generator: SeededRandom(seed: UInt64(version) << 8 | UInt64(round)))
      var subscription = ConsumerProtocolSubscription()
      try subscription.fields(&filler)
      #expect(try ConsumerProtocolSubscription.decode(subscription.encoded(version: version)) == subscription)
      var assignment = ConsumerProtocolAssignment()
      try assignment.fields(&filler)
      #expect(try ConsumerProtocolAssignment.decode(assignment.encoded(version: version)) == assignment)
    }
  }

  @Test("a subscription newer than ours is read as far as we know it")
  func newerSubscription() throws {
    var subscription = ConsumerProtocolSubscription()
    subscription.topics = ["t"]
    subscription.rackID = "r"
    var bytes = subscription.encoded(version: 3)
    bytes.setInteger(Int16(9), at: bytes.readerIndex)
    bytes.writeString("more")
    #expect(try ConsumerProtocolSubscription.decode(bytes) == subscription)
  }
}
