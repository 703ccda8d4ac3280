import Bytes
import KafkaProtocol
import Model
import NIOCore
import Testing

@Suite struct VersionRulesTests {
  @Test("Produce is offered from version 0 on, and read from version 3 on")
  func produceRange() {
    #expect(ServedVersions.range(.produce) == 0...11)
    #expect(ServedVersions.accepted(.produce) == 3...11)
    #expect(ServedVersions.advertised.map(\.0) == APIKey.allCases)
    #expect(ServedVersions.advertised.allSatisfy { $0.1 == ServedVersions.range($0.0) })
  }

  @Test("an ApiVersions response never has tagged fields in its header")
  func apiVersionsHeader() throws {
    for version: Int16 in 0...4 {
      let frame = KafkaMessageCodec.encodeResponse(ApiVersionsResponse(), correlationID: 0x0A0B0C0D, version: version).joined
      // Length, correlation id, then the error code at once.
      #expect(frame.getInteger(at: 8, as: Int16.self) == 0)
      #expect(frame.getInteger(at: 4, as: Int32.self) == 0x0A0B0C0D)
      #expect(frame.getInteger(at: 10, as: UInt8.self) == (version >= 3 ? 1 : 0))
    }
  }

  @Test("the header of an ApiVersions request in a version yet to come can be read")
  func futureApiVersions() throws {
    var frame = ByteBuffer(bytes: try #require(fromHex("0012 0063 0000002a 0001 63 01 05 02 abcd 7f7f7f")))
    let header = try RequestHeader.decode(from: &frame)
    #expect(header == RequestHeader(apiKey: 18, apiVersion: 99, correlationID: 42, clientID: "c"))
    #expect(frame.readableBytes == 3)
  }

  @Test("a client id that is not UTF-8 is read with replacement characters, as in Kafka")
  func clientIDNotUTF8() throws {
    var frame = ByteBuffer(bytes: try #require(fromHex("0003 0000 00000001 0003 61ff62")))
    let header = try RequestHeader.decode(from: &frame)
    #expect(header.clientID == "a\u{FFFD}b")
    #expect(frame.readableBytes == 0)
  }

  @Test("the header of a request that nobody knows can be read")
  func unknownKey() throws {
    var frame = ByteBuffer(bytes: try #require(fromHex("0fff 0001 00000001 ffff 00")))
    let header = try RequestHeader.decode(from: &frame)
    #expect(APIKey(rawValue: header.apiKey) == nil)
    #expect(header.clientID == nil)
  }

  @Test("null is written as empty where a version has no null")
  func nullWhereThereIsNone() throws {
    var request = MetadataRequest()
    request.topics = nil
    var frame = KafkaMessageCodec.encodeRequest(request, version: 0, correlationID: 1, clientID: nil).joined
    frame.moveReaderIndex(forwardBy: 14)
    #expect(hex(frame) == "00000000")
  }

  @Test("text too long for an old version is cut at a character, and whole in a flexible one")
  func longText() throws {
    var group = ListGroupsResponse.ListedGroup()
    group.groupID = String(repeating: "a", count: 32766) + "é"
    var response = ListGroupsResponse()
    response.groups = [group]
    var old = KafkaMessageCodec.encodeResponse(response, correlationID: 1, version: 0).joined
    old.moveReaderIndex(forwardBy: 4)
    let cut = try KafkaMessageCodec.decodeResponse(ListGroupsResponse.self, from: &old, version: 0).response
    #expect(cut.groups[0].groupID == String(repeating: "a", count: 32766))
    var flexible = KafkaMessageCodec.encodeResponse(response, correlationID: 1, version: 3).joined
    flexible.moveReaderIndex(forwardBy: 4)
    #expect(
      try KafkaMessageCodec.decodeResponse(ListGroupsResponse.self, from: &flexible, version: 3).response.groups == [group])
  }

  @Test("tagged fields that we do not know are kept, and written back in order between those we do")
  func unknownTaggedFields() throws {
    // ApiVersions 3: tags 1 (epoch 5), 2 (no features), 9 (unknown), here in the wrong order.
    let body = "0000 01 00000000 03 09 02 beef 01 08 0000000000000005 02 01 01"
    var bytes = ByteBuffer(bytes: try #require(fromHex(body)))
    let response: ApiVersionsResponse = try KafkaMessageCodec.decode(from: &bytes, version: 3)
    #expect(response.finalizedFeaturesEpoch == 5)
    #expect(response.unknownTaggedFields == [TaggedField(tag: 9, bytes: ByteBuffer(bytes: [0xBE, 0xEF]))])
    var again = KafkaMessageCodec.encodeResponse(response, correlationID: 1, version: 3).joined
    again.moveReaderIndex(forwardBy: 8)
    #expect(hex(again) == "00000100000000" + "02" + "01080000000000000005" + "0902beef")
  }
}
