internal import CCodecs

/// Bytes of a page, shared by those who read them.
final class PageBytes {
  let bytes: [UInt8]
  init(_ bytes: [UInt8]) { self.bytes = bytes }
}

/// Small integers as runs and packed groups (RLE/bit-packed hybrid), one at a time: what a few bytes claim to be a billion values costs
/// no memory.
struct RunDecoder {
  private let page: PageBytes
  private var position: Int
  private let end: Int
  private let width: Int
  private var isPacked = false
  private var remaining = 0
  private var value: UInt32 = 0
  /// The bit of the next packed value, counted from `position`.
  private var bit = 0

  /// Values of 0 bits are 0, and need no bytes.
  init(_ page: PageBytes, _ range: Range<Int>, width: Int) throws(ParquetError) {
    guard width <= 32 else { throw .damaged }
    self.page = page
    position = range.lowerBound
    end = range.upperBound
    self.width = width
  }

  mutating func next() throws(ParquetError) -> UInt32 {
    if width == 0 { return 0 }
    if remaining == 0 { try begin() }
    remaining -= 1
    if !isPacked { return value }
    var result: UInt64 = 0
    let first = position + bit >> 3
    let shift = bit & 7
    for index in 0..<(shift + width + 7) >> 3 {
      guard first + index < end else { throw .short }
      result |= UInt64(page.bytes[first + index]) << UInt64(8 * index)
    }
    bit += width
    if remaining == 0 { position += (bit + 7) >> 3 }
    return UInt32(truncatingIfNeeded: result >> UInt64(shift) & (1 << UInt64(width) - 1))
  }

  private mutating func begin() throws(ParquetError) {
    let head = try Self.varint(page, &position, end)
    isPacked = head & 1 == 1
    let count = head >> 1
    guard count > 0, count < 1 << 40 else { throw .damaged }
    if isPacked {
      remaining = Int(count) * 8
      bit = 0
      return
    }
    remaining = Int(count)
    value = 0
    for index in 0..<(width + 7) / 8 {
      guard position < end else { throw .short }
      value |= UInt32(page.bytes[position]) << UInt32(8 * index)
      position += 1
    }
  }

  static func varint(_ page: PageBytes, _ position: inout Int, _ end: Int) throws(ParquetError) -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: 0 as UInt64, to: 64, by: 7) {
      guard position < end else { throw .short }
      let byte = page.bytes[position]
      position += 1
      value |= UInt64(byte & 0x7F) << shift
      if byte & 0x80 == 0 { return value }
    }
    throw .damaged
  }
}

/// Integers as packed differences (DELTA_BINARY_PACKED), one at a time.
struct DeltaDecoder {
  private let page: PageBytes
  private var position: Int
  private let end: Int
  private let blockValues: Int
  private let miniblocks: Int
  private var total: UInt64
  private var value: Int64
  private var isFirst = true
  private var least: Int64 = 0
  private var widths: [UInt8] = []
  /// Within the block: the miniblock, and the value in it.
  private var miniblock = 0
  private var index = 0
  private var bit = 0

  init(_ page: PageBytes, _ range: Range<Int>) throws(ParquetError) {
    self.page = page
    var position = range.lowerBound
    end = range.upperBound
    let block = try RunDecoder.varint(page, &position, end)
    let count = try RunDecoder.varint(page, &position, end)
    guard (1...1 << 16).contains(block), (1...block).contains(count), block % count == 0 else { throw .damaged }
    blockValues = Int(block)
    miniblocks = Int(count)
    total = try RunDecoder.varint(page, &position, end)
    value = ParquetBits.unzigzag(try RunDecoder.varint(page, &position, end))
    self.position = position
    miniblock = miniblocks
  }

