import Model
import NIOCore
import TestSupport
import Testing

@testable import Records

/// `section`, whatever it holds, compressed by our own encoder, in a batch whose header is that of `batch` otherwise.
func compressed(section: ByteBuffer, like batch: ByteBuffer, _ codec: Compression) throws -> ByteBuffer {
  // The builder only compresses whole records, so the section is carried as the transcoder's input would be: by a frame made here.
  let frame = try Frames.encode([UInt8](section.readableBytesView), codec)
  return altered(batch) {
    $0.replaceSubrange(61..., with: frame)
    $0[22] = $0[22] & ~7 | UInt8(codec.rawValue)
    put(Int32($0.count - 12), in: &$0, at: 8)
  }
}

/// Frames around arbitrary bytes by hand, stored rather than compressed: every codec has such a form.
enum Frames {
  static func encode(_ bytes: [UInt8], _ codec: Compression) throws -> [UInt8] {
    switch codec {
    case .none: return bytes
    case .gzip: return gzip(bytes)
    case .snappy: return snappy(bytes)
    case .lz4: return lz4(bytes)
    case .zstd: return zstd(bytes)
    }
  }

  private static func little(_ value: Int, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  private static func gzip(_ bytes: [UInt8]) -> [UInt8] {
    var frame: [UInt8] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3]
    var rest = bytes[...]
    repeat {
      let part = rest.prefix(65_535)
      rest = rest.dropFirst(part.count)
      frame += [rest.isEmpty ? 1 : 0] + little(part.count, 2) + little(~part.count & 0xFFFF, 2) + part
    } while !rest.isEmpty
    var crc: UInt32 = ~0
    for byte in bytes {
      crc ^= UInt32(byte)
      for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
    }
    return frame + little(Int(~crc), 4) + little(bytes.count, 4)
  }

  private static func snappy(_ bytes: [UInt8]) -> [UInt8] {
    var block: [UInt8] = []
    var count = bytes.count
    while count >= 0x80 {
      block.append(UInt8(count & 0x7F | 0x80))
      count >>= 7
    }
    block.append(UInt8(count))
    if !bytes.isEmpty { block += [63 << 2] + little(bytes.count - 1, 4) + bytes }
    return block
  }

  private static func lz4(_ bytes: [UInt8]) -> [UInt8] {
    // Independent blocks of at most 4 MiB, no checksums; 0x73 is the header checksum of these two bytes.
    var frame: [UInt8] = [0x04, 0x22, 0x4D, 0x18, 0x60, 0x70, 0x73]
    var rest = bytes[...]
    while !rest.isEmpty {
      let part = rest.prefix(4 << 20)
      rest = rest.dropFirst(part.count)
      frame += little(part.count | 1 << 31, 4) + part
    }
    return frame + [0, 0, 0, 0]
  }

  private static func zstd(_ bytes: [UInt8]) -> [UInt8] {
    var frame: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD, 0x00, 0x58]  // a window of 2 MiB, no content size
    var rest = bytes[...]
    repeat {
      let part = rest.prefix(128 << 10)
      rest = rest.dropFirst(part.count)
      frame += little(part.count << 3 | (rest.isEmpty ? 1 : 0), 3) + part
    } while !rest.isEmpty
    return frame
  }
}

@Suite("Hostile bytes", .serialized)
struct HostileBytesTests {
  /// Bytes that the decoding window took while the batch was checked, and what came of that.
  static func windowBytes(
    checking batch: ByteBuffer, scratch: RecordScratch = RecordScratch()
  ) throws -> (bytes: Int, error: RecordsError?) {
    let error = try batch.withReadableBytes { bytes in
      var tally = RecordTally(header: try BatchHeader(bytes), rules: rules())
      do throws(RecordsError) {
        try tally.runCompressed(UnsafeRawBufferPointer(rebasing: bytes[BatchHeader.byteCount...]), scratch)
        return nil as RecordsError?
      } catch {
        return error
      }
    }
    return (scratch.window.count, error)
  }

