internal import Records

/// One batch of an idempotent producer, as remembered to recognise its duplicates.
struct ProducerBatch: Hashable, Sendable {
  var baseSequence: Int32
  var lastSequence: Int32
  var baseOffset: Int64
  /// Milliseconds; the batch's maximum.
  var timestamp: Int64
}

/// What a partition remembers of an idempotent producer (KIP-98).
struct ProducerState: Hashable, Sendable {
  var epoch: Int16
  /// Milliseconds by the node's clock of the last append; for expiry.
  var lastAppendMilliseconds: Int64
  /// The last batches of this epoch, oldest first, at most `Limits.producerBatchesRemembered`.
  var batches: [ProducerBatch]
}

/// What an idempotent batch is, judged by what is remembered of its producer.
enum SequenceVerdict: Equatable {
  case next
  case duplicate(ProducerBatch)
  /// The producer has a newer epoch: this one was fenced.
  case fencedEpoch
  case outOfOrder
}

extension ProducerState {
  /// - Parameter state: nil for a producer that is not known, which may begin with any sequence.
  static func judge(_ header: BatchHeader, after state: ProducerState?) -> SequenceVerdict {
    guard let state else { return .next }
    if header.producerEpoch < state.epoch { return .fencedEpoch }
    if header.producerEpoch > state.epoch { return header.baseSequence == 0 ? .next : .outOfOrder }
    let last = header.lastSequence
    if let original = state.batches.last(where: { $0.baseSequence == header.baseSequence && $0.lastSequence == last }) {
      return .duplicate(original)
    }
    guard let newest = state.batches.last else { return .next }
    return header.baseSequence == ProducerSequence.advance(newest.lastSequence, by: 1) ? .next : .outOfOrder
  }

  /// The state after `header` was appended at `baseOffset`.
  static func advance(
    _ state: ProducerState?, by header: BatchHeader, at baseOffset: Int64, now: Int64, remembering limit: Int
  ) -> ProducerState {
    var batches = state?.epoch == header.producerEpoch ? state?.batches ?? [] : []
    if batches.count >= limit { batches.removeFirst(batches.count - limit + 1) }
    batches.append(
      ProducerBatch(
        baseSequence: header.baseSequence, lastSequence: header.lastSequence, baseOffset: baseOffset,
        timestamp: header.maxTimestamp))
    return ProducerState(epoch: header.producerEpoch, lastAppendMilliseconds: now, batches: batches)
  }

  // The `batches` column: 24 bytes each, most significant byte first.

  private static let bytesPerBatch = 24

  var encodedBatches: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(batches.count * Self.bytesPerBatch)
    for batch in batches {
      withUnsafeBytes(of: batch.baseSequence.bigEndian) { bytes.append(contentsOf: $0) }
      withUnsafeBytes(of: batch.lastSequence.bigEndian) { bytes.append(contentsOf: $0) }
      withUnsafeBytes(of: batch.baseOffset.bigEndian) { bytes.append(contentsOf: $0) }
      withUnsafeBytes(of: batch.timestamp.bigEndian) { bytes.append(contentsOf: $0) }
    }
    return bytes
  }

  static func decodeBatches(_ bytes: UnsafeRawBufferPointer) -> [ProducerBatch] {
    (0..<bytes.count / bytesPerBatch).map { index in
      let start = index * bytesPerBatch
      return ProducerBatch(
        baseSequence: Int32(bigEndian: bytes.loadUnaligned(fromByteOffset: start, as: Int32.self)),
        lastSequence: Int32(bigEndian: bytes.loadUnaligned(fromByteOffset: start + 4, as: Int32.self)),
        baseOffset: Int64(bigEndian: bytes.loadUnaligned(fromByteOffset: start + 8, as: Int64.self)),
        timestamp: Int64(bigEndian: bytes.loadUnaligned(fromByteOffset: start + 16, as: Int64.self)))
    }
  }
}