  mutating func next() throws(ParquetError) -> Int64 {
    guard total > 0 else { throw .short }
    total -= 1
    if isFirst {
      isFirst = false
      return value
    }
    if miniblock == miniblocks { try beginBlock() }
    let width = Int(widths[miniblock])
    guard width <= 64 else { throw .damaged }
    var delta: UInt64 = 0
    var taken = 0
    while taken < width {
      let at = position + (bit + taken) >> 3
      guard at < end else { throw .short }
      let shift = (bit + taken) & 7
      let usable = min(8 - shift, width - taken)
      let piece = UInt64(page.bytes[at]) >> UInt64(shift) & (1 << UInt64(usable) - 1)
      delta |= piece << UInt64(taken)
      taken += usable
    }
    bit += width
    value = value &+ least &+ Int64(bitPattern: delta)
    index += 1
    if index == blockValues / miniblocks {
      position += (bit + 7) >> 3
      bit = 0
      index = 0
      miniblock += 1
    }
    return value
  }

  private mutating func beginBlock() throws(ParquetError) {
    least = ParquetBits.unzigzag(try RunDecoder.varint(page, &position, end))
    guard end - position >= miniblocks else { throw .short }
    widths = Array(page.bytes[position..<position + miniblocks])
    position += miniblocks
    miniblock = 0
    index = 0
    bit = 0
  }
}

/// Decompresses pages; keeps the codecs' contexts. Used by one thread at a time.
final class PageDecompressor {
  private let decoder: OpaquePointer?

  init() { decoder = ccodecs_decoder_create() }
  deinit { ccodecs_decoder_destroy(decoder) }

  /// - Parameter count: how many bytes there are to come out; other counts are an error.
  func decompress(_ input: UnsafeRawBufferPointer, codec: Int, count: Int) throws(ParquetError) -> [UInt8] {
    switch codec {
    case ParquetCodec.uncompressed:
      guard input.count == count else { throw ParquetError("a page has another size than it says") }
      return Array(input)
    case ParquetCodec.snappy: return try snappy(input, count)
    case ParquetCodec.gzip: return try stream(input, Int32(CCODECS_GZIP), count)
    case ParquetCodec.zstd: return try stream(input, Int32(CCODECS_ZSTD), count)
    default:
      throw ParquetError("its compression (\(codec)) is not read here: write it with zstd, snappy, gzip or none")
    }
  }

  private func snappy(_ input: UnsafeRawBufferPointer, _ count: Int) throws(ParquetError) -> [UInt8] {
    var declared = 0
    guard ccodecs_snappy_decoded_count(input.baseAddress, input.count, &declared) == 0, declared == count,
      // A copy of snappy's makes 64 bytes of 2 at most.
      count <= 64 * input.count
    else { throw ParquetError("a page cannot be decompressed") }
    var output = [UInt8](repeating: 0, count: count)
    let result = output.withUnsafeMutableBytes { ccodecs_snappy_decode(input.baseAddress, input.count, $0.baseAddress, count) }
    guard result == 0 else { throw ParquetError("a page cannot be decompressed") }
    return output
  }

  private func stream(_ input: UnsafeRawBufferPointer, _ codec: Int32, _ count: Int) throws(ParquetError) -> [UInt8] {
    guard let decoder, ccodecs_decoder_begin(decoder, codec) == 0 else { throw ParquetError("out of memory") }
    // Not more at once than a page usually has: a small one may claim to be large. One byte more shows what is longer than it says.
    var output = [UInt8](repeating: 0, count: min(count + 1, max(1 << 20, 16 * input.count)))
    var taken = 0
    var written = 0
    while true {
      if written == output.count {
        guard output.count <= count else { break }
        output.append(contentsOf: repeatElement(0, count: min(output.count, count + 1 - output.count)))
      }
      let step = output.withUnsafeMutableBytes { room in
        ccodecs_decoder_step(
          decoder, input.baseAddress.map { $0 + taken }, input.count - taken, room.baseAddress! + written, room.count - written)
      }
      taken += step.consumed
      written += step.produced
      if step.status == Int32(CCODECS_WHOLE) && taken == input.count { break }
      guard step.status >= 0, step.consumed > 0 || step.produced > 0 else {
        throw ParquetError("a page cannot be decompressed")
      }
    }
    guard written == count else { throw ParquetError("a page has another size than it says") }
    output.removeLast(output.count - written)
    return output
  }
}
