public import NIOCore

/// Offsets without records, as batches: a log is a row of batches without gaps, and such a batch stands where another log has nothing
/// (compacted away, a transaction's marker, records of an aborted one).
///
/// Kafka's own compaction leaves such batches, so every client passes over them.
public enum EmptyBatch {
  /// Writes the batches that hold `offsets`: one, unless there are more offsets than a batch can hold (2³¹).
  public static func write(_ offsets: Range<Int64>, to buffer: inout ByteBuffer) {
    var start = offsets.lowerBound
    while start < offsets.upperBound {
      let lastOffsetDelta = Int32(clamping: offsets.upperBound - 1 - start)
      write(baseOffset: start, lastOffsetDelta: lastOffsetDelta, to: &buffer)
      start += Int64(lastOffsetDelta) + 1
    }
  }

  private static func write(baseOffset: Int64, lastOffsetDelta: Int32, to buffer: inout ByteBuffer) {
    var batch = ByteBuffer()
    batch.writeInteger(baseOffset)
    batch.writeInteger(Int32(BatchHeader.byteCount - BatchHeader.lengthOverhead))
    batch.writeInteger(-1 as Int32)  // leader epoch, set by who stores it
    batch.writeInteger(BatchHeader.magic)
    batch.writeInteger(0 as UInt32)  // CRC, set below
    batch.writeInteger(0 as Int16)
    batch.writeInteger(lastOffsetDelta)
    batch.writeInteger(-1 as Int64)  // timestamps
    batch.writeInteger(-1 as Int64)
    batch.writeInteger(-1 as Int64)  // producer
    batch.writeInteger(-1 as Int16)
    batch.writeInteger(-1 as Int32)
    batch.writeInteger(0 as Int32)
    batch.withUnsafeMutableReadableBytes { BatchPatch.setChecksum(in: $0) }
    buffer.writeBuffer(&batch)
  }
}
