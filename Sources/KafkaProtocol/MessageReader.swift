public import Bytes
public import NIOCore

/// Reads fields from a frame.
///
/// No byte is trusted: lengths and counts are checked against what is left before anything is allocated for them, and
/// what a message may take in memory is bounded by a multiple of its size.
public struct MessageReader: FieldCoder {
  public private(set) var version: Int16
  public let isFlexible: Bool

  private var reader: ByteReader
  /// Where `reader` begins in `bytes`: 0, or the start of the tagged field being read.
  private var origin = 0
  /// The frame's readable bytes, twice: borrowed to be read, and as the buffer that slices are taken of.
  private let bytes: UnsafeRawBufferPointer
  private let frame: ByteBuffer
  /// Bytes of memory that arrays and texts may still take.
  private var allowance: Int
  /// The tagged section of the struct being read, once it was come to.
  private var section: [Entry]?

  private struct Entry {
    var tag: UInt32
    var start: Int
    var length: Int
    var isNamed = false
  }

  /// Tagged fields in one struct; Kafka's own have at most four.
  static let taggedFieldsMax = 64
  /// Bytes of memory for the fields of a message of `count` bytes; the densest honest ones grow fourfold.
  static func memoryMax(forBytes count: Int) -> Int { 1 << 20 + 8 * count }

  /// - Precondition: `bytes` are `frame`'s readable bytes, borrowed for as long as this is used.
  init(_ bytes: UnsafeRawBufferPointer, of frame: ByteBuffer, version: Int16, isFlexible: Bool) {
    self.bytes = bytes
    self.frame = frame
    self.version = version
    self.isFlexible = isFlexible
    reader = ByteReader(bytes)
    allowance = Self.memoryMax(forBytes: bytes.count)
  }

  /// Goes on from here in another version: that of a message that says its version first.
  consuming func continued(version: Int16) -> MessageReader {
    self.version = version
    return self
  }

  /// Bytes read so far.
  var index: Int { origin + reader.index }

  public mutating func integer<I: FixedWidthInteger>(_ value: inout I) throws(WireError) { value = try reader.integer() }

  public mutating func string(_ value: inout String) throws(WireError) {
    guard let length = try shortLength() else { throw .unexpectedNull }
    value = try text(length)
  }

  public mutating func string(_ value: inout String?, nullable: Bool) throws(WireError) {
    guard let length = try shortLength() else { return try setNull(&value, nullable) }
    value = try text(length)
  }

  public mutating func bytes(_ value: inout ByteBuffer) throws(WireError) {
    guard let length = try longLength() else { throw .unexpectedNull }
    value = try copy(length)
  }

  public mutating func bytes(_ value: inout ByteBuffer?, nullable: Bool) throws(WireError) {
    guard let length = try longLength() else { return try setNull(&value, nullable) }
    value = try copy(length)
  }

  /// Not copied: a slice of the frame.
  public mutating func records(_ value: inout RecordsField?, nullable: Bool) throws(WireError) {
    guard let length = try longLength() else { return try setNull(&value, nullable) }
    let start = index
    try reader.skip(length)
    value = RecordsField(try slice(start, length))
  }

  public mutating func array<E: FieldValue>(_ elements: inout [E]) throws(WireError) {
    guard let count = try longLength() else { throw .unexpectedNull }
    elements = try read(count)
  }

  public mutating func array<E: FieldValue>(_ elements: inout [E]?, nullable: Bool) throws(WireError) {
    guard let count = try longLength() else { return try setNull(&elements, nullable) }
    elements = try read(count)
  }

  public mutating func structure<S: WireStruct>(_ value: inout S?, nullable: Bool) throws(WireError) {
    guard try reader.integer(Int8.self) >= 0 else { return try setNull(&value, nullable) }
    var present = S()
    try present.fields(&self)
    value = present
  }

  public mutating func tagged(
    _ tag: UInt32, isDefault: Bool, _ code: (inout Self) throws(WireError) -> Void
  ) throws(WireError) {
    guard isFlexible else { return }
    var entries = try openSection()
    guard let found = entries.lastIndex(where: { $0.tag == tag }) else { return }
    for i in entries.indices where entries[i].tag == tag { entries[i].isNamed = true }

    // The value is read by a reader that ends where the value does; it may hold structs with sections of their own.
    let entry = entries[found]
    let outer = (reader, origin)
    reader = ByteReader(UnsafeRawBufferPointer(rebasing: bytes[entry.start..<entry.start + entry.length]))
    origin = entry.start
    section = nil
    try code(&self)
    guard reader.isAtEnd else { throw .malformed("tagged field \(tag) is longer than its value") }
    (reader, origin) = outer
    section = entries
  }

