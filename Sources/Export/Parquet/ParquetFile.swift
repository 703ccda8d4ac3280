internal import Model

/// The bytes of a Parquet file as they come about: row groups, and what the footer will say of them.
final class ParquetFile: @unchecked Sendable {
  // Safe because: `ParquetWriter` lets one thread at a time have it, and waits for the one before.

  /// The values of a row group.
  struct Group: Sendable {
    var columns: [ParquetColumn]
    let rows: Int
  }

  private let sink: ([UInt8]) throws(ExportError) -> Void
  private let compressor = ZstdCompressor()
  /// The structures RowGroup of the groups written, and what they sum up to.
  private var groups: [[UInt8]] = []
  private var rows: Int64 = 0
  private var position: Int64 = 0
  /// Why it cannot be gone on with.
  private(set) var failure: ExportError?

  init(_ sink: @escaping ([UInt8]) throws(ExportError) -> Void) { self.sink = sink }

  func put(_ bytes: [UInt8]) throws(ExportError) {
    position += Int64(bytes.count)
    try sink(bytes)
  }

  /// Writes a group; `failure` says how that ended.
  func write(_ group: consuming Group) {
    do throws(ExportError) { try append(group) } catch { failure = error }
  }

  private func append(_ group: consuming Group) throws(ExportError) {
    let start = position
    var thrift = ThriftWriter()
    thrift.list(1, .structure, count: group.columns.count)
    var uncompressed = 0
    var compressed = 0
    for index in group.columns.indices {
      let at = position
      let chunk = try ParquetChunk(group.columns[index], compressor) { [self] (bytes) throws(ExportError) in try put(bytes) }
      thrift.element { chunk.describe(at: at, to: &$0) }
      uncompressed += chunk.uncompressedBytes
      compressed += chunk.compressedBytes
      // Its memory is free for the next.
      group.columns[index] = ParquetColumn(group.columns[index].leaf)
    }
    thrift.i64(2, Int64(uncompressed))
    thrift.i64(3, Int64(group.rows))
    thrift.i64(5, start)
    thrift.i64(6, Int64(compressed))
    groups.append(thrift.bytes + [0])
    rows += Int64(group.rows)
  }

  func finish(_ schema: ExportSchema) throws(ExportError) {
    var footer = ThriftWriter()
    footer.i32(1, 2)
    ParquetSchema.write(schema, to: &footer)
    footer.i64(3, rows)
    footer.list(4, .structure, count: groups.count)
    for group in groups { footer.element(encoded: group) }
    footer.string(6, "quire version \(programVersion)")
    let leaves = ParquetSchema.leaves(schema).count
    footer.list(7, .structure, count: leaves)
    // Columns are ordered as their types are.
    for _ in 0..<leaves { footer.element { $0.structure(1) { _ in } } }
    var bytes = footer.bytes + [0]
    bytes.appendLittleEndian(UInt32(bytes.count))
    bytes.append(contentsOf: ParquetWriter.magic)
    try put(bytes)
  }

  /// What `resume` needs beside the bytes themselves.
  var state: [UInt8] {
    var state: [UInt8] = []
    state.appendLittleEndian(rows)
    for group in groups {
      state.appendLittleEndian(UInt32(group.count))
      state.append(contentsOf: group)
    }
    return state
  }

  /// Goes on behind `bytes`; false if the state is none.
  func resume(_ state: [UInt8], bytes: Int64) -> Bool {
    position = bytes
    return state.withUnsafeBytes { state in
      guard state.count >= 8 else { return false }
      rows = Int64(littleEndian: state.loadUnaligned(as: Int64.self))
      var at = 8
      while state.count - at >= 4 {
        let count = Int(UInt32(littleEndian: state.loadUnaligned(fromByteOffset: at, as: UInt32.self)))
        guard state.count - at - 4 >= count else { return false }
        groups.append(Array(state[at + 4..<at + 4 + count]))
        at += 4 + count
      }
      return at == state.count
    }
  }
}
