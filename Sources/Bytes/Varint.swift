/// Sizes and encodings of Kafka's variable-length integers (LEB128, zigzag where signed).
public enum Varint {
  /// Bytes that `value` takes as an unsigned varint: 1 to 10.
  @inlinable public static func size(unsigned value: UInt64) -> Int {
    (70 &- (value | 1).leadingZeroBitCount) / 7
  }
  /// Bytes that `value` takes as a zigzag varint: 1 to 10.
  @inlinable public static func size(_ value: Int64) -> Int { size(unsigned: zigzag(value)) }

  @inlinable public static func zigzag(_ value: Int64) -> UInt64 { UInt64(bitPattern: (value &<< 1) ^ (value &>> 63)) }
}