  public mutating func endOfStruct(_ unknown: inout [TaggedField]) throws(WireError) {
    guard isFlexible else { return }
    let entries = try openSection()
    section = nil
    for entry in entries where !entry.isNamed {
      unknown.append(TaggedField(tag: entry.tag, bytes: try slice(entry.start, entry.length)))
    }
  }
}

extension MessageReader {
  /// The length of a text; nil for null.
  private mutating func shortLength() throws(WireError) -> Int? {
    if isFlexible { return try compactLength() }
    let length = Int(try reader.integer(Int16.self))
    guard length >= -1 else { throw .implausibleLength(Int64(length)) }
    return length == -1 ? nil : length
  }

  /// The length of bytes or records, or the count of an array; nil for null.
  private mutating func longLength() throws(WireError) -> Int? {
    if isFlexible { return try compactLength() }
    let length = Int(try reader.integer(Int32.self))
    guard length >= -1 else { throw .implausibleLength(Int64(length)) }
    return length == -1 ? nil : length
  }

  /// Lengths travel as one more than they are, so that 0 can be null.
  private mutating func compactLength() throws(WireError) -> Int? {
    let raw = Int(try reader.unsignedVarint())
    return raw == 0 ? nil : raw - 1
  }

  private func setNull<V>(_ value: inout V?, _ nullable: Bool) throws(WireError) {
    guard nullable else { throw .unexpectedNull }
    value = nil
  }

  private mutating func text(_ length: Int) throws(WireError) -> String {
    // Up to 15 bytes lie in the String itself.
    if length > 15 { try charge(length + 32) }
    return try reader.string(length)
  }

  /// Bytes that are not records are copied: a member's subscription is kept for as long as the member lives, and a slice
  /// would keep its whole frame.
  private mutating func copy(_ length: Int) throws(WireError) -> ByteBuffer {
    let borrowed = try reader.bytes(length)
    if length == 0 { return ByteBuffer() }
    try charge(2 * length + 64)
    return ByteBuffer(bytes: borrowed)
  }

  private mutating func read<E: FieldValue>(_ count: Int) throws(WireError) -> [E] {
    if count == 0 { return [] }
    guard count <= reader.remaining / E.wireBytesMin else { throw .implausibleLength(Int64(count)) }
    try charge(count * MemoryLayout<E>.stride + 32)
    var elements: [E] = []
    elements.reserveCapacity(count)
    for _ in 0..<count {
      var element = E.initialValue
      try element.code(&self)
      elements.append(element)
    }
    return elements
  }

  private mutating func charge(_ count: Int) throws(WireError) {
    allowance -= count
    guard allowance >= 0 else { throw .malformed("the message would take too much memory for its size") }
  }

  private func slice(_ start: Int, _ length: Int) throws(WireError) -> ByteBuffer {
    guard let slice = frame.getSlice(at: frame.readerIndex + start, length: length) else {
      throw .truncated(needed: length, available: bytes.count - start)
    }
    return slice
  }

  /// Finds the tagged fields of the struct that ends here; the reader then stands behind it.
  private mutating func openSection() throws(WireError) -> [Entry] {
    if let section { return section }
    var entries: [Entry] = []
    let count = Int(try reader.unsignedVarint())
    guard count <= Self.taggedFieldsMax else { throw .implausibleLength(Int64(count)) }
    if count > 0 { try charge(count * (MemoryLayout<Entry>.stride + MemoryLayout<TaggedField>.stride) + 64) }
    for _ in 0..<count {
      let tag = try reader.unsignedVarint()
      let length = Int(try reader.unsignedVarint())
      entries.append(Entry(tag: tag, start: index, length: length))
      try reader.skip(length)
    }
    // They should come in ascending order; from who does not keep to it they are taken as if they did.
    if count > 1 { entries.sort { ($0.tag, $0.start) < ($1.tag, $1.start) } }
    section = entries
    return entries
  }
}
