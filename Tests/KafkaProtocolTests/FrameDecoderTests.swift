import Bytes
import KafkaProtocol
import NIOCore
import Testing

@Suite struct FrameDecoderTests {
  private static let payloads: [[UInt8]] = [
    [1, 2, 3], [], Array(repeating: 9, count: 300), [4], Array((0..<5000).map { UInt8(truncatingIfNeeded: $0) }),
  ]

  private static func stream(_ payloads: [[UInt8]] = payloads) -> ByteBuffer {
    var all = ByteBuffer()
    for payload in payloads {
      all.writeInteger(Int32(payload.count))
      all.writeBytes(payload)
    }
    return all
  }

  private static func drain(_ decoder: inout FrameDecoder) throws -> [[UInt8]] {
    var frames: [[UInt8]] = []
    while let frame = try decoder.next() { frames.append(Array(frame.readableBytesView)) }
    return frames
  }

  @Test("frames come out whole wherever the stream is cut in two")
  func everySplit() throws {
    let stream = Self.stream()
    for cut in 0...stream.readableBytes {
      var decoder = FrameDecoder()
      var frames: [[UInt8]] = []
      for part in [stream.getSlice(at: 0, length: cut)!, stream.getSlice(at: cut, length: stream.readableBytes - cut)!] {
        decoder.append(part)
        frames += try Self.drain(&decoder)
      }
      #expect(frames == Self.payloads, "cut at \(cut)")
      #expect(decoder.bufferedBytes == 0)
    }
  }

  @Test("frames come out whole however the stream drips", arguments: [1, 2, 3, 5, 7, 64, 1000, 100_000])
  func drip(step: Int) throws {
    var decoder = FrameDecoder()
    var frames: [[UInt8]] = []
    var held: [ByteBuffer] = []
    var rest = Self.stream()
    while let part = rest.readSlice(length: min(step, rest.readableBytes)), part.readableBytes > 0 {
      decoder.append(part)
      while let frame = try decoder.next() {
        frames.append(Array(frame.readableBytesView))
        held.append(frame)
      }
    }
    #expect(frames == Self.payloads)
    // What was handed out is not overwritten by what came later.
    #expect(held.map { Array($0.readableBytesView) } == Self.payloads)
  }

  @Test("the frames of one read share its storage")
  func framesAreSlices() throws {
    let stream = Self.stream()
    let range = stream.withUnsafeReadableBytes { bytes in
      UInt(bitPattern: bytes.baseAddress!)...UInt(bitPattern: bytes.baseAddress! + bytes.count)
    }
    var decoder = FrameDecoder()
    decoder.append(stream)
    while let frame = try decoder.next() {
      guard frame.readableBytes > 0 else { continue }
      frame.withUnsafeReadableBytes { #expect(range.contains(UInt(bitPattern: $0.baseAddress!))) }
    }
  }

  @Test("a frame of the largest size passes, a larger one and a negative one do not")
  func lengthBounds() throws {
    var decoder = FrameDecoder(frameBytesMax: 10)
    decoder.append(Self.stream([Array(repeating: 1, count: 10)]))
    #expect(try decoder.next()?.readableBytes == 10)
    decoder.append(ByteBuffer(bytes: [0, 0, 0, 11]))
    #expect(throws: WireError.implausibleLength(11)) { try decoder.next() }
    var other = FrameDecoder()
    other.append(ByteBuffer(bytes: [0xFF, 0xFF, 0xFF, 0xFF]))
    #expect(throws: WireError.implausibleLength(-1)) { try other.next() }
  }
}
