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
}
