public import Model

/// One record of a batch, borrowed: its bytes are valid until the iteration goes on.
public struct RecordView: ~Copyable {
  let base: UnsafeRawPointer
  let layout: RecordLayout
  /// Its position in the batch.
  public let index: Int
  public let offset: Offset
  /// Milliseconds; under LogAppendTime the batch's maximum, whatever the record itself says.
  public let timestamp: TimestampMilliseconds

  /// Nil for a null key, which is not an empty one.
  public var key: UnsafeRawBufferPointer? { Self.bytes(base, layout.keyStart, layout.keyCount) }
  /// Nil for a null value (a tombstone), which is not an empty one.
  public var value: UnsafeRawBufferPointer? { Self.bytes(base, layout.valueStart, layout.valueCount) }
  public var headers: RecordHeaders {
    RecordHeaders(base: base, start: layout.headersStart, end: layout.end, count: Int(layout.headerCount))
  }

  static func bytes(_ base: UnsafeRawPointer, _ start: Int, _ count: Int32) -> UnsafeRawBufferPointer? {
    count < 0 ? nil : UnsafeRawBufferPointer(start: base + start, count: Int(count))
  }
}

/// The headers of one record, decoded as they are iterated; borrowed like the record.
public struct RecordHeaders: Sequence {
  /// One header, borrowed. Keys are UTF-8 by convention; nobody checks that.
  public struct Element {
    public let key: UnsafeRawBufferPointer
    public let value: UnsafeRawBufferPointer?
  }

  let base: UnsafeRawPointer
  let start: Int
  let end: Int
  public let count: Int
  public var isEmpty: Bool { count == 0 }

  public struct Iterator: IteratorProtocol {
    var parser: RecordParser
    let end: Int
    var remaining: Int

    public mutating func next() -> Element? {
      // The record was checked as a whole when it was parsed, so nothing is thrown here.
      guard remaining > 0, let key = try? parser.field(limit: end), let value = try? parser.field(limit: end),
        let keyBytes = RecordView.bytes(parser.base, key.start, key.count)
      else { return nil }
      remaining -= 1
      return Element(key: keyBytes, value: RecordView.bytes(parser.base, value.start, value.count))
    }
  }

  public func makeIterator() -> Iterator {
    Iterator(parser: RecordParser(base, at: start), end: end, remaining: count)
  }
  public var underestimatedCount: Int { count }
}
