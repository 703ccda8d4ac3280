internal import Bytes
public import Model
public import NIOCore

/// A stretch of another log: whole batches one after the other, without a gap between their offsets, which they keep.
public enum LogStretch {
  /// Offsets from here on are none that any log has: at a million records a second it would have begun nine years ago. What is appended
  /// to such a log afterwards stays far below what a segment's state can say (2⁶⁰).
  public static let offsetMax: Int64 = 1 << 48

  /// Checks that `records` are such a stretch, of batches that are whole, with a right CRC and records that can be decoded.
  ///
  /// Unlike batches of producers they may lack records (compaction), or have none; neither markers nor parts of transactions may be
  /// among them.
  ///
  /// - Parameter decompressedBytesMax: of all batches together: small ones may become large, and each costs its time.
  /// - Throws: what is wrong, for the client; nothing is to be stored then.
  public static func validate(
    _ records: ByteBuffer, decompressedBytesMax: Int = Limits.mirrorDecompressedBytesMax
  ) throws(BatchRejection) -> [BatchSummary] {
    try records.withReadableRaw { (bytes: UnsafeRawBufferPointer) throws(BatchRejection) in
      var summaries: [BatchSummary] = []
      let scratch = RecordScratch()
      var position = 0
      var decompressedBytes = 0
      while position < bytes.count {
        let rest = UnsafeRawBufferPointer(rebasing: bytes[position...])
        let summary = try check(
          rest, at: position, after: summaries.last?.header, scratch,
          decompressedBytesMax: decompressedBytesMax - decompressedBytes)
        summaries.append(summary)
        position += summary.byteCount
        decompressedBytes += summary.decompressedBytes
      }
      return summaries
    }
  }

  private static func check(
    _ bytes: UnsafeRawBufferPointer, at position: Int, after previous: BatchHeader?, _ scratch: RecordScratch,
    decompressedBytesMax: Int
  ) throws(BatchRejection) -> BatchSummary {
    func refuse(_ why: String) -> BatchRejection { BatchRejection(.invalidRecord, why) }
    let header: BatchHeader
    do throws(RecordsError) { header = try BatchHeader(ofWhole: bytes) } catch { throw BatchRejection(error) }
    if let complaint = complaint(about: header, after: previous) { throw refuse(complaint) }
    var minTimestamp = Int64.max
    var maxTimestamp = Int64.min
    var last = header.baseOffset - 1
    var isOrdered = true
    let limit = min(Limits.decompressedBatchBytesMax, decompressedBytesMax)
    do throws(RecordsError) {
      try header.verifyChecksum(of: bytes)
      try forEachRecord(in: bytes, scratch: scratch, decompressedBytesMax: limit) { record in
        minTimestamp = min(minTimestamp, record.timestamp)
        maxTimestamp = max(maxTimestamp, record.timestamp)
        isOrdered = record.offset.rawValue > last
        last = record.offset.rawValue
        return isOrdered
      }
    } catch {
      if case .decompressedTooLarge = error, limit < Limits.decompressedBatchBytesMax {
        throw refuse("the batches up to the one at \(header.baseOffset) decompress to more bytes than may come at once")
      }
      throw BatchRejection(error)
    }
    guard isOrdered, last <= header.lastOffset else {
      throw refuse("the records' offsets do not rise from \(header.baseOffset) to \(header.lastOffset)")
    }
    return BatchSummary(
      header: header, position: position, byteCount: header.totalBytes, minTimestamp: minTimestamp, maxTimestamp: maxTimestamp,
      decompressedBytes: header.compression == .none || header.recordCount == 0 ? 0 : scratch.decompressedBytes)
  }

  private static func complaint(about header: BatchHeader, after previous: BatchHeader?) -> String? {
    guard header.baseOffset >= 0, header.lastOffsetDelta >= 0, header.nextOffset <= offsetMax else {
      return "the batch has the offsets \(header.baseOffset) to \(header.lastOffset)"
    }
    if let previous, header.baseOffset != previous.nextOffset {
      return "the batch at \(header.baseOffset) does not follow the one in front of it, which ends at \(previous.lastOffset)"
    }
    guard header.recordCount >= 0, Int64(header.recordCount) <= Int64(header.lastOffsetDelta) + 1 else {
      return
        "the batch at \(header.baseOffset) has \(header.recordCount) records for \(Int64(header.lastOffsetDelta) + 1) offsets"
    }
    if header.isControl { return "the batch at \(header.baseOffset) holds a transaction's marker" }
    if header.isTransactional { return "the batch at \(header.baseOffset) is part of a transaction" }
    return nil
  }
}
