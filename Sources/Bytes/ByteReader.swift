/// Why bytes from outside could not be read.
public enum WireError: Error, Equatable, Sendable {
  /// Fewer bytes than the field needs.
  case truncated(needed: Int, available: Int)
  /// A length or count that cannot be true: negative, or more than the bytes that are left could hold.
  case implausibleLength(Int64)
  /// A variable-length integer with more bytes than its type allows.
  case overlongVarint
  /// A null where the protocol allows none.
  case unexpectedNull
  /// Bytes that cannot mean anything: said in words.
  case malformed(String)
}

/// A cursor over borrowed bytes, most significant byte first, that checks every bound.
///
/// Wraps a pointer that is valid for the duration of the closure that made it (`withReader`); nothing is copied by reading.
public struct ByteReader {
  @usableFromInline let base: UnsafeRawPointer
  /// The index of the next byte to be read, counted from the start of the bytes.
  @usableFromInline var position: Int
  public var index: Int { position }
  public let count: Int

  /// - Precondition: `bytes` outlives the reader.
  @inlinable public init(_ bytes: UnsafeRawBufferPointer) {
    base = bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 1)!
    position = 0
    count = bytes.count
  }

  @inlinable public var remaining: Int { count &- position }
  @inlinable public var isAtEnd: Bool { position == count }

  /// Claims `length` bytes and returns where they begin; the reader then stands behind them.
  @inlinable public mutating func take(_ length: Int) throws(WireError) -> UnsafeRawPointer {
    guard length >= 0, length <= remaining else { throw .truncated(needed: length, available: remaining) }
    let start = base + position
    position &+= length
    return start
  }

  @inlinable public mutating func skip(_ length: Int) throws(WireError) { _ = try take(length) }

  /// Claims `length` bytes as a borrowed range.
  @inlinable public mutating func bytes(_ length: Int) throws(WireError) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: try take(length), count: length)
  }

  @inlinable public mutating func integer<T: FixedWidthInteger>(_: T.Type = T.self) throws(WireError) -> T {
    T(bigEndian: try take(MemoryLayout<T>.size).loadUnaligned(as: T.self))
  }

  @inlinable public mutating func double() throws(WireError) -> Double { Double(bitPattern: try integer(UInt64.self)) }

  @inlinable public mutating func bool() throws(WireError) -> Bool { try integer(UInt8.self) != 0 }

  /// Unsigned LEB128 of at most 32 bits.
  @inlinable public mutating func unsignedVarint() throws(WireError) -> UInt32 {
    var value: UInt32 = 0
    var shift: UInt32 = 0
    while true {
      let byte = try integer(UInt8.self)
      if shift == 28, byte > 0x0F { throw .overlongVarint }
      value |= UInt32(byte & 0x7F) &<< shift
      if byte < 0x80 { return value }
      shift += 7
    }
  }

  /// Unsigned LEB128 of at most 64 bits.
  @inlinable public mutating func unsignedVarlong() throws(WireError) -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while true {
      let byte = try integer(UInt8.self)
      if shift == 63, byte > 0x01 { throw .overlongVarint }
      value |= UInt64(byte & 0x7F) &<< shift
      if byte < 0x80 { return value }
      shift += 7
    }
  }

  /// Zigzag LEB128 of at most 32 bits.
  @inlinable public mutating func varint() throws(WireError) -> Int32 {
    let raw = try unsignedVarint()
    return Int32(bitPattern: raw >> 1) ^ -Int32(bitPattern: raw & 1)
  }

  /// Zigzag LEB128 of at most 64 bits.
  @inlinable public mutating func varlong() throws(WireError) -> Int64 {
    let raw = try unsignedVarlong()
    return Int64(bitPattern: raw >> 1) ^ -Int64(bitPattern: raw & 1)
  }

  /// `length` bytes as text. What is not UTF-8 reads as U+FFFD, as in Kafka: whoever takes the text decides whether it will do.
  @inlinable public mutating func string(_ length: Int) throws(WireError) -> String {
    String(decoding: try bytes(length), as: UTF8.self)
  }
}