  @Test("stored frames made by hand are read, so what is built on them is the decoders' own verdict")
  func handmadeFrames() throws {
    let records = (0..<3).map {
      OwnedRecord(offset: Int64($0), timestamp: now, key: nil, value: [UInt8](repeating: 7, count: 100_000))
    }
    let plain = try build(records)
    for codec in Compression.allCases {
      let batch = try BatchValidatorTests.reencoded(plain, codec)
      #expect(rejection(batch) == nil, "\(codec)")
      #expect(try readAll(batch) == records, "\(codec)")
    }
  }

  @Test("seeded mutations never trap", arguments: CodecTests.fixtures)
  func mutations(name: String) throws {
    let original = [UInt8](try fixture(name).readableBytesView)
    var random = SeededRandom(seed: UInt64(truncatingIfNeeded: original.count))
    for round in 0..<600 {
      var bytes = original
      for _ in 0...random.below(4) {
        // Mostly within the header's counts and the records.
        let index = random.below(3) == 0 ? random.below(bytes.count) : 21 + random.below(bytes.count - 21)
        switch random.below(6) {
        case 0: bytes[index] = UInt8(truncatingIfNeeded: random.next())
        case 1: bytes[index] ^= 1 << UInt8(random.below(8))
        case 2: bytes[index] = [0, 0x7F, 0x80, 0xFF][random.below(4)]
        case 3: bytes.remove(at: index)
        case 4: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: index)
        default: bytes.removeLast(random.below(min(40, bytes.count - 61)))
        }
        if bytes.count < 70 { bytes = original }
      }
      bytes.withUnsafeBytes { RecordsFuzzing.run($0, repairs: round % 8 != 0) }
    }
  }

  @Test("bytes of every length without any structure never trap")
  func noise() {
    var random = SeededRandom(seed: 3)
    for length in 0..<300 {
      let bytes = random.bytes(length)
      bytes.withUnsafeBytes {
        RecordsFuzzing.run($0, repairs: false)
        RecordsFuzzing.run($0, repairs: true)
      }
    }
  }

  @Test(
    "a record of 48 MB in a small batch is validated without that memory", arguments: [.gzip, .lz4, .zstd] as [Compression])
  func largeRecordStreams(codec: Compression) throws {
    var batch = ByteBuffer()
    do {
      var builder = BatchBuilder(compression: codec)
      builder.append(key: nil, value: ByteBuffer(repeating: 0, count: 48 << 20), timestamp: now)
      batch = try builder.build()
    }
    let checked = try Self.windowBytes(checking: batch)
    #expect(checked.error == nil && checked.bytes == 64 << 10)
    var tight = rules()
    tight.decompressedBytesMax = 24 << 20
    #expect(rejection(batch, tight)?.code == .messageTooLarge)
    tight.decompressedBytesMax = 49 << 20
    #expect(rejection(batch, tight) == nil)
  }

  @Test("a frame that was given up half-way does not spoil the next one", arguments: CodecTests.fixtures)
  func scratchRecovers(name: String) throws {
    let scratch = RecordScratch()
    let cut = try fixture(name).getSlice(at: 0, length: fixture(name).readableBytes - 50)!
    guard try header(cut).compression != .none else { return }
    for other in CodecTests.fixtures.dropFirst() {
      #expect(try Self.windowBytes(checking: cut, scratch: scratch).error != nil)
      #expect(try Self.windowBytes(checking: fixture(other), scratch: scratch).error == nil, "\(other)")
    }
  }

  @Test("a stream that goes on behind the records the header counts is given up there")
  func endlessTail() throws {
    let tail = try build(
      [OwnedRecord(timestamp: now), OwnedRecord(timestamp: now, value: Array(repeating: 0, count: 50_000_000))], .zstd)
    let batch = altered(tail) {
      put(1 as Int32, in: &$0, at: 57)
      put(0 as Int32, in: &$0, at: 23)
    }
    let scratch = RecordScratch()
    #expect(try Self.windowBytes(checking: batch, scratch: scratch).error == .bytesLeftOver)
    #expect(scratch.decompressedBytes <= 64 << 10)
    #expect(rejection(batch)?.code == .invalidRecord)
  }

  @Test("a snappy block that declares more than its bytes can hold is refused before memory is taken")
  func snappyBomb() throws {
    let plain = try build([OwnedRecord(timestamp: now)])
    for framed in [false, true] {
      let batch = altered(plain) {
        // 2 GiB declared, a few bytes there.
        let block: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF, 0x07, 0xFE, 1, 0, 0xFE, 1, 0]
        let frame = [0x82] + Array("SNAPPY".utf8) + [0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, UInt8(block.count)]
        $0.replaceSubrange(61..., with: framed ? frame + block : block)
        $0[22] = 2
        put(Int32($0.count - 12), in: &$0, at: 8)
      }
      #expect(rejection(batch)?.code == .invalidRecord)
      let checked = try Self.windowBytes(checking: batch)
      #expect(checked.error == .undecodable(.snappy) && checked.bytes == 64 << 10)
    }
  }

  @Test("the densest snappy block there is, is below the bound")
  func denseSnappy() throws {
    for codec in [Compression.snappy] {
      let records = [OwnedRecord(timestamp: now, value: [UInt8](repeating: 0, count: 5_000_000))]
      let batch = try build(records, codec)
      #expect(batch.readableBytes < 260_000)
      #expect(rejection(batch) == nil)
    }
  }

  @Test(
    "a large record whose inner lengths are wrong is refused in pieces as it is in one",
    arguments: [.gzip, .snappy, .lz4, .zstd] as [Compression])
  func largeMalformed(codec: Compression) throws {
    // length, attributes, deltas, null key, value length and value, header count: then each length made wrong in turn.
    func section(valueCount: Int, headerCount: Int64, lengthError: Int) -> ByteBuffer {
      var body = ByteBuffer(bytes: [0, 0, 0, 1])
      body.writeZigzag(Int64(valueCount))
      body.writeRepeatingByte(0x41, count: 200_000)
      body.writeZigzag(headerCount)
      var section = ByteBuffer()
      section.writeZigzag(Int64(body.readableBytes + lengthError))
      section.writeImmutableBuffer(body)
      return section
    }
    let plain = try build([OwnedRecord(timestamp: now)])
    let good = section(valueCount: 200_000, headerCount: 0, lengthError: 0)
    #expect(rejection(try compressed(section: good, like: plain, codec)) == nil)
    for bad in [
      section(valueCount: 200_001, headerCount: 0, lengthError: 0),
      section(valueCount: 199_999, headerCount: 0, lengthError: 0),
      section(valueCount: -2, headerCount: 0, lengthError: 0), section(valueCount: 300_000, headerCount: 0, lengthError: 0),
      section(valueCount: 200_000, headerCount: 1, lengthError: 0),
      section(valueCount: 200_000, headerCount: -1, lengthError: 0),
      section(valueCount: 200_000, headerCount: 0, lengthError: -1),
      section(valueCount: 200_000, headerCount: 0, lengthError: 1),
      section(valueCount: 200_000, headerCount: 0, lengthError: 1 << 29),
    ] {
      let batch = try compressed(section: bad, like: plain, codec)
      #expect(rejection(batch)?.code == .invalidRecord)
      #expect(throws: RecordsError.self) { try readAll(batch) }
    }
  }
}

extension ByteBuffer {
  mutating func writeZigzag(_ value: Int64) {
    var rest = UInt64(bitPattern: value << 1 ^ value >> 63)
    while rest >= 0x80 {
      writeInteger(UInt8(rest & 0x7F | 0x80))
      rest >>= 7
    }
    writeInteger(UInt8(rest))
  }
}
