/// Reads one record field by field out of a decoding window, passing over keys and values without keeping them.
struct RecordStream {
  struct Fields {
    var timestampDelta: Int64
    var offsetDelta: Int32
    var hasKey: Bool
  }
  enum Failure: Error {
    case stream(RecordsError)
    case fault(RecordFault)
  }

  private let scratch: RecordScratch
  private(set) var position: Int
  /// Bytes of the record that are still to be read; without bound while its length is read.
  private var remaining = Int.max

  init(_ scratch: RecordScratch, at position: Int) {
    self.scratch = scratch
    self.position = position
  }

  /// Reads to the end of the record that begins here. The same rules as in `RecordParser.record`.
  mutating func record() throws(Failure) -> Fields {
    let length = Int(try varint())
    guard length >= RecordParser.bodyBytesMin else { throw .fault(.implausibleLength) }
    remaining = length
    try skip(1)
    let timestampDelta = zigzag(try raw(bitsMax: 64))
    let offsetDelta = try varint()
    let hasKey = try passField()
    _ = try passField()
    let headerCount = try varint()
    guard headerCount >= 0 else { throw .fault(.negativeLength) }
    guard Int(headerCount) * 2 <= remaining else { throw .fault(.overrun) }
    for _ in 0..<headerCount {
      guard try passField() else { throw .fault(.nullHeaderKey) }
      _ = try passField()
    }
    guard remaining == 0 else { throw .fault(.bytesLeftOver) }
    return Fields(timestampDelta: timestampDelta, offsetDelta: offsetDelta, hasKey: hasKey)
  }

  /// - Returns: false for null.
  private mutating func passField() throws(Failure) -> Bool {
    let count = try varint()
    guard count >= -1 else { throw .fault(.negativeLength) }
    if count > 0 { try skip(Int(count)) }
    return count >= 0
  }

  private mutating func skip(_ count: Int) throws(Failure) {
    guard count <= remaining else { throw .fault(.overrun) }
    remaining -= count
    var rest = count
    while rest > scratch.end - position {
      rest -= scratch.end - position
      try refill()
    }
    position += rest
  }

  private mutating func refill() throws(Failure) {
    let more: Bool
    do throws(RecordsError) { more = try scratch.refill(keepingFrom: scratch.end) } catch { throw .stream(error) }
    position = 0
    guard more else { throw .fault(.incomplete) }
  }

  private mutating func byte() throws(Failure) -> UInt8 {
    guard remaining > 0 else { throw .fault(.overrun) }
    remaining -= 1
    if position == scratch.end { try refill() }
    defer { position += 1 }
    return scratch.window[position]
  }

  private mutating func varint() throws(Failure) -> Int32 { Int32(truncatingIfNeeded: zigzag(try raw(bitsMax: 32))) }

  private mutating func raw(bitsMax: UInt64) throws(Failure) -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while true {
      let byte = try byte()
      let room = bitsMax - shift
      if room < 7, byte >> UInt8(room) != 0 { throw .fault(.overlongVarint) }
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
      shift += 7
    }
  }

  private func zigzag(_ raw: UInt64) -> Int64 { Int64(bitPattern: raw >> 1) ^ -Int64(bitPattern: raw & 1) }
}
