internal import CCodecs

/// CRC32C (Castagnoli polynomial, RFC 3720 §12.1), the checksum of record batches; computed in hardware where there is SSE 4.2.
public enum CRC32C {
  /// The checksum of `bytes`, continuing from `seed` (the checksum of what came before; 0 to begin).
  public static func checksum(_ bytes: UnsafeRawBufferPointer, seed: UInt32 = 0) -> UInt32 {
    guard let start = bytes.baseAddress else { return seed }
    return ccodecs_crc32c(seed, start, bytes.count)
  }
}
