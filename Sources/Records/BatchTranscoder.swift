internal import NIOCore

/// Re-encodes a batch with another codec: the records' bytes and everything else in the header stay.
enum BatchTranscoder {
  /// - Parameter batch: a valid batch.
  /// - Parameter byteCountMax: bytes of the result; what would be larger is given up before it is built.
  /// - Returns: the new batch with its length, attributes and CRC; nil if it would be larger than `byteCountMax`.
  static func transcode(
    _ batch: UnsafeRawBufferPointer, header: BatchHeader, to codec: Compression, byteCountMax: Int, decompressedBytesMax: Int
  ) throws(RecordsError) -> ByteBuffer? {
    let section = UnsafeRawBufferPointer(rebasing: batch[BatchHeader.byteCount..<header.totalBytes])
    var output = ByteBufferAllocator().buffer(capacity: min(byteCountMax, header.totalBytes + (64 << 10)))
    output.writeBytes(batch[..<BatchHeader.byteCount])
    let compressor = Compressor()
    try compressor.begin(codec, to: &output)
    if header.compression == .none {
      try compressor.write(section, to: &output)
    } else {
      let scratch = ScratchPool.take()
      defer { ScratchPool.giveBack(scratch) }
      try scratch.open(section, codec: header.compression, limit: decompressedBytesMax)
      while try scratch.refill(keepingFrom: scratch.end) {
        try compressor.write(UnsafeRawBufferPointer(rebasing: scratch.window[..<scratch.end]), to: &output)
        guard output.readableBytes <= byteCountMax else { return nil }
      }
    }
    try compressor.finish(to: &output)
    guard output.readableBytes <= byteCountMax else { return nil }
    output.setInteger(Int32(output.readableBytes - BatchHeader.lengthOverhead), at: 8)
    let attributes = header.attributes & ~7 | Int16(codec.rawValue)
    output.withUnsafeMutableReadableBytes {
      BatchPatch.setTimes(attributes: attributes, maxTimestamp: header.maxTimestamp, in: $0)
    }
    return output
  }
}
