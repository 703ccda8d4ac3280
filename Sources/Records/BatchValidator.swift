internal import Bytes
internal import Model
public import NIOCore

/// Checks what a producer sent for one partition as Kafka's broker does, and makes it what is to be stored.
///
/// In order: exactly one batch of version 2 whose length is that of the bytes; its size; its CRC; that a client may write it; every
/// record, by streaming decode; timestamps. What is stored is what was sent, unless the topic wants another codec or LogAppendTime,
/// or the header's maximum timestamp is not that of the records: then it is a changed copy with a new CRC. Base offset and leader
/// epoch are left to the storage lane.
public enum BatchValidator {
  /// - Parameter records: the records field of one partition in a produce request (version 3 on).
  /// - Returns: the bytes to be stored, which share storage with `records` where nothing had to be changed, and their batches: one.
  /// - Throws: the answer to the producer; nothing is to be stored then.
  /// - Complexity: one pass over the records, without allocation per record; at most two.
  public static func validate(
    _ records: ByteBuffer, rules: ValidationRules
  ) throws(BatchRejection) -> (records: ByteBuffer, batches: [BatchSummary]) {
    let records = try firstBatch(of: records)
    let checked = try records.withReadableRaw { (bytes: UnsafeRawBufferPointer) throws(BatchRejection) in
      try check(bytes, rules: rules)
    }
    return try settle(records, checked, rules: rules)
  }

  /// The bytes without those of a further batch that breaks off: Kafka lets them pass and cuts them off.
  ///
  /// - Throws: there is more than one batch.
  private static func firstBatch(of records: ByteBuffer) throws(BatchRejection) -> ByteBuffer {
    let prefix = BatchHeader.lengthOverhead
    func totalBytes(at index: Int) -> Int {
      prefix + Int(records.getInteger(at: records.readerIndex + index + prefix - 4, as: Int32.self) ?? 0)
    }
    guard records.readableBytes > BatchHeader.byteCount else { return records }
    let first = totalBytes(at: 0)
    guard first >= BatchHeader.byteCount, first < records.readableBytes else { return records }
    let rest = records.readableBytes - first
    // Up to the magic, Kafka does not even look at it.
    if rest >= 17 {
      let second = totalBytes(at: first)
      if second < prefix + 14 { throw BatchRejection(.corruptMessage, "what follows the record batch is none") }
      if rest >= second {
        throw BatchRejection(.invalidRecord, "a produce request has to have exactly one record batch for each partition")
      }
    }
    return records.getSlice(at: records.readerIndex, length: first) ?? records
  }

  /// A batch found good, and what its records say.
  private struct Checked {
    var header: BatchHeader
    var minTimestamp: Int64
    var maxTimestamp: Int64
    var decompressedBytes: Int
  }

  private static func check(_ bytes: UnsafeRawBufferPointer, rules: ValidationRules) throws(BatchRejection) -> Checked {
    let header = try readHeader(bytes, rules: rules)
    try checkHeader(header)
    var tally = RecordTally(header: header, rules: rules)
    let section = UnsafeRawBufferPointer(rebasing: bytes[BatchHeader.byteCount...])
    do throws(RecordsError) { try tally.run(section) } catch { throw BatchRejection(error) }
    let timestamps = rules.timestamps
    let isInRange = timestamps.contains(tally.minTimestamp) && timestamps.contains(tally.maxTimestamp)
    if !isInRange || (rules.requiresKeys && tally.hasNullKey) { try listBadRecords(section, header, rules) }
    return Checked(
      header: header, minTimestamp: tally.minTimestamp, maxTimestamp: tally.maxTimestamp,
      decompressedBytes: tally.decompressedBytes)
  }

  /// The framing, the size and the checksum: that these are the bytes of one batch.
  private static func readHeader(
    _ bytes: UnsafeRawBufferPointer, rules: ValidationRules
  ) throws(BatchRejection) -> BatchHeader {
    guard !bytes.isEmpty else { throw BatchRejection(.invalidRecord, "there is no record batch for the partition") }
    let header = try rejecting { () throws(RecordsError) in try BatchHeader(ofWhole: bytes) }
    guard header.totalBytes == bytes.count else {
      throw BatchRejection(.invalidRecord, "a produce request has to have exactly one record batch for each partition")
    }
    guard bytes.count <= rules.batchBytesMax else { throw tooLarge(bytes.count, rules) }
    try rejecting { () throws(RecordsError) in try header.verifyChecksum(of: bytes) }
    return header
  }

  /// Turns what is wrong with the bytes into the answer to the producer.
  private static func rejecting<R>(_ body: () throws(RecordsError) -> R) throws(BatchRejection) -> R {
    do throws(RecordsError) { return try body() } catch { throw BatchRejection(error) }
  }

