internal import CCodecs
internal import NIOCore

/// Compresses one records section after another; keeps the codecs' contexts. Used by one caller at a time.
final class Compressor {
  /// Bytes of a snappy block before encoding: what Java's client writes and what its readers expect to buffer.
  static let snappyBlockBytes = 32 << 10

  private var encoder: OpaquePointer?
  private var codec = Compression.none
  /// Bytes of a snappy block that is not full yet.
  private var block: [UInt8] = []

  deinit { if let encoder { ccodecs_encoder_destroy(encoder) } }

  /// Starts a section, and writes what stands in front of its first byte.
  func begin(_ codec: Compression, to output: inout ByteBuffer) throws(RecordsError) {
    self.codec = codec
    switch codec {
    case .none: break
    case .snappy:
      block.removeAll(keepingCapacity: true)
      output.writeInteger(RecordScratch.xerialMagic)
      output.writeInteger(1 as Int32)  // version
      output.writeInteger(1 as Int32)  // oldest version that can read it
    case .gzip, .lz4, .zstd:
      if encoder == nil { encoder = ccodecs_encoder_create() }
      guard let encoder, ccodecs_encoder_begin(encoder, Int32(codec.rawValue)) == 0 else { throw .outOfMemory }
    }
  }

  func write(_ bytes: UnsafeRawBufferPointer, to output: inout ByteBuffer) throws(RecordsError) {
    switch codec {
    case .none: output.writeBytes(bytes)
    case .snappy: writeSnappy(bytes, to: &output)
    case .gzip, .lz4, .zstd: try writeStream(bytes, to: &output, finish: false)
    }
  }

  /// Ends the section.
  func finish(to output: inout ByteBuffer) throws(RecordsError) {
    switch codec {
    case .none: break
    case .snappy:
      if !block.isEmpty {
        block.withUnsafeBytes { writeSnappyBlock($0, to: &output) }
        block.removeAll(keepingCapacity: true)
      }
    case .gzip, .lz4, .zstd: try writeStream(UnsafeRawBufferPointer(start: nil, count: 0), to: &output, finish: true)
    }
  }

  private func writeStream(_ bytes: UnsafeRawBufferPointer, to output: inout ByteBuffer, finish: Bool) throws(RecordsError) {
    var position = 0
    while finish || position < bytes.count {
      var step = ccodecs_step()
      output.writeWithUnsafeMutableBytes(minimumWritableBytes: ccodecs_encoder_output_min()) { room in
        step = ccodecs_encoder_step(
          encoder, bytes.baseAddress.map { $0 + position }, bytes.count - position, room.baseAddress, room.count, finish ? 1 : 0
        )
        return step.produced
      }
      // Compressing valid input with enough room can only fail for want of memory.
      guard step.status >= 0 else { throw .outOfMemory }
      position += step.consumed
      if step.status == Int32(CCODECS_WHOLE) { return }
    }
  }

  private func writeSnappy(_ bytes: UnsafeRawBufferPointer, to output: inout ByteBuffer) {
    var rest = bytes[...]
    while !rest.isEmpty {
      if block.isEmpty, rest.count >= Self.snappyBlockBytes {
        writeSnappyBlock(UnsafeRawBufferPointer(rebasing: rest.prefix(Self.snappyBlockBytes)), to: &output)
        rest = rest.dropFirst(Self.snappyBlockBytes)
        continue
      }
      let taken = rest.prefix(Self.snappyBlockBytes - block.count)
      block.append(contentsOf: taken)
      rest = rest.dropFirst(taken.count)
      if block.count == Self.snappyBlockBytes {
        block.withUnsafeBytes { writeSnappyBlock($0, to: &output) }
        block.removeAll(keepingCapacity: true)
      }
    }
  }

  private func writeSnappyBlock(_ bytes: UnsafeRawBufferPointer, to output: inout ByteBuffer) {
    let room = ccodecs_snappy_encoded_max(bytes.count)
    output.writeWithUnsafeMutableBytes(minimumWritableBytes: 4 + room) { target in
      let count = ccodecs_snappy_encode(bytes.baseAddress, bytes.count, target.baseAddress! + 4, target.count - 4)
      target.storeBytes(of: Int32(count).bigEndian, as: Int32.self)
      return 4 + count
    }
  }
}
