/// Why bytes are not a record batch, or not one that can be read.
public enum RecordsError: Error, Equatable, Sendable {
  /// The bytes end before the batch does.
  case truncated(needed: Int, available: Int)
  /// Another format than record batch version 2.
  case unsupportedMagic(Int8)
  /// A batch length smaller than its own header.
  case implausibleLength(Int32)
  /// A number in the attributes that names no codec.
  case unknownCodec(Int8)
  /// The CRC32C in the header is not that of the bytes.
  case checksumMismatch(stored: UInt32, computed: UInt32)
  /// The record with this index in its batch is not laid out as a record.
  case malformedRecord(index: Int, RecordFault)
  /// The records are fewer than the header says.
  case recordsMissing(expected: Int, found: Int)
  /// Bytes remain after the last record that the header counts.
  case bytesLeftOver
  /// The records section is not what its codec writes.
  case undecodable(Compression)
  /// The records section decodes to more bytes than are allowed.
  case decompressedTooLarge(limit: Int)
  /// The record with this index in its batch takes more bytes, uncompressed, than its reader allows.
  case recordTooLarge(index: Int, bytes: Int, limit: Int)
  /// A codec library had no memory.
  case outOfMemory
}

/// What is wrong inside one record.
public enum RecordFault: UInt8, Error, Sendable {
  /// The bytes at hand end before the record does.
  case incomplete
  /// A length prefix smaller than the smallest record.
  case implausibleLength
  /// A field reaches past the end of its record.
  case overrun
  /// A variable-length integer with more bytes than its type allows.
  case overlongVarint
  /// A length below -1, or a negative number of headers.
  case negativeLength
  /// A header without a key.
  case nullHeaderKey
  /// Bytes remain behind the record's last field.
  case bytesLeftOver
  /// Offset deltas do not count up from 0.
  case offsetOutOfOrder
}

extension RecordFault: CustomStringConvertible {
  public var description: String {
    switch self {
    case .incomplete: "the bytes end inside the record"
    case .implausibleLength: "its length is smaller than any record"
    case .overrun: "a field reaches past the end of the record"
    case .overlongVarint: "a variable-length integer is too long"
    case .negativeLength: "a length or count is negative"
    case .nullHeaderKey: "a header has no key"
    case .bytesLeftOver: "bytes remain behind its last field"
    case .offsetOutOfOrder: "its offset delta is not its index"
    }
  }
}

extension RecordsError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .truncated(let needed, let available): "the record batch needs \(needed) bytes and \(available) are there"
    case .unsupportedMagic(let magic): "record batches with magic \(magic) are not supported, only 2"
    case .implausibleLength(let length): "a record batch cannot have the length \(length)"
    case .unknownCodec(let number): "no compression codec has the number \(number)"
    case .checksumMismatch(let stored, let computed): "the record batch's CRC is \(stored) but its bytes have \(computed)"
    case .malformedRecord(let index, let fault): "record \(index) of the batch is malformed: \(fault)"
    case .recordsMissing(let expected, let found): "the record batch says it has \(expected) records but has \(found)"
    case .bytesLeftOver: "bytes remain behind the last record of the batch"
    case .undecodable(let codec): "the records cannot be decompressed with \(codec)"
    case .recordTooLarge(let index, let bytes, let limit):
      "record \(index) has \(bytes) bytes, which is more than the limit of \(limit)"
    case .decompressedTooLarge(let limit): "the records decompress to more than \(limit) bytes"
    case .outOfMemory: "out of memory"
    }
  }
}
