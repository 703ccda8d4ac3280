internal import Model
internal import NIOCore

/// What a fuzzer calls with arbitrary bytes: everything in this room that reads bytes from outside.
///
/// Any input ends in a value or a thrown error, which is swallowed here; it never traps, and memory stays within a small multiple of
/// the input and the window.
public enum RecordsFuzzing {
  /// - Parameter repairs: sets magic, length and CRC right first, so that mutated batches get past them to the decoders.
  public static func run(_ bytes: UnsafeRawBufferPointer, repairs: Bool) {
    var buffer = ByteBuffer(bytes: bytes)
    if repairs, bytes.count >= BatchHeader.byteCount {
      buffer.setInteger(Int32(bytes.count - BatchHeader.lengthOverhead), at: 8)
      buffer.setInteger(BatchHeader.magic, at: 16)
      let attributes: Int16 = buffer.getInteger(at: 21)!
      let maxTimestamp: Int64 = buffer.getInteger(at: 35)!
      buffer.withUnsafeMutableReadableBytes {
        BatchPatch.setTimes(attributes: attributes, maxTimestamp: maxTimestamp, in: $0)
      }
    }
    var configuration = TopicConfiguration()
    configuration.maxMessageBytes = .max
    configuration.timestampAfterMaxMilliseconds = .max
    var policies: [CompressionPolicy] = [.producer]
    // One re-encoding each time, which one being up to the input.
    policies.append(CompressionPolicy.allCases[Int(bytes.last ?? 0) % CompressionPolicy.allCases.count])
    for policy in policies {
      configuration.compression = policy
      var rules = ValidationRules(configuration: configuration, now: 1_700_000_000_000)
      rules.decompressedBytesMax = 16 << 20
      _ = try? BatchValidator.validate(buffer, rules: rules)
    }
    stretches(buffer, repairs: repairs)
    let cursor = BatchCursor()
    guard (try? cursor.load(buffer)) != nil else { return }
    var sum = 0
    while (try? cursor.next()) == true {
      let record = cursor.record
      sum &+= (record.key?.count ?? 0) &+ (record.value?.count ?? 0) &+ Int(truncatingIfNeeded: record.timestamp)
      for header in record.headers { sum &+= header.key.count &+ (header.value?.count ?? 0) }
      _ = ControlRecord(key: record.key)
    }
  }

  /// What a mirror makes of the bytes of a foreign broker, and a node of what a mirror sends.
  private static func stretches(_ buffer: ByteBuffer, repairs: Bool) {
    _ = try? LogStretch.validate(buffer)
    let base: Int64 = buffer.getInteger(at: 0) ?? 0
    for position in [base, 0, base &+ 1] {
      let aborted = [CommittedStretch.AbortedTransaction(producerID: buffer.getInteger(at: 43) ?? 0, firstOffset: 0)]
      guard position >= 0,
        let stretch = try? CommittedStretch(of: buffer, from: position, mayBeginEarlier: position != 0, aborted: aborted)
      else { continue }
      precondition(stretch.nextOffset >= stretch.firstOffset, "a stretch ends before it begins")
      // A long gap alone takes many batches.
      if stretch.batches.readableBytes < 1 << 20 { _ = try? LogStretch.validate(stretch.batches) }
    }
  }
}
