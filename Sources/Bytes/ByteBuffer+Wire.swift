public import NIOCore

extension ByteBuffer {
  /// Reads the readable bytes with a cursor that cannot leave them; the buffer's own reader index stays where it is.
  @inlinable public func withReader<R, E: Error>(_ body: (inout ByteReader) throws(E) -> R) throws(E) -> R {
    try withReadableRaw { (bytes: UnsafeRawBufferPointer) throws(E) -> R in
      var reader = ByteReader(bytes)
      return try body(&reader)
    }
  }

  /// `withUnsafeReadableBytes` with typed throws.
  @inlinable public func withReadableRaw<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
    var outcome: Result<R, E>?
    withUnsafeReadableBytes { bytes in
      do throws(E) { outcome = .success(try body(bytes)) } catch { outcome = .failure(error) }
    }
    return try outcome!.get()
  }

  /// Appends `value` as an unsigned LEB128 varint.
  @inlinable public mutating func writeUnsignedVarint(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      writeInteger(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    writeInteger(UInt8(truncatingIfNeeded: rest))
  }

  /// Appends `value` as a zigzag LEB128 varint.
  @inlinable public mutating func writeVarint(_ value: Int64) { writeUnsignedVarint(Varint.zigzag(value)) }
}
