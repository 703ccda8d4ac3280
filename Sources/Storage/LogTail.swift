internal import DequeModule
internal import Model
internal import NIOCore

/// The newest batches of a partition, in memory, for fetches at its end.
struct LogTail {
  private struct Batch {
    var baseOffset: Int64
    var nextOffset: Int64
    var bytes: ByteBuffer
  }

  private var batches = Deque<Batch>()
  private(set) var byteCount = 0

  /// The first offset the tail has; nil while it is empty.
  var startOffset: Int64? { batches.first?.baseOffset }

  /// Adds the batch behind the newest one; a batch that does not follow it starts the tail anew.
  mutating func append(_ bytes: ByteBuffer, baseOffset: Int64, nextOffset: Int64) {
    if let last = batches.last, last.nextOffset != baseOffset { removeAll() }
    batches.append(Batch(baseOffset: baseOffset, nextOffset: nextOffset, bytes: bytes))
    byteCount += bytes.readableBytes
  }

  /// Forgets the oldest batch.
  ///
  /// - Returns: its bytes; nil if there was none.
  mutating func removeOldest() -> Int? {
    guard let oldest = batches.popFirst() else { return nil }
    byteCount -= oldest.bytes.readableBytes
    return oldest.bytes.readableBytes
  }

  mutating func removeAll() {
    batches.removeAll()
    byteCount = 0
  }

  /// Whole batches from the one that contains `offset` on, the first whatever its size; nil if it is older than the tail.
  ///
  /// - Parameter limit: what begins there may not be read yet.
  /// - Precondition: `offset` is below the end of the tail, and so of what may be read.
  func read(from offset: Int64, below limit: Int64, maxBytes: Int) -> FetchedRecords? {
    guard let start = startOffset, offset >= start else { return nil }
    var low = 0
    var high = batches.count
    while low < high {
      let middle = (low + high) / 2
      if batches[middle].nextOffset <= offset { low = middle + 1 } else { high = middle }
    }
    guard low < batches.count else { return nil }
    var records = FetchedRecords(
      chunks: [], byteCount: 0, firstOffset: Offset(batches[low].baseOffset), nextOffset: Offset(offset))
    while low < batches.count {
      let batch = batches[low]
      if batch.baseOffset >= limit { break }
      if !records.chunks.isEmpty, records.byteCount + batch.bytes.readableBytes > maxBytes { break }
      records.chunks.append(batch.bytes)
      records.byteCount += batch.bytes.readableBytes
      records.nextOffset = Offset(batch.nextOffset)
      low += 1
    }
    return records
  }
}

extension ByteBuffer {
  /// The readable bytes, in storage of their own if they are a small part of what they would keep alive.
  ///
  /// A produce request of 200 bytes lies in a receive buffer of 64 KiB; the tail must not pin 300 times its size.
  func detachedIfSmall() -> ByteBuffer {
    if readableBytes * 2 >= storageCapacity { return self }
    return ByteBuffer(bytes: readableBytesView)
  }
}
