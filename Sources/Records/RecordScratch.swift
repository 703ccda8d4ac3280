internal import CCodecs
internal import Model

/// Memory for decompressing batches, made once and used again: a window of decoded bytes and the codecs' contexts.
///
/// Records are decoded as a stream through the window, so that a batch costs its window, not its decoded size. The window has 64 KiB;
/// it grows for a snappy block (which has to be decoded whole) and, while records are iterated, for a record that is larger.
/// Used by one iteration at a time.
public final class RecordScratch {
  /// Bytes of the window, and the most it keeps between batches.
  static let chunkBytes = 64 << 10
  static let keptBytesMax = 1 << 20
  /// A snappy copy of three bytes yields 64 at most (format description §2.2), so no block decodes to more than 64/3 of its size.
  static let snappyExpansionMax = (numerator: 64, denominator: 3)

  private(set) var window: UnsafeMutableRawBufferPointer
  /// Decoded bytes in the window; what lies before the reader's position is dropped by `refill`.
  private(set) var end = 0
  /// Bytes that the current stream has yielded so far.
  private(set) var decompressedBytes = 0

  private var decoder: OpaquePointer?
  private var codec = Compression.none
  private var input = UnsafeRawBufferPointer(start: nil, count: 0)
  private var inputPosition = 0
  private var isWhole = false
  private var snappyFraming = SnappyFraming.block
  private var limit = 0

  private enum SnappyFraming { case block, xerial }

  public init() { window = UnsafeMutableRawBufferPointer(start: nil, count: 0) }

  deinit {
    window.deallocate()
    if let decoder { ccodecs_decoder_destroy(decoder) }
  }

  /// Starts to decode `input`, which has to stay where it is until `close`.
  func open(_ input: UnsafeRawBufferPointer, codec: Compression, limit: Int) throws(RecordsError) {
    self.input = input
    self.codec = codec
    self.limit = limit
    inputPosition = 0
    end = 0
    decompressedBytes = 0
    isWhole = false
    if window.count == 0 { resize(to: Self.chunkBytes) }
    if codec == .snappy { return try openSnappy() }
    if decoder == nil { decoder = ccodecs_decoder_create() }
    guard let decoder, ccodecs_decoder_begin(decoder, Int32(codec.rawValue)) == 0 else { throw .outOfMemory }
  }

  /// Lets go of the input, and of memory that an unusual batch has taken.
  func close() {
    input = UnsafeRawBufferPointer(start: nil, count: 0)
    end = 0
    if window.count > Self.keptBytesMax {
      window.deallocate()
      window = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    }
    if let decoder { ccodecs_decoder_trim(decoder) }
  }

  /// Drops the bytes before `position`, moves the others to the start of the window and decodes more behind them.
  ///
  /// A window that is full with kept bytes doubles: so it never exceeds twice what was really decoded.
  /// - Returns: whether there was more; false at the end of the stream.
  /// - Throws: `.undecodable`, `.decompressedTooLarge`, `.outOfMemory`; the stream is then of no further use.
  func refill(keepingFrom position: Int) throws(RecordsError) -> Bool {
    let kept = end - position
    if position > 0, kept > 0 { window.baseAddress!.copyMemory(from: window.baseAddress! + position, byteCount: kept) }
    end = kept
    let produced = codec == .snappy ? try nextSnappyBlock() : try nextBytes()
    end += produced
    decompressedBytes += produced
    guard decompressedBytes <= limit else { throw .decompressedTooLarge(limit: limit) }
    return produced > 0
  }

  private func resize(to count: Int) {
    let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
    if end > 0 { larger.baseAddress!.copyMemory(from: window.baseAddress!, byteCount: end) }
    window.deallocate()
    window = larger
  }

  private func nextBytes() throws(RecordsError) -> Int {
    if end == window.count { resize(to: window.count * 2) }
    while true {
      if isWhole, inputPosition == input.count { return 0 }
      let step = ccodecs_decoder_step(
        decoder, input.baseAddress.map { $0 + inputPosition }, input.count - inputPosition, window.baseAddress! + end,
        window.count - end)
      guard step.status >= 0 else { throw .undecodable(codec) }
      inputPosition += step.consumed
      isWhole = step.status == Int32(CCODECS_WHOLE)
      if step.produced > 0 { return step.produced }
      // Neither read nor wrote and is not at an end: the input is cut short.
      if step.consumed == 0, !isWhole { throw .undecodable(codec) }
    }
  }

  // MARK: Snappy, which has no stream format of its own: Java frames blocks (xerial), other clients send one bare block.

  /// `82 "SNAPPY" 00`, in front of two int32, version and the oldest version that can read it.
  static let xerialMagic: UInt64 = 0x82_53_4E_41_50_50_59_00
  static let xerialHeaderBytes = 16

  private func openSnappy() throws(RecordsError) {
    snappyFraming = .block
    if hasXerialHeader {
      snappyFraming = .xerial
      inputPosition = Self.xerialHeaderBytes
    }
  }

  private var hasXerialHeader: Bool {
    input.count - inputPosition >= Self.xerialHeaderBytes
      && UInt64(bigEndian: input.loadUnaligned(fromByteOffset: inputPosition, as: UInt64.self)) == Self.xerialMagic
  }

  private func nextSnappyBlock() throws(RecordsError) -> Int {
    while true {
      let rest = input.count - inputPosition
      if rest == 0, snappyFraming == .xerial || isWhole { return 0 }
      var length = rest
      if snappyFraming == .xerial {
        // Streams may follow one another, each with its header.
        if hasXerialHeader {
          inputPosition += Self.xerialHeaderBytes
          continue
        }
        guard rest >= 4 else { throw .undecodable(.snappy) }
        length = Int(UInt32(bigEndian: input.loadUnaligned(fromByteOffset: inputPosition, as: UInt32.self)))
        inputPosition += 4
        guard length <= rest - 4 else { throw .undecodable(.snappy) }
      }
      let produced = try decodeSnappyBlock(UnsafeRawBufferPointer(rebasing: input[inputPosition..<inputPosition + length]))
      inputPosition += length
      isWhole = true
      if produced > 0 { return produced }
    }
  }

  private func decodeSnappyBlock(_ block: UnsafeRawBufferPointer) throws(RecordsError) -> Int {
    var count = 0
    guard block.count > 0, ccodecs_snappy_decoded_count(block.baseAddress, block.count, &count) == 0 else {
      throw .undecodable(.snappy)
    }
    // What a block declares is believed only as far as its size allows, so that memory stays proportional to the input.
    guard count <= block.count * Self.snappyExpansionMax.numerator / Self.snappyExpansionMax.denominator else {
      throw .undecodable(.snappy)
    }
    guard count <= limit - decompressedBytes else { throw .decompressedTooLarge(limit: limit) }
    if window.count - end < count { resize(to: max(end + count, min(window.count * 2, 2 * (end + count)))) }
    guard ccodecs_snappy_decode(block.baseAddress, block.count, window.baseAddress! + end, count) == 0 else {
      throw .undecodable(.snappy)
    }
    return count
  }
}
