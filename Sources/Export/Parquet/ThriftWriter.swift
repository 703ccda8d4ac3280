/// Writes Thrift's compact protocol, as much of it as Parquet's metadata has.
struct ThriftWriter {
  enum Kind: UInt8 { case i32 = 5, i64 = 6, binary = 8, list = 9, structure = 12 }

  private(set) var bytes: [UInt8] = []
  /// The number of the last field, for each structure that is open.
  private var lastFields: [Int16] = [0]

  private mutating func field(_ number: Int16, _ kind: UInt8) {
    let delta = number - lastFields[lastFields.count - 1]
    if (1...15).contains(delta) {
      bytes.append(UInt8(delta) << 4 | kind)
    } else {
      bytes.append(kind)
      varint(ParquetBits.zigzag(Int64(number)))
    }
    lastFields[lastFields.count - 1] = number
  }

  private mutating func varint(_ value: UInt64) { ParquetBits.appendVarint(value, to: &bytes) }

  mutating func i32(_ number: Int16, _ value: Int) {
    field(number, Kind.i32.rawValue)
    varint(ParquetBits.zigzag(Int64(value)))
  }

  mutating func i64(_ number: Int16, _ value: Int64) {
    field(number, Kind.i64.rawValue)
    varint(ParquetBits.zigzag(value))
  }

  mutating func bool(_ number: Int16, _ value: Bool) { field(number, value ? 1 : 2) }

  mutating func binary(_ number: Int16, _ value: some Collection<UInt8>) {
    field(number, Kind.binary.rawValue)
    binary(value)
  }

  mutating func string(_ number: Int16, _ value: String) { binary(number, value.utf8) }

  mutating func structure(_ number: Int16, _ body: (inout ThriftWriter) -> Void) {
    field(number, Kind.structure.rawValue)
    element(body)
  }

  mutating func list(_ number: Int16, _ kind: Kind, count: Int) {
    field(number, Kind.list.rawValue)
    if count < 15 {
      bytes.append(UInt8(count) << 4 | kind.rawValue)
    } else {
      bytes.append(0xF0 | kind.rawValue)
      varint(UInt64(count))
    }
  }

  // Elements of lists, and a message as a whole.

  mutating func element(_ body: (inout ThriftWriter) -> Void) {
    lastFields.append(0)
    body(&self)
    lastFields.removeLast()
    bytes.append(0)
  }

  mutating func element(_ value: Int) { varint(ParquetBits.zigzag(Int64(value))) }
  mutating func element(_ value: String) { binary(value.utf8) }
  /// A structure that was written already.
  mutating func element(encoded: [UInt8]) { bytes.append(contentsOf: encoded) }

  private mutating func binary(_ value: some Collection<UInt8>) {
    varint(UInt64(value.count))
    bytes.append(contentsOf: value)
  }
}
