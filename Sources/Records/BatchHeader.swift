// Record batch, version 2 (KIP-98), most significant byte first:
//
//    0  int64   baseOffset              61  records, one after the other,
//    8  int32   batchLength                 as a whole compressed by the codec
//   12  int32   partitionLeaderEpoch        in bits 0-2 of the attributes
//   16  int8    magic = 2
//   17  uint32  crc                     record:
//   21  int16   attributes                  varint  length of what follows
//   23  int32   lastOffsetDelta             int8    attributes, unused
//   27  int64   baseTimestamp               varlong timestampDelta
//   35  int64   maxTimestamp                varint  offsetDelta
//   43  int64   producerId                  varint  key length (-1: null), key
//   51  int16   producerEpoch               varint  value length (-1: null), value
//   53  int32   baseSequence                varint  header count, then each
//   57  int32   recordCount                         varint length, key; varint length (-1: null), value
//
// batchLength counts from byte 12 on; the CRC32C covers byte 21 to the end, so base offset and leader epoch can be set in place.

internal import Bytes
public import Model

/// The 61 bytes in front of a batch's records.
public struct BatchHeader: Hashable, Sendable {
  public static let byteCount = 61
  /// Bytes in front of what `batchLength` counts.
  static let lengthOverhead = 12
  /// The first byte under the CRC.
  static let crcStart = 21

  public internal(set) var baseOffset: Int64
  public internal(set) var batchLength: Int32
  public internal(set) var partitionLeaderEpoch: Int32
  public internal(set) var crc: UInt32
  public internal(set) var attributes: Int16
  public internal(set) var lastOffsetDelta: Int32
  public internal(set) var baseTimestamp: Int64
  public internal(set) var maxTimestamp: Int64
  public internal(set) var producerID: Int64
  public internal(set) var producerEpoch: Int16
  public internal(set) var baseSequence: Int32
  public internal(set) var recordCount: Int32
  /// The codec in the attributes.
  public internal(set) var compression: Compression

  public static let magic: Int8 = 2
  public var magic: Int8 { Self.magic }

  /// Parses the header at the start of `bytes`, which may end behind it or go on.
  ///
  /// - Throws: `.truncated` below 61 bytes, `.unsupportedMagic`, `.implausibleLength`, `.unknownCodec`. Counts and offsets are not
  ///   judged here; computing with them does not trap.
  public init(_ bytes: UnsafeRawBufferPointer) throws(RecordsError) {
    guard bytes.count > 16, let base = bytes.baseAddress else {
      throw .truncated(needed: Self.byteCount, available: bytes.count)
    }
    let magic = base.load(fromByteOffset: 16, as: Int8.self)
    guard magic == Self.magic else { throw .unsupportedMagic(magic) }
    guard bytes.count >= Self.byteCount else { throw .truncated(needed: Self.byteCount, available: bytes.count) }
    baseOffset = Int64(bigEndian: base.loadUnaligned(as: Int64.self))
    batchLength = Int32(bigEndian: base.loadUnaligned(fromByteOffset: 8, as: Int32.self))
    partitionLeaderEpoch = Int32(bigEndian: base.loadUnaligned(fromByteOffset: 12, as: Int32.self))
    crc = UInt32(bigEndian: base.loadUnaligned(fromByteOffset: 17, as: UInt32.self))
    attributes = Int16(bigEndian: base.loadUnaligned(fromByteOffset: 21, as: Int16.self))
    lastOffsetDelta = Int32(bigEndian: base.loadUnaligned(fromByteOffset: 23, as: Int32.self))
    baseTimestamp = Int64(bigEndian: base.loadUnaligned(fromByteOffset: 27, as: Int64.self))
    maxTimestamp = Int64(bigEndian: base.loadUnaligned(fromByteOffset: 35, as: Int64.self))
    producerID = Int64(bigEndian: base.loadUnaligned(fromByteOffset: 43, as: Int64.self))
    producerEpoch = Int16(bigEndian: base.loadUnaligned(fromByteOffset: 51, as: Int16.self))
    baseSequence = Int32(bigEndian: base.loadUnaligned(fromByteOffset: 53, as: Int32.self))
    recordCount = Int32(bigEndian: base.loadUnaligned(fromByteOffset: 57, as: Int32.self))
    guard batchLength >= Int32(Self.byteCount - Self.lengthOverhead) else { throw .implausibleLength(batchLength) }
    guard let codec = Compression(rawValue: Int8(attributes & 7)) else { throw .unknownCodec(Int8(attributes & 7)) }
    compression = codec
  }

  /// Parses the header of a batch that must lie whole in `batch`; bytes behind the batch are not looked at.
  ///
  /// - Throws: as `init(_:)`, and `.truncated` if the batch is longer than the bytes.
  public init(ofWhole batch: UnsafeRawBufferPointer) throws(RecordsError) {
    try self.init(batch)
    guard totalBytes <= batch.count else { throw .truncated(needed: totalBytes, available: batch.count) }
  }
}

extension BatchHeader {
  /// Bytes of the whole batch.
  @inlinable public var totalBytes: Int { 12 + Int(batchLength) }
  /// Which time the records carry (attributes, bit 3).
  public var timestampType: TimestampType { attributes & 0x08 == 0 ? .createTime : .logAppendTime }
  /// Part of a transaction (attributes, bit 4).
  public var isTransactional: Bool { attributes & 0x10 != 0 }
  /// Holds one transaction marker instead of records (attributes, bit 5).
  public var isControl: Bool { attributes & 0x20 != 0 }
  /// The offset of the batch's last record, also when compaction has removed that.
  public var lastOffset: Int64 { baseOffset &+ Int64(lastOffsetDelta) }
  /// The offset behind the batch.
  public var nextOffset: Int64 { lastOffset &+ 1 }
  public var hasProducerID: Bool { producerID >= 0 }
  /// The sequence number of the last record; wraps at 2³¹-1. -1 if the batch has no sequence.
  public var lastSequence: Int32 {
    baseSequence < 0 ? -1 : ProducerSequence.advance(baseSequence, by: max(0, lastOffsetDelta))
  }

  /// Whether the CRC in the header is that of the batch.
  ///
  /// - Parameter batch: the whole batch, header included; bytes behind it do not count.
  /// - Throws: `.truncated` if the batch is longer than the bytes, `.checksumMismatch`.
  public func verifyChecksum(of batch: UnsafeRawBufferPointer) throws(RecordsError) {
    guard totalBytes <= batch.count else { throw .truncated(needed: totalBytes, available: batch.count) }
    let computed = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: batch[Self.crcStart..<totalBytes]))
    guard computed == crc else { throw .checksumMismatch(stored: crc, computed: computed) }
  }
}

/// Arithmetic of producer sequence numbers, which go from 2³¹-1 to 0 (KIP-98).
public enum ProducerSequence {
  /// The sequence number `count` records after `sequence`.
  /// - Precondition: both are not negative.
  @inlinable public static func advance(_ sequence: Int32, by count: Int32) -> Int32 {
    Int32(truncatingIfNeeded: (Int64(sequence) + Int64(count)) & 0x7FFF_FFFF)
  }
}
