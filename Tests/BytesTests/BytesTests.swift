import Bytes
import NIOCore
import Testing

@Suite("Variable-length integers")
struct VarintTests {
  @Test(
    "every value survives the round trip and takes the size that was promised",
    arguments: [0, 1, -1, 63, -64, 64, 127, 128, 16_383, 16_384, -16_385, Int64(Int32.max), Int64(Int32.min), .max, .min])
  func roundTrip(_ value: Int64) throws {
    var buffer = ByteBuffer()
    buffer.writeVarint(value)
    #expect(buffer.readableBytes == Varint.size(value))
    let read = try buffer.withReader { (r: inout ByteReader) throws(WireError) in try r.varlong() }
    #expect(read == value)
  }

  @Test("five bytes with bits beyond 32 are refused")
  func overlong() {
    let buffer = ByteBuffer(bytes: [0xFF, 0xFF, 0xFF, 0xFF, 0x1F])
    #expect(throws: WireError.overlongVarint) {
      try buffer.withReader { (r: inout ByteReader) throws(WireError) in try r.unsignedVarint() }
    }
  }

  @Test("a varint that ends too early is truncated, not zero")
  func truncated() {
    let buffer = ByteBuffer(bytes: [0x80])
    #expect(throws: WireError.truncated(needed: 1, available: 0)) {
      try buffer.withReader { (r: inout ByteReader) throws(WireError) in try r.unsignedVarint() }
    }
  }
}
