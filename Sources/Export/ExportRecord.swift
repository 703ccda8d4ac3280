public import Model
internal import Records

/// A part of an export: offsets of one partition. Its records come one after the other, by offset.
public final class ExportPart: Sendable {
  public let topic: String
  public let partition: Int32
  /// Where records may lie, cut to what was there when the export began.
  public let offsets: Range<Int64>

  public init(topic: String, partition: Int32, offsets: Range<Int64>) {
    self.topic = topic
    self.partition = partition
    self.offsets = offsets
  }
}

/// One record on its way out, borrowed: its bytes are valid until the call that it is handed to returns.
public struct ExportRecord {
  public let part: ExportPart
  public let offset: Int64
  /// Milliseconds; -1: none.
  public let timestamp: Int64
  public let timestampType: TimestampType
  /// Nil for a null key, which is not an empty one; likewise the value.
  public let key: UnsafeRawBufferPointer?
  public let value: UnsafeRawBufferPointer?
  public let headers: EncodedHeaders
  /// Of the declared columns of the export's schema; none where there are no such.
  public let values: EncodedValues

  public init(
    part: ExportPart, offset: Int64, timestamp: Int64, timestampType: TimestampType, key: UnsafeRawBufferPointer?,
    value: UnsafeRawBufferPointer?, headers: EncodedHeaders, values: EncodedValues = .none
  ) {
    self.part = part
    self.offset = offset
    self.timestamp = timestamp
    self.timestampType = timestampType
    self.key = key
    self.value = value
    self.headers = headers
    self.values = values
  }
}

/// The headers of a record as bytes: for each the count of its name, the count of its value (-1: null), little-endian in four bytes
/// each, and then both. Borrowed like the record.
public struct EncodedHeaders: Sequence {
  public struct Element {
    /// UTF-8 by convention; nobody checks that.
    public let name: UnsafeRawBufferPointer
    public let value: UnsafeRawBufferPointer?
  }

  let bytes: UnsafeRawBufferPointer
  public let count: Int
  public var isEmpty: Bool { count == 0 }

  /// - Precondition: made by `encode`, or checked by `init(checking:count:)`.
  init(unchecked bytes: UnsafeRawBufferPointer, count: Int) {
    self.bytes = bytes
    self.count = count
  }

  /// Nil if the bytes are not `count` headers.
  public init?(checking bytes: UnsafeRawBufferPointer, count: Int) {
    var at = 0
    for _ in 0..<count {
      guard bytes.count - at >= 8 else { return nil }
      let name = Int(Self.count(bytes, at))
      let value = Swift.max(0, Int(Self.count(bytes, at + 4)))
      guard name >= 0, bytes.count - at - 8 >= name, bytes.count - at - 8 - name >= value else { return nil }
      at += 8 + name + value
    }
    guard at == bytes.count else { return nil }
    self.init(unchecked: bytes, count: count)
  }

  static func encode(_ headers: RecordHeaders, to out: inout [UInt8]) {
    for header in headers { append(name: header.key, value: header.value, to: &out) }
  }

  static func append(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer?, to out: inout [UInt8]) {
    out.appendLittleEndian(Int32(name.count))
    out.appendLittleEndian(Int32(value?.count ?? -1))
    out.append(contentsOf: name)
    if let value { out.append(contentsOf: value) }
  }

  public static func append(_ header: ImportedRecord.Header, to out: inout [UInt8]) {
    var name = header.name
    name.withUTF8 { name in
      if let value = header.value {
        value.withUnsafeBytes { append(name: UnsafeRawBufferPointer(name), value: $0, to: &out) }
      } else {
        append(name: UnsafeRawBufferPointer(name), value: nil, to: &out)
      }
    }
  }

  fileprivate static func count(_ bytes: UnsafeRawBufferPointer, _ at: Int) -> Int32 {
    Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: Int32.self))
  }

  public struct Iterator: IteratorProtocol {
    let bytes: UnsafeRawBufferPointer
    var at = 0
    var remaining: Int

    public mutating func next() -> Element? {
      guard remaining > 0 else { return nil }
      remaining -= 1
      let nameCount = Int(EncodedHeaders.count(bytes, at))
      let valueCount = Int(EncodedHeaders.count(bytes, at + 4))
      let name = UnsafeRawBufferPointer(rebasing: bytes[at + 8..<at + 8 + nameCount])
      at += 8 + nameCount
      guard valueCount >= 0 else { return Element(name: name, value: nil) }
      defer { at += valueCount }
      return Element(name: name, value: UnsafeRawBufferPointer(rebasing: bytes[at..<at + valueCount]))
    }
  }

  public func makeIterator() -> Iterator { Iterator(bytes: bytes, remaining: count) }
  public var underestimatedCount: Int { count }
}

/// Takes records, part after part.
public protocol RecordSink: AnyObject {
  /// Called once, before the first record: the parts in the order in which their records will come, and the declared columns that each
  /// has a value of.
  func begin(_ parts: [ExportPart], _ fields: [ExportField]) throws(ExportError)
  func take(_ record: ExportRecord) throws(ExportError)
  /// Every record of the part's offsets has been taken.
  func end(_ part: ExportPart) throws(ExportError)
}

extension [UInt8] {
  @inline(__always)
  mutating func appendLittleEndian<Integer: FixedWidthInteger>(_ value: Integer) {
    Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
  }

  /// As `withUnsafeBytes`, with the error's type kept.
  func withRawBytes<Result, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try withUnsafeBufferPointer { (bytes) throws(Failure) in try body(UnsafeRawBufferPointer(bytes)) }
  }

  mutating func append(text: StaticString) { text.withUTF8Buffer { append(contentsOf: $0) } }
}
