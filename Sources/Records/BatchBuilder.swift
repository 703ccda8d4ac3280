internal import Bytes
public import Model
public import NIOCore

/// A header of a record, owned.
public struct RecordHeader: Hashable, Sendable {
  public var key: String
  /// Nil for a null value.
  public var value: ByteBuffer?
  public init(key: String, value: ByteBuffer?) {
    self.key = key
    self.value = value
  }
}

/// Puts records together to a batch.
///
/// Records are laid out as they are appended; `build` compresses them and writes the header.
public struct BatchBuilder: Sendable {
  public var compression: Compression
  public var baseOffset: Offset
  public var leaderEpoch = LeaderEpoch(-1)
  /// -1: not idempotent.
  public var producerID: Int64 = -1
  public var producerEpoch: Int16 = -1
  public var baseSequence: Int32 = -1
  public var isTransactional = false
  public var isControl = false
  public var timestampType = TimestampType.createTime

  public private(set) var recordCount = 0
  private var records: ByteBuffer
  private var baseTimestamp: Int64 = -1
  private var maxTimestamp: Int64 = -1

  public init(compression: Compression = .none, baseOffset: Offset = .zero) {
    self.compression = compression
    self.baseOffset = baseOffset
    records = ByteBufferAllocator().buffer(capacity: 0)
  }

  public var isEmpty: Bool { recordCount == 0 }
  /// Bytes of the batch if it were not compressed.
  public var uncompressedBytes: Int { BatchHeader.byteCount + records.readableBytes }

  /// The most bytes by which a record with these sizes lengthens an uncompressed batch.
  public static func recordBytesMax(keyBytes: Int, valueBytes: Int, headers: [RecordHeader]) -> Int {
    let fixed = 5 + 1 + 10 + 5 + 5 + 5 + 5  // length, attributes, two deltas, two lengths, header count
    return headers.reduce(fixed + keyBytes + valueBytes) { $0 + 10 + $1.key.utf8.count + ($1.value?.readableBytes ?? 0) }
  }

  /// Appends a record; its bytes are copied.
  ///
  /// - Parameter key: nil for null, which is not empty; `value` likewise.
  /// - Parameter timestamp: milliseconds; -1 for none.
  public mutating func append(
    key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?, headers: [RecordHeader] = [], timestamp: TimestampMilliseconds
  ) {
    if recordCount == 0 { baseTimestamp = timestamp }
    maxTimestamp = recordCount == 0 ? timestamp : max(maxTimestamp, timestamp)
    let timestampDelta = timestamp &- baseTimestamp
    let offsetDelta = Int64(recordCount)
    var size = 1 + Varint.size(timestampDelta) + Varint.size(offsetDelta) + Varint.size(Int64(headers.count))
    size += Self.fieldSize(key?.count) + Self.fieldSize(value?.count)
    for header in headers { size += Self.fieldSize(header.key.utf8.count) + Self.fieldSize(header.value?.readableBytes) }
    records.reserveCapacity(minimumWritableBytes: size + 5)
    records.writeVarint(Int64(size))
    records.writeInteger(0 as Int8)
    records.writeVarint(timestampDelta)
    records.writeVarint(offsetDelta)
    write(key)
    write(value)
    records.writeVarint(Int64(headers.count))
    for header in headers {
      records.writeVarint(Int64(header.key.utf8.count))
      records.writeString(header.key)
      if let value = header.value { value.withUnsafeReadableBytes { write($0) } } else { write(nil) }
    }
    recordCount += 1
  }

  /// As above, of NIO's buffers.
  public mutating func append(
    key: ByteBuffer?, value: ByteBuffer?, headers: [RecordHeader] = [], timestamp: TimestampMilliseconds
  ) {
    Self.withBytes(key) { key in
      Self.withBytes(value) { value in append(key: key, value: value, headers: headers, timestamp: timestamp) }
    }
  }

  private static func withBytes(_ buffer: ByteBuffer?, _ body: (UnsafeRawBufferPointer?) -> Void) {
    if let buffer { buffer.withUnsafeReadableBytes { body($0) } } else { body(nil) }
  }

  private static func fieldSize(_ count: Int?) -> Int { count.map { Varint.size(Int64($0)) + $0 } ?? 1 }

  private mutating func write(_ bytes: UnsafeRawBufferPointer?) {
    guard let bytes else { return records.writeVarint(-1) }
    records.writeVarint(Int64(bytes.count))
    records.writeBytes(bytes)
  }

  /// Makes the transaction marker that ends a producer's transaction in this partition: a control batch of one record.
  ///
  /// - Parameter coordinatorEpoch: of the transaction coordinator that decided.
  public static func endTransaction(
    _ outcome: ControlRecord, producerID: Int64, producerEpoch: Int16, coordinatorEpoch: Int32, timestamp: TimestampMilliseconds
  ) -> BatchBuilder {
    var builder = BatchBuilder()
    builder.isTransactional = true
    builder.isControl = true
    builder.producerID = producerID
    builder.producerEpoch = producerEpoch
    var key = ByteBuffer(integer: 0 as Int16)
    key.writeInteger(outcome.type)
    var value = ByteBuffer(integer: 0 as Int16)
    value.writeInteger(coordinatorEpoch)
    builder.append(key: key, value: value, timestamp: timestamp)
    return builder
  }

  /// The batch, ready for a produce request or a log.
  ///
  /// - Precondition: there is at least one record.
  /// - Throws: `.outOfMemory` if a codec library says so.
  public func build() throws(RecordsError) -> ByteBuffer {
    precondition(recordCount > 0, "a record batch has at least one record")
    var batch = ByteBufferAllocator().buffer(capacity: uncompressedBytes)
    writeHeader(to: &batch)
    let compressor = Compressor()
    try compressor.begin(compression, to: &batch)
    try records.withReadableRaw { (bytes: UnsafeRawBufferPointer) throws(RecordsError) in
      try compressor.write(bytes, to: &batch)
    }
    try compressor.finish(to: &batch)
    batch.setInteger(Int32(batch.readableBytes - BatchHeader.lengthOverhead), at: 8)
    let attributes: Int16 = batch.getInteger(at: 21)!
    batch.withUnsafeMutableReadableBytes {
      BatchPatch.setTimes(attributes: attributes, maxTimestamp: maxTimestamp, in: $0)
    }
    return batch
  }

  private func writeHeader(to batch: inout ByteBuffer) {
    var attributes = Int16(compression.rawValue)
    if timestampType == .logAppendTime { attributes |= 0x08 }
    if isTransactional { attributes |= 0x10 }
    if isControl { attributes |= 0x20 }
    batch.writeInteger(baseOffset.rawValue)
    batch.writeInteger(0 as Int32)  // length, set when it is known
    batch.writeInteger(leaderEpoch.rawValue)
    batch.writeInteger(BatchHeader.magic)
    batch.writeInteger(0 as UInt32)  // CRC, likewise
    batch.writeInteger(attributes)
    batch.writeInteger(Int32(recordCount - 1))
    batch.writeInteger(baseTimestamp)
    batch.writeInteger(maxTimestamp)
    batch.writeInteger(producerID)
    batch.writeInteger(producerEpoch)
    batch.writeInteger(baseSequence)
    batch.writeInteger(Int32(recordCount))
  }
}

extension ControlRecord {
  var type: Int16 {
    switch self {
    case .abort: 0
    case .commit: 1
    case .other(let type): type
    }
  }
}