  /// That the header makes sense, and is one that a client may send.
  private static func checkHeader(_ header: BatchHeader) throws(BatchRejection) {
    func refuse(_ why: String) -> BatchRejection { BatchRejection(.invalidRecord, why) }
    guard header.baseOffset == 0 else { throw refuse("the base offset of a produced batch is \(header.baseOffset), not 0") }
    guard header.recordCount > 0 else { throw refuse("a record batch cannot have \(header.recordCount) records") }
    guard Int64(header.lastOffsetDelta) + 1 == Int64(header.recordCount) else {
      throw refuse("the batch has \(header.recordCount) records, but its last offset delta is \(header.lastOffsetDelta)")
    }
    guard !header.isControl else { throw refuse("clients are not allowed to write control records") }
    guard !header.hasProducerID || header.baseSequence >= 0 && header.producerEpoch >= 0 else {
      throw refuse(
        "the batch of producer id \(header.producerID) has sequence \(header.baseSequence) and epoch \(header.producerEpoch)")
    }
    guard header.timestampType == .createTime else {
      let why = "producers cannot set the timestamp type to LogAppendTime"
      throw BatchRejection(.invalidTimestamp, why, recordErrors: [.init(batchIndex: 0, message: why)])
    }
  }

  private static func listBadRecords(
    _ section: UnsafeRawBufferPointer, _ header: BatchHeader, _ rules: ValidationRules
  ) throws(BatchRejection) {
    var tally = RecordTally(listing: rules.timestamps, header: header, rules: rules)
    do throws(RecordsError) { try tally.run(section) } catch { throw BatchRejection(error) }
    // None: every timestamp out of range is -1, which means none and is allowed.
    guard let listing = tally.listing, !listing.errors.isEmpty else { return }
    throw listing.hasBadTimestamp
      ? BatchRejection(.invalidTimestamp, "one or more records have an invalid timestamp", recordErrors: listing.errors)
      : BatchRejection(.invalidRecord, "one or more records have no key", recordErrors: listing.errors)
  }

  private static func tooLarge(_ count: Int, _ rules: ValidationRules) -> BatchRejection {
    BatchRejection(
      .messageTooLarge, "the record batch has \(count) bytes, more than max.message.bytes (\(rules.batchBytesMax))")
  }

  /// Makes the batch what the topic wants stored.
  private static func settle(
    _ records: ByteBuffer, _ checked: Checked, rules: ValidationRules
  ) throws(BatchRejection) -> (records: ByteBuffer, batches: [BatchSummary]) {
    var output = records
    var header = checked.header
    var minTimestamp = checked.minTimestamp
    var maxTimestamp = checked.maxTimestamp
    if let codec = Compression(rules.compression), codec != header.compression {
      output = try transcode(records, header, to: codec, rules)
      header = try reread(output)
    }
    var attributes = header.attributes
    if rules.timestampType == .logAppendTime {
      attributes |= 0x08
      minTimestamp = rules.now
      maxTimestamp = rules.now
    }
    if attributes != header.attributes || maxTimestamp != header.maxTimestamp {
      // The buffer copies itself here if it shares storage with the request.
      output.withUnsafeMutableReadableBytes {
        BatchPatch.setTimes(attributes: attributes, maxTimestamp: maxTimestamp, in: $0)
      }
      header = try reread(output)
    }
    let summary = BatchSummary(
      header: header, position: 0, byteCount: header.totalBytes, minTimestamp: minTimestamp, maxTimestamp: maxTimestamp,
      decompressedBytes: checked.decompressedBytes)
    return (output, [summary])
  }

  private static func transcode(
    _ records: ByteBuffer, _ header: BatchHeader, to codec: Compression, _ rules: ValidationRules
  ) throws(BatchRejection) -> ByteBuffer {
    let encoded = try rejecting { () throws(RecordsError) in
      try records.withReadableRaw { (bytes: UnsafeRawBufferPointer) throws(RecordsError) in
        try BatchTranscoder.transcode(
          bytes, header: header, to: codec, byteCountMax: rules.batchBytesMax, decompressedBytesMax: rules.decompressedBytesMax)
      }
    }
    guard let encoded else {
      throw BatchRejection(
        .messageTooLarge, "the record batch has more than max.message.bytes (\(rules.batchBytesMax)) when stored as \(codec)")
    }
    return encoded
  }

  private static func reread(_ batch: ByteBuffer) throws(BatchRejection) -> BatchHeader {
    try rejecting { () throws(RecordsError) in
      try batch.withReadableRaw { (bytes: UnsafeRawBufferPointer) throws(RecordsError) in try BatchHeader(bytes) }
    }
  }
}
