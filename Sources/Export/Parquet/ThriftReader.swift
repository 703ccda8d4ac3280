/// What is wrong with a Parquet file.
struct ParquetError: Error, Equatable {
  var message: String
  init(_ message: String) { self.message = message }

  static let short = ParquetError("its metadata end too early")
  static let damaged = ParquetError("its metadata are damaged")
}

/// Reads Thrift's compact protocol from bytes that may be anything.
struct ThriftReader {
  private static let depthMax = 24

  let bytes: UnsafeRawBufferPointer
  private(set) var position = 0
  private var depth = 0

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  /// What a field or an element is.
  struct Kind: Equatable {
    var rawValue: UInt8
    static let boolTrue = Kind(rawValue: 1)
    static let binary = Kind(rawValue: 8)
    static let list = Kind(rawValue: 9)
    static let structure = Kind(rawValue: 12)
  }

  private mutating func byte() throws(ParquetError) -> UInt8 {
    guard position < bytes.count else { throw .short }
    defer { position += 1 }
    return bytes[position]
  }

  private mutating func varint() throws(ParquetError) -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: 0 as UInt64, to: 64, by: 7) {
      let byte = try byte()
      value |= UInt64(byte & 0x7F) << shift
      if byte & 0x80 == 0 { return value }
    }
    throw .damaged
  }

  /// Any of the integer kinds.
  mutating func integer() throws(ParquetError) -> Int64 {
    ParquetBits.unzigzag(try varint())
  }

  mutating func int() throws(ParquetError) -> Int { Int(try integer()) }

  mutating func binary() throws(ParquetError) -> UnsafeRawBufferPointer {
    let count = try varint()
    guard count <= UInt64(bytes.count - position) else { throw .short }
    defer { position += Int(count) }
    return UnsafeRawBufferPointer(rebasing: bytes[position..<position + Int(count)])
  }

  mutating func string() throws(ParquetError) -> String { String(decoding: try binary(), as: UTF8.self) }

  /// Reads a structure, field by field. `field` must read the field or `skip` it.
  mutating func structure(_ field: (inout ThriftReader, Int16, Kind) throws(ParquetError) -> Void) throws(ParquetError) {
    depth += 1
    defer { depth -= 1 }
    if depth > Self.depthMax { throw .damaged }
    var last: Int16 = 0
    while true {
      let head = try byte()
      if head == 0 { return }
      let delta = Int16(head >> 4)
      if delta == 0 {
        guard let number = Int16(exactly: try integer()) else { throw .damaged }
        last = number
      } else {
        let (next, overflow) = last.addingReportingOverflow(delta)
        if overflow { throw .damaged }
        last = next
      }
      try field(&self, last, Kind(rawValue: head & 0x0F))
    }
  }

  /// Reads a list, element by element.
  mutating func list(_ element: (inout ThriftReader) throws(ParquetError) -> Void) throws(ParquetError) {
    for _ in 0..<(try listHead().count) { try element(&self) }
  }

  private mutating func listHead() throws(ParquetError) -> (count: Int, kind: Kind) {
    let head = try byte()
    let count = head >> 4 == 15 ? try varint() : UInt64(head >> 4)
    // Every element has a byte at least.
    guard count <= UInt64(bytes.count - position) else { throw .short }
    return (Int(count), Kind(rawValue: head & 0x0F))
  }

  mutating func skip(_ kind: Kind) throws(ParquetError) { try skip(kind, isElement: false) }

  private mutating func skip(_ kind: Kind, isElement: Bool) throws(ParquetError) {
    depth += 1
    defer { depth -= 1 }
    if depth > Self.depthMax { throw .damaged }
    switch kind.rawValue {
    case 1, 2: if isElement { _ = try byte() }
    case 3: _ = try byte()
    case 4, 5, 6: _ = try varint()
    case 7:
      guard bytes.count - position >= 8 else { throw .short }
      position += 8
    case 8: _ = try binary()
    case 9, 10:
      let (count, kind) = try listHead()
      for _ in 0..<count { try skip(kind, isElement: true) }
    case 11:
      let count = try varint()
      if count == 0 { return }
      guard count <= UInt64(bytes.count - position) else { throw .short }
      let kinds = try byte()
      for _ in 0..<count {
        try skip(Kind(rawValue: kinds >> 4), isElement: true)
        try skip(Kind(rawValue: kinds & 15), isElement: true)
      }
    case 12: try structure { (reader, _, kind) throws(ParquetError) in try reader.skip(kind) }
    default: throw .damaged
    }
  }
}
