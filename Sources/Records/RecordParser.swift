/// Where the fields of one record lie, as byte positions in the bytes it was parsed from.
struct RecordLayout {
  var timestampDelta: Int64 = 0
  var offsetDelta: Int32 = 0
  /// -1: null.
  var keyCount: Int32 = -1
  var valueCount: Int32 = -1
  var headerCount: Int32 = 0
  var keyStart = 0
  var valueStart = 0
  var headersStart = 0
  /// Where the next record begins.
  var end = 0
}

/// Reads record fields out of bytes, every bound checked.
///
/// The functions are forced inline into their three loops (validation, iteration, headers): 100 B records then take a few
/// nanoseconds each, and fields that a loop does not use cost it nothing.
struct RecordParser {
  let base: UnsafeRawPointer
  var position: Int

  /// The smallest record: attributes, two deltas, two null lengths and a header count of one byte each.
  static let bodyBytesMin = 6

  @inline(__always) init(_ base: UnsafeRawPointer, at position: Int) {
    self.base = base
    self.position = position
  }

  /// Zigzag varint of 32 bits that must end before `limit`; `shortage` is thrown if it does not.
  @inline(__always)
  mutating func varint(limit: Int, shortage: RecordFault) throws(RecordFault) -> Int32 {
    guard position < limit else { throw shortage }
    let first = base.load(fromByteOffset: position, as: UInt8.self)
    position &+= 1
    if first < 0x80 { return Int32(first &>> 1) ^ -Int32(first & 1) }
    let raw = UInt32(truncatingIfNeeded: try rest(of: first, limit: limit, shortage: shortage, bitsMax: 32))
    return Int32(bitPattern: raw &>> 1) ^ (0 &- Int32(bitPattern: raw & 1))
  }

  @inline(__always)
  mutating func varlong(limit: Int) throws(RecordFault) -> Int64 {
    guard position < limit else { throw .overrun }
    let first = base.load(fromByteOffset: position, as: UInt8.self)
    position &+= 1
    if first < 0x80 { return Int64(first &>> 1) ^ -Int64(first & 1) }
    let raw = try rest(of: first, limit: limit, shortage: .overrun, bitsMax: 64)
    return Int64(bitPattern: raw &>> 1) ^ (0 &- Int64(bitPattern: raw & 1))
  }

  @inline(__always)
  private mutating func rest(of first: UInt8, limit: Int, shortage: RecordFault, bitsMax: UInt64) throws(RecordFault) -> UInt64
  {
    var value = UInt64(first & 0x7F)
    var shift: UInt64 = 7
    while true {
      guard position < limit else { throw shortage }
      let byte = base.load(fromByteOffset: position, as: UInt8.self)
      position &+= 1
      let room = bitsMax &- shift
      if room < 7, byte >> UInt8(truncatingIfNeeded: room) != 0 { throw .overlongVarint }
      value |= UInt64(byte & 0x7F) &<< shift
      if byte < 0x80 { return value }
      shift &+= 7
    }
  }

  /// A length and that many bytes, passed over: where they begin, and how many; -1 for null.
  @inline(__always)
  mutating func field(limit: Int) throws(RecordFault) -> (start: Int, count: Int32) {
    let count = try varint(limit: limit, shortage: .overrun)
    let start = position
    if count >= 0 {
      guard Int(count) <= limit &- position else { throw .overrun }
      position &+= Int(count)
    } else if count < -1 {
      throw .negativeLength
    }
    return (start, count)
  }

  /// The record that begins at the parser's position and must end at or before `limit`.
  ///
  /// - Throws: `.incomplete` if it does not; whatever else is wrong with it.
  @inline(__always)
  mutating func record(limit: Int) throws(RecordFault) -> RecordLayout {
    let length = Int(try varint(limit: limit, shortage: .incomplete))
    guard length >= Self.bodyBytesMin else { throw .implausibleLength }
    guard length <= limit &- position else { throw .incomplete }
    var layout = RecordLayout()
    let end = position &+ length
    layout.end = end
    position &+= 1  // attributes
    layout.timestampDelta = try varlong(limit: end)
    layout.offsetDelta = try varint(limit: end, shortage: .overrun)
    (layout.keyStart, layout.keyCount) = try field(limit: end)
    (layout.valueStart, layout.valueCount) = try field(limit: end)
    layout.headerCount = try varint(limit: end, shortage: .overrun)
    layout.headersStart = position
    if layout.headerCount != 0 { try passHeaders(layout.headerCount, limit: end) }
    guard position == end else { throw .bytesLeftOver }
    return layout
  }

  @inline(__always)
  private mutating func passHeaders(_ count: Int32, limit: Int) throws(RecordFault) {
    guard count > 0 else { throw .negativeLength }
    // Each takes two bytes at least: a count that cannot be true is refused before the walk.
    guard Int(count) &* 2 <= limit &- position else { throw .overrun }
    for _ in 0..<count {
      let key = try field(limit: limit)
      guard key.count >= 0 else { throw .nullHeaderKey }
      _ = try field(limit: limit)
    }
  }
}
