public import Query

/// The values of a record's declared columns as bytes, in the order of the schema. Borrowed like the record.
///
/// Each begins with a byte that says what it is: `0` NULL, `1` INTEGER and `2` REAL in eight bytes, `3` TEXT and `4` BLOB with their count
/// in four bytes. All numbers are little-endian.
public struct EncodedValues: Sequence {
  let bytes: UnsafeRawBufferPointer
  public let count: Int

  public static var none: EncodedValues { EncodedValues(unchecked: UnsafeRawBufferPointer(start: nil, count: 0), count: 0) }

  /// - Precondition: made by `append`.
  init(unchecked bytes: UnsafeRawBufferPointer, count: Int) {
    self.bytes = bytes
    self.count = count
  }

  /// Nil if the bytes are not `count` values.
  init?(checking bytes: UnsafeRawBufferPointer, count: Int) {
    var at = 0
    for _ in 0..<count {
      guard at < bytes.count, let size = Self.size(bytes, at), bytes.count - at >= size else { return nil }
      at += size
    }
    guard at == bytes.count else { return nil }
    self.init(unchecked: bytes, count: count)
  }

  /// Bytes of the value at `at`; nil where it is none.
  private static func size(_ bytes: UnsafeRawBufferPointer, _ at: Int) -> Int? {
    switch bytes[at] {
    case 0: return 1
    case 1, 2: return 9
    case 3, 4: return bytes.count - at >= 5 ? 5 + length(bytes, at) : nil
    default: return nil
    }
  }

  private static func length(_ bytes: UnsafeRawBufferPointer, _ at: Int) -> Int {
    Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at + 1, as: UInt32.self)))
  }

  static func append(_ value: ColumnValue, to out: inout [UInt8]) {
    switch value {
    case .null: out.append(0)
    case .integer(let value):
      out.append(1)
      out.appendLittleEndian(value)
    case .real(let value):
      out.append(2)
      out.appendLittleEndian(value.bitPattern)
    case .text(let bytes):
      out.append(3)
      out.appendLittleEndian(UInt32(bytes.count))
      out.append(contentsOf: bytes)
    case .blob(let bytes):
      out.append(4)
      out.appendLittleEndian(UInt32(bytes.count))
      out.append(contentsOf: bytes)
    }
  }

  public struct Iterator: IteratorProtocol {
    let bytes: UnsafeRawBufferPointer
    var at = 0
    var remaining: Int

    public mutating func next() -> ColumnValue? {
      guard remaining > 0 else { return nil }
      remaining -= 1
      let kind = bytes[at]
      let start = at
      switch kind {
      case 1, 2:
        at += 9
        let word = Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: start + 1, as: Int64.self))
        return kind == 1 ? .integer(word) : .real(Double(bitPattern: UInt64(bitPattern: word)))
      case 3, 4:
        at += 5 + EncodedValues.length(bytes, start)
        let slice = UnsafeRawBufferPointer(rebasing: bytes[start + 5..<at])
        return kind == 3 ? .text(slice) : .blob(slice)
      default:
        at += 1
        return .null
      }
    }
  }

  public func makeIterator() -> Iterator { Iterator(bytes: bytes, remaining: count) }
  public var underestimatedCount: Int { count }
}
