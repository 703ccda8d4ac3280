internal import Bytes
public import Model

/// Changes to a batch that need no decoding.
public enum BatchPatch {
  /// Sets base offset and partition leader epoch, which lie outside the CRC.
  ///
  /// - Precondition: `batch` points at a record batch that the caller may write to.
  public static func setBase(offset: Offset, leaderEpoch: LeaderEpoch, in batch: UnsafeMutableRawPointer) {
    batch.storeBytes(of: offset.rawValue.bigEndian, as: Int64.self)
    batch.storeBytes(of: leaderEpoch.rawValue.bigEndian, toByteOffset: 12, as: Int32.self)
  }

  /// Takes producer id, epoch, sequence and the transaction's mark out of a batch, and makes the CRC right again: what is left of a
  /// transaction that was committed are its records.
  ///
  /// - Precondition: `batch` is exactly one whole record batch.
  static func clearProducer(in batch: UnsafeMutableRawBufferPointer) {
    let attributes = Int16(bigEndian: batch.loadUnaligned(fromByteOffset: 21, as: Int16.self)) & ~0x10
    batch.storeBytes(of: attributes.bigEndian, toByteOffset: 21, as: Int16.self)
    batch.storeBytes(of: (-1 as Int64).bigEndian, toByteOffset: 43, as: Int64.self)
    batch.storeBytes(of: (-1 as Int16).bigEndian, toByteOffset: 51, as: Int16.self)
    batch.storeBytes(of: (-1 as Int32).bigEndian, toByteOffset: 53, as: Int32.self)
    setChecksum(in: batch)
  }

  static func setChecksum(in batch: UnsafeMutableRawBufferPointer) {
    let crc = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: batch[BatchHeader.crcStart...]))
    batch.storeBytes(of: crc.bigEndian, toByteOffset: 17, as: UInt32.self)
  }

  /// Sets attributes and maximum timestamp and makes the CRC right again.
  ///
  /// - Precondition: `batch` is exactly one whole record batch.
  static func setTimes(attributes: Int16, maxTimestamp: Int64, in batch: UnsafeMutableRawBufferPointer) {
    batch.storeBytes(of: attributes.bigEndian, toByteOffset: 21, as: Int16.self)
    batch.storeBytes(of: maxTimestamp.bigEndian, toByteOffset: 35, as: Int64.self)
    setChecksum(in: batch)
  }
}
