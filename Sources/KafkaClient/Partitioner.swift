/// Chooses partitions as Kafka's own clients do, so that a key lands where every other producer would put it.
public struct Partitioner: Sendable {
  public let partitionCount: Int32
  private var sticky: Int32

  /// - Parameter start: any number; decides where records without a key begin.
  public init(partitionCount: Int32, start: UInt32) {
    precondition(partitionCount > 0, "a topic has at least one partition")
    self.partitionCount = partitionCount
    sticky = Int32(start % UInt32(partitionCount))
  }

  /// The partition of a record with this key.
  public func partition(forKey key: UnsafeRawBufferPointer) -> Int32 {
    (Murmur2.hash(key) & 0x7FFF_FFFF) % partitionCount
  }

  /// The partition for records without a key: the same one until `batchFilled()`, so that batches fill up.
  public var partitionWithoutKey: Int32 { sticky }

  /// Moves records without a key on to the next partition.
  public mutating func batchFilled() { sticky = (sticky + 1) % partitionCount }
}

/// The 32-bit MurmurHash2 with Kafka's seed, as in `org.apache.kafka.common.utils.Utils.murmur2`.
public enum Murmur2 {
  public static func hash(_ bytes: UnsafeRawBufferPointer) -> Int32 {
    let multiplier: UInt32 = 0x5BD1_E995
    var hash: UInt32 = 0x9747_B28C ^ UInt32(truncatingIfNeeded: bytes.count)
    let words = bytes.count / 4
    for i in 0..<words {
      var k = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: i * 4, as: UInt32.self))
      k = k &* multiplier
      k ^= k >> 24
      k = k &* multiplier
      hash = hash &* multiplier
      hash ^= k
    }
    let rest = words * 4
    let left = bytes.count - rest
    if left >= 3 { hash ^= UInt32(bytes[rest + 2]) << 16 }
    if left >= 2 { hash ^= UInt32(bytes[rest + 1]) << 8 }
    if left >= 1 {
      hash ^= UInt32(bytes[rest])
      hash = hash &* multiplier
    }
    hash ^= hash >> 13
    hash = hash &* multiplier
    hash ^= hash >> 15
    return Int32(bitPattern: hash)
  }
}
