import Bytes
import FuzzTargets
import KafkaProtocol
import NIOCore
import TestSupport
import Testing

@Suite struct HostileBytesTests {
  @Test("a damaged frame is refused or read as a message that can be written again", arguments: APIKey.allCases)
  func mutations(key: APIKey) throws {
    var generator = SeededRandom(seed: UInt64(key.rawValue))
    for golden in try GoldenFrame.all(key) {
      for _ in 0..<25 {
        let damaged = Self.damage(golden.bytes, &generator)
        if golden.isRequest {
          tryRequest(requestType(key), ByteBuffer(bytes: damaged.dropFirst(4)), golden.version)
        } else {
          tryResponse(requestType(key), ByteBuffer(bytes: damaged.dropFirst(4)), golden.version)
        }
      }
      // Every beginning of it is refused.
      for end in 4..<golden.bytes.count where golden.bytes.count < 200 || end % 7 == 0 {
        let cut = ByteBuffer(bytes: golden.bytes[4..<end])
        #expect(
          golden.isRequest
            ? !tryRequest(requestType(key), cut, golden.version) : !tryResponse(requestType(key), cut, golden.version),
          "\(key) \(golden.version) cut at \(end)")
      }
    }
  }

  private static func damage(_ bytes: [UInt8], _ generator: inout SeededRandom) -> [UInt8] {
    var damaged = bytes
    for _ in 0...Int.random(in: 0...3, using: &generator) {
      guard damaged.count > 8 else { break }
      let at = Int.random(in: 4..<damaged.count - 4, using: &generator)
      switch Int.random(in: 0..<6, using: &generator) {
      case 0: damaged[at] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
      case 1: damaged[at] = [0, 1, 0x7F, 0x80, 0xFF].randomElement(using: &generator)!
      case 2: damaged.removeSubrange(at..<at + Int.random(in: 1...4, using: &generator))
      case 3: damaged.insert(UInt8.random(in: .min ... .max, using: &generator), at: at)
      case 4: damaged.replaceSubrange(at..<at + 4, with: [0x7F, 0xFF, 0xFF, 0xFF])
      default: damaged.replaceSubrange(at..<at + 4, with: [0xFF, 0xFF, 0xFF, 0x0F])
      }
    }
    return damaged
  }

  /// Whether the bytes were accepted.
  @discardableResult
  private func tryRequest<R: KafkaRequest>(_: R.Type, _ bytes: ByteBuffer, _ version: Int16) -> Bool {
    var frame = bytes
    guard (try? RequestHeader.decode(from: &frame)) != nil,
      let request = try? KafkaMessageCodec.decode(R.self, from: &frame, version: version)
    else { return false }
    var again = KafkaMessageCodec.encodeRequest(request, version: version, correlationID: 0, clientID: nil).joined
    again.moveReaderIndex(forwardBy: 4)
    _ = try? RequestHeader.decode(from: &again)
    #expect((try? KafkaMessageCodec.decode(R.self, from: &again, version: version)) == request)
    return true
  }

  @discardableResult
  private func tryResponse<R: KafkaRequest>(_: R.Type, _ bytes: ByteBuffer, _ version: Int16) -> Bool {
    var frame = bytes
    guard
      let (id, response) = try? KafkaMessageCodec.decodeResponse(R.Response.self, from: &frame, version: version)
    else { return false }
    var again = KafkaMessageCodec.encodeResponse(response, correlationID: id, version: version).joined
    again.moveReaderIndex(forwardBy: 4)
    #expect((try? KafkaMessageCodec.decodeResponse(R.Response.self, from: &again, version: version))?.response == response)
    return true
  }

  @Test("a count that the bytes behind it cannot hold is refused before anything is made for it")
  func implausibleCount() throws {
    // 2^31-1 topics, and one byte behind.
    var old = ByteBuffer(bytes: [0x7F, 0xFF, 0xFF, 0xFF, 0])
    #expect(throws: WireError.implausibleLength(0x7FFF_FFFF)) {
      try KafkaMessageCodec.decode(MetadataRequest.self, from: &old, version: 1)
    }
    // Four bytes an element are more than the bytes left, although one would not be.
    let five = "00000001 0001 74 00000001 0001 00000001 00000000 00000005 0000000000000000"
    var replicas = ByteBuffer(bytes: try #require(fromHex(five)))
    #expect(throws: WireError.implausibleLength(5)) {
      try KafkaMessageCodec.decode(CreateTopicsRequest.self, from: &replicas, version: 0)
    }
    #expect(old.readableBytes == 5, "what was refused is left as it was")
  }

  @Test("a frame full of the smallest structs is refused instead of growing twentyfold in memory")
  func memoryIsBounded() {
    // Fetch 12: topics of three bytes each (no name, no partitions, no tagged fields), which take 48 in memory.
    let count = 1 << 20
    var body = ByteBuffer()
    body.writeRepeatingByte(0, count: 4 * 4 + 1 + 4 + 4)
    body.writeUnsignedVarint(UInt64(count + 1))
    for _ in 0..<count { body.writeBytes([1, 1, 0]) }
    body.writeBytes([1, 1, 0])
    #expect(throws: WireError.malformed("the message would take too much memory for its size")) {
      try KafkaMessageCodec.decode(FetchRequest.self, from: &body, version: 12)
    }
  }

  @Test("bytes behind the message and a null where there is none are refused; text that is not UTF-8 is read as in Kafka")
  func refusals() throws {
    var trailing = ByteBuffer(bytes: [0, 0, 0, 0, 1])
    #expect(throws: WireError.malformed("1 bytes are left behind the message")) {
      try KafkaMessageCodec.decode(MetadataRequest.self, from: &trailing, version: 1)
    }
    var text = ByteBuffer(bytes: [0, 0, 0, 1, 0, 1, 0xFF])
    #expect(try KafkaMessageCodec.decode(MetadataRequest.self, from: &text, version: 1).topics?.map(\.name) == ["\u{FFFD}"])
    var null = ByteBuffer(bytes: [0xFF, 0xFF, 0xFF, 0xFF])
    #expect(throws: WireError.unexpectedNull) { try KafkaMessageCodec.decode(MetadataRequest.self, from: &null, version: 0) }
    #expect(try KafkaMessageCodec.decode(MetadataRequest.self, from: &null, version: 1).topics == nil)
  }
}
