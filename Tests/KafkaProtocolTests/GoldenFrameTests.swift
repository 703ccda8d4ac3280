import Bytes
import FuzzTargets
import KafkaProtocol
import Model
import NIOCore
import Testing

@Suite struct GoldenFrameTests {
  @Test("another client's frames are read, and written again byte for byte", arguments: APIKey.allCases)
  func roundTrip(key: APIKey) throws {
    let frames = try GoldenFrame.all(key)
    for version in knownVersions(key) {
      let ofVersion = frames.filter { $0.version == version }
      #expect(ofVersion.filter(\.isRequest).count == 2, "\(key) \(version) requests")
      #expect(ofVersion.filter { !$0.isRequest }.count == 2, "\(key) \(version) responses")
    }
    for golden in frames { try roundTrip(requestType(key), golden) }
  }

  private func roundTrip<R: KafkaRequest>(_: R.Type, _ golden: GoldenFrame) throws {
    var decoder = FrameDecoder()
    decoder.append(golden.buffer)
    var frame = try #require(try decoder.next())
    let again: EncodedMessage
    if golden.isRequest {
      let header = try RequestHeader.decode(from: &frame)
      #expect(header.apiKey == R.apiKey.rawValue)
      #expect(header.apiVersion == golden.version)
      #expect(header.clientID == "golden-clïent")
      let request: R = try KafkaMessageCodec.decode(from: &frame, version: golden.version)
      again = KafkaMessageCodec.encodeRequest(
        request, version: golden.version, correlationID: header.correlationID, clientID: header.clientID)
    } else {
      let (id, response) = try KafkaMessageCodec.decodeResponse(R.Response.self, from: &frame, version: golden.version)
      again = KafkaMessageCodec.encodeResponse(response, correlationID: id, version: golden.version)
    }
    #expect(frame.readableBytes == 0)
    #expect(hex(again.joined) == hex(golden.buffer), "\(R.apiKey) \(golden.version)")
  }

  // The frames above prove that all fields are there and how wide they are; these, which field is which.

  @Test("a Metadata request in version 1 asks for two topics by name")
  func metadataRequest() throws {
    var body = ByteBuffer(bytes: try #require(fromHex("00000002 0001 61 0003 622e63")))
    let request: MetadataRequest = try KafkaMessageCodec.decode(from: &body, version: 1)
    #expect(request.topics?.map(\.name) == ["a", "b.c"])
    #expect(request.allowAutoTopicCreation)
  }

  @Test("a Produce request in version 9 has acks, timeout, and a batch for each partition")
  func produceRequest() throws {
    var body = ByteBuffer(
      bytes: try #require(fromHex("00 ffff 00007530 02 03 6f6b 02 00000007 06 0102030405 00 00 00")))
    let request: ProduceRequest = try KafkaMessageCodec.decode(from: &body, version: 9)
    #expect(request.transactionalID == nil)
    #expect(request.acks == -1)
    #expect(request.timeoutMs == 30000)
    let partition = try #require(request.topicData.first?.partitionData.first)
    #expect(request.topicData[0].name == "ok")
    #expect(partition.index == 7)
    #expect(partition.records?.joined == ByteBuffer(bytes: [1, 2, 3, 4, 5]))
  }

  @Test("a Metadata response in version 9 puts leader, epoch and replicas where clients look for them")
  func metadataResponse() throws {
    var partition = MetadataResponse.Partition()
    partition.partitionIndex = 2
    partition.leaderID = 3
    partition.leaderEpoch = 4
    partition.replicaNodes = [3, 5]
    partition.isrNodes = [3]
    var topic = MetadataResponse.Topic()
    topic.name = "t"
    topic.partitions = [partition]
    var broker = MetadataResponse.Broker()
    broker.nodeID = 3
    broker.host = "h"
    broker.port = 9092
    var response = MetadataResponse()
    response.brokers = [broker]
    response.controllerID = 3
    response.topics = [topic]
    let expected =
      "00000000" + "02 00000003 02 68 00002384 00 00" + "00" + "00000003"
      + "02 0000 02 74 00" + "02 0000 00000002 00000003 00000004 03 00000003 00000005 02 00000003 01 00"
      + "80000000 00" + "80000000" + "00"
    let encoded = KafkaMessageCodec.encodeResponse(response, correlationID: 0x01020304, version: 9).joined
    let body = try #require(encoded.getSlice(at: 9, length: encoded.readableBytes - 9))
    #expect(hex(body) == expected.filter { $0 != " " })
    #expect(hex(encoded).dropFirst(8).prefix(10) == "0102030400")
  }
}
