import Bytes
import KafkaProtocol
import NIOCore
import Testing

@Suite struct RecordsFieldTests {
  private static func address(_ buffer: ByteBuffer) -> UInt {
    buffer.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress!) }
  }

  private static func produce(_ records: ByteBuffer) -> ProduceRequest {
    var partition = ProduceRequest.PartitionProduceData()
    partition.records = RecordsField(records)
    var topic = ProduceRequest.TopicProduceData()
    topic.name = "t"
    topic.partitionData = [partition]
    var request = ProduceRequest()
    request.topicData = [topic]
    return request
  }

  private static func response(_ chunks: [ByteBuffer]) -> FetchResponse {
    var partition = FetchResponse.PartitionData()
    partition.records = RecordsField(chunks: chunks)
    var topic = FetchResponse.FetchableTopicResponse()
    topic.topic = "t"
    topic.partitions = [partition]
    var response = FetchResponse()
    response.responses = [topic]
    return response
  }

  @Test("the records of a Produce request are a slice of its frame", arguments: [Int16(3), 8, 9, 11])
  func producedRecordsAreNotCopied(version: Int16) throws {
    let records = ByteBuffer(repeating: 7, count: 100_000)
    var frame = KafkaMessageCodec.encodeRequest(
      Self.produce(records), version: version, correlationID: 1, clientID: nil
    ).joined
    let start = Self.address(frame)
    let end = start + UInt(frame.readableBytes)
    frame.moveReaderIndex(forwardBy: 4)
    _ = try RequestHeader.decode(from: &frame)
    let request: ProduceRequest = try KafkaMessageCodec.decode(from: &frame, version: version)
    let read = try #require(request.topicData[0].partitionData[0].records)
    #expect(read.chunks == [records])
    #expect((start..<end).contains(Self.address(read.chunks[0])))
  }

  @Test("large chunks of a Fetch response go out as they are, small ones in between are copied", arguments: [Int16(4), 12])
  func fetchedRecordsAreSpliced(version: Int16) throws {
    let large = ByteBuffer(repeating: 1, count: 4096)
    let small = ByteBuffer(repeating: 2, count: 4095)
    let encoded = KafkaMessageCodec.encodeResponse(
      Self.response([large, small, large, large]), correlationID: 5, version: version)
    let spliced = encoded.parts.filter { Self.address($0) == Self.address(large) }
    #expect(spliced.count == 3)
    // In front, the small chunk, and (since tagged fields follow in flexible versions only) what is behind.
    #expect(encoded.parts.count == (version == 12 ? 6 : 5))
    #expect(encoded.parts.reduce(0) { $0 + $1.readableBytes } == encoded.byteCount)

    var frame = encoded.joined
    #expect(frame.readInteger(as: Int32.self) == Int32(encoded.byteCount - 4))
    let (_, again) = try KafkaMessageCodec.decodeResponse(FetchResponse.self, from: &frame, version: version)
    #expect(again.responses[0].partitions[0].records?.joined == RecordsField(chunks: [large, small, large, large]).joined)
  }
}
