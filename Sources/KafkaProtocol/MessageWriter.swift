public import Bytes
public import NIOCore

/// A frame ready for the socket: its parts follow each other without a gap.
public struct EncodedMessage: Sendable {
  /// The length prefix and everything small in slices of one buffer, with the large chunks of records between them.
  public var parts: [ByteBuffer]
  /// Bytes of all parts, the length prefix among them.
  public var byteCount: Int

  /// All parts in one buffer: a copy unless there is only one.
  public var joined: ByteBuffer {
    if parts.count == 1 { return parts[0] }
    var all = ByteBufferAllocator().buffer(capacity: byteCount)
    for part in parts { all.writeImmutableBuffer(part) }
    return all
  }
}

/// Writes fields into a buffer; large chunks of records are remembered by their place in it instead of copied.
public struct MessageWriter: FieldCoder {
  public let version: Int16
  public let isFlexible: Bool

  private var out: ByteBuffer
  private var splices: [(position: Int, chunk: ByteBuffer)] = []
  /// The tagged fields of the struct being written, which come behind its other fields.
  private var tags: [TaggedField] = []

  /// Records from this size on go out in a part of their own: below it, one more part costs more than the copy.
  static let spliceBytesMin = 4096
  /// What a text in a version that is not flexible can hold.
  static let shortTextBytesMax = Int(Int16.max)

  init(version: Int16, isFlexible: Bool, capacity: Int = 256) {
    self.version = version
    self.isFlexible = isFlexible
    out = ByteBufferAllocator().buffer(capacity: capacity)
  }

  /// The bytes written so far.
  /// - Precondition: nothing was spliced.
  var written: ByteBuffer {
    precondition(splices.isEmpty, "spliced records are not in the buffer")
    return out
  }

  /// Puts the length in front, which `init` leaves to the caller to have reserved as the first four bytes.
  consuming func finishFrame() -> EncodedMessage {
    let byteCount = splices.reduce(out.readableBytes) { $0 + $1.chunk.readableBytes }
    precondition(byteCount - 4 <= Int(Int32.max), "a frame of \(byteCount) bytes cannot be said on the wire")
    out.setInteger(Int32(byteCount - 4), at: out.readerIndex)
    var parts: [ByteBuffer] = []
    parts.reserveCapacity(2 * splices.count + 1)
    var start = 0
    for splice in splices {
      if let part = out.getSlice(at: start, length: splice.position - start), part.readableBytes > 0 { parts.append(part) }
      parts.append(splice.chunk)
      start = splice.position
    }
    if let part = out.getSlice(at: start, length: out.writerIndex - start), part.readableBytes > 0 { parts.append(part) }
    return EncodedMessage(parts: parts, byteCount: byteCount)
  }

  mutating func write(_ value: Int16) { out.writeInteger(value) }
  mutating func write(_ value: Int32) { out.writeInteger(value) }

  /// Text with a two-byte length in every version: the client id of request headers.
  mutating func writeShortText(_ text: String?) {
    guard let text else { return write(Int16(-1)) }
    let fitting = Self.fitting(text)
    out.writeInteger(Int16(fitting.utf8.count))
    out.writeString(fitting)
  }

  public mutating func integer<I: FixedWidthInteger>(_ value: inout I) { out.writeInteger(value) }

  public mutating func string(_ value: inout String) {
    guard isFlexible else { return writeShortText(value) }
    writeLength(value.utf8.count)
    out.writeString(value)
  }

  public mutating func string(_ value: inout String?, nullable: Bool) {
    if var present = value ?? (nullable ? nil : "") { return string(&present) }
    if isFlexible { writeLength(nil) } else { write(Int16(-1)) }
  }

  public mutating func bytes(_ value: inout ByteBuffer) {
    writeLength(value.readableBytes)
    out.writeImmutableBuffer(value)
  }

  public mutating func bytes(_ value: inout ByteBuffer?, nullable: Bool) {
    guard var present = value ?? (nullable ? nil : ByteBuffer()) else { return writeLength(nil) }
    bytes(&present)
  }

  public mutating func records(_ value: inout RecordsField?, nullable: Bool) {
    guard let records = value ?? (nullable ? nil : RecordsField()) else { return writeLength(nil) }
    writeLength(records.byteCount)
    records.forEachChunk { chunk in
      if chunk.readableBytes >= Self.spliceBytesMin {
        splices.append((out.writerIndex, chunk))
      } else {
        out.writeImmutableBuffer(chunk)
      }
    }
  }

  public mutating func array<E: FieldValue>(_ elements: inout [E]) throws(WireError) {
    writeLength(elements.count)
    for element in elements {
      var copy = element
      try copy.code(&self)
    }
  }

  public mutating func array<E: FieldValue>(_ elements: inout [E]?, nullable: Bool) throws(WireError) {
    guard var present = elements ?? (nullable ? nil : []) else { return writeLength(nil) }
    try array(&present)
  }

  public mutating func structure<S: WireStruct>(_ value: inout S?, nullable: Bool) throws(WireError) {
    guard var present = value ?? (nullable ? nil : S()) else { return _ = out.writeInteger(Int8(-1)) }
    out.writeInteger(Int8(1))
    try present.fields(&self)
  }

  public mutating func tagged(
    _ tag: UInt32, isDefault: Bool, _ code: (inout Self) throws(WireError) -> Void
  ) throws(WireError) {
    guard isFlexible, !isDefault else { return }
    // Its length comes first, so it is written aside. Structs in it have tagged fields of their own.
    let outer = (out, tags)
    out = ByteBuffer()
    tags = []
    try code(&self)
    let field = TaggedField(tag: tag, bytes: out)
    (out, tags) = outer
    tags.append(field)
  }

  public mutating func endOfStruct(_ unknown: inout [TaggedField]) {
    guard isFlexible else { return }
    if tags.isEmpty, unknown.isEmpty { return out.writeUnsignedVarint(0) }
    tags.append(contentsOf: unknown)
    tags.sort { $0.tag < $1.tag }
    out.writeUnsignedVarint(UInt64(tags.count))
    for field in tags {
      out.writeUnsignedVarint(UInt64(field.tag))
      out.writeUnsignedVarint(UInt64(field.bytes.readableBytes))
      out.writeImmutableBuffer(field.bytes)
    }
    tags.removeAll()
  }

  /// A length or a count of anything but short text; nil for null.
  private mutating func writeLength(_ length: Int?) {
    if isFlexible {
      out.writeUnsignedVarint(UInt64(length.map { $0 + 1 } ?? 0))
    } else {
      out.writeInteger(Int32(length ?? -1))
    }
  }

  /// `text`, cut at a character if it is longer than an old version can say. A group named in a flexible version may have
  /// a longer name than the one who lists it in an old version can be told.
  private static func fitting(_ text: String) -> String {
    guard text.utf8.count > shortTextBytesMax else { return text }
    var end = text.utf8.index(text.utf8.startIndex, offsetBy: shortTextBytesMax)
    while text.unicodeScalars.index(after: text.unicodeScalars.index(before: end)) != end, end > text.startIndex {
      end = text.utf8.index(before: end)
    }
    return String(text[..<end])
  }
}
