internal import Model
internal import Query

/// Records as a Parquet file; see `ParquetSchema`.
///
/// Row groups are bounded in bytes: in memory are the values of one group, and a page of it as it is written.
/// Keys, topics and whatever else repeats go through dictionaries; offsets and timestamps are differences; every page is compressed
/// with zstd. Each group has the bounds of its columns, so that readers pass over groups that cannot match.
final class ParquetWriter: RecordWriter {
  static let magic = Array("PAR1".utf8)
  /// Bytes of records of a row group, about: some 150,000 records of 200 bytes.
  static let groupBytes = 32 << 20
  /// Rows of a group; four-byte counts are far away.
  static let groupRows = 1 << 20

  private let sink: ([UInt8]) throws(ExportError) -> Void
  private let columns: ExportColumns
  private var leaves: [ParquetColumn]
  private let compressor = ZstdCompressor()
  private var rows = 0
  private var rowBytes = 0
  private var topic: [UInt8] = []
  private var part: ExportPart?
  /// The structures RowGroup of the groups written, and what they sum up to.
  private var groups: [[UInt8]] = []
  private var totalRows: Int64 = 0
  private var position: Int64 = 0

  init(_ columns: ExportColumns, _ sink: @escaping ([UInt8]) throws(ExportError) -> Void) {
    self.columns = columns
    self.sink = sink
    leaves = ParquetSchema.leaves(columns).map { ParquetColumn($0) }
  }

  private func put(_ bytes: [UInt8]) throws(ExportError) {
    position += Int64(bytes.count)
    try sink(bytes)
  }

  func write(_ record: ExportRecord) throws(ExportError) {
    if part !== record.part {
      part = record.part
      topic = Array(record.part.topic.utf8)
    }
    if position == 0 { try put(Self.magic) }
    for index in leaves.indices { append(record, to: &leaves[index]) }
    rows += 1
    rowBytes += (record.key?.count ?? 0) + (record.value?.count ?? 0) + record.headers.bytes.count + topic.count + 64
    if rowBytes >= Self.groupBytes || rows >= Self.groupRows { try writeGroup() }
  }

  private func append(_ record: ExportRecord, to column: inout ParquetColumn) {
    switch column.leaf {
    case .topic: topic.withUnsafeBytes { column.append($0) }
    case .partition: column.append(Int64(record.part.partition))
    case .offset: column.append(record.offset)
    case .timestamp: if record.timestamp == -1 { column.appendNull() } else { column.append(record.timestamp) }
    case .key: Self.append(record.key, asText: true, to: &column)
    case .value: Self.append(record.value, asText: true, to: &column)
    case .keyBytes: Self.append(record.key, asText: false, to: &column)
    case .valueBytes: Self.append(record.value, asText: false, to: &column)
    case .headerKey, .headerValue: Self.append(record.headers, to: &column)
    }
  }

  private static func append(_ bytes: UnsafeRawBufferPointer?, asText: Bool, to column: inout ParquetColumn) {
    if let bytes, TextBytes.isUTF8(bytes) == asText { column.append(bytes) } else { column.appendNull() }
  }

  private static func append(_ headers: EncodedHeaders, to column: inout ParquetColumn) {
    if headers.isEmpty { return column.appendNull() }
    var repetition: UInt8 = 0
    for header in headers {
      if column.leaf == .headerKey {
        // Kafka's names are strings, and readers of Parquet insist on it.
        if TextBytes.isUTF8(header.name) {
          column.append(header.name, repetition: repetition)
        } else {
          var name = String(decoding: header.name, as: UTF8.self)
          name.withUTF8 { column.append(UnsafeRawBufferPointer($0), repetition: repetition) }
        }
      } else if let value = header.value {
        column.append(value, repetition: repetition)
      } else {
        column.appendNull(definition: 1, repetition: repetition)
      }
      repetition = 1
    }
  }

  private func writeGroup() throws(ExportError) {
    if rows == 0 { return }
    let start = position
    var chunks = ThriftWriter()
    chunks.list(1, .structure, count: leaves.count)
    var uncompressed = 0
    var compressed = 0
    for index in leaves.indices {
      let at = position
      let chunk = try ParquetChunk(leaves[index], compressor) { [self] (bytes) throws(ExportError) in try put(bytes) }
      chunks.element { chunk.describe(at: at, to: &$0) }
      uncompressed += chunk.uncompressedBytes
      compressed += chunk.compressedBytes
      leaves[index] = ParquetColumn(leaves[index].leaf)
    }
    chunks.i64(2, Int64(uncompressed))
    chunks.i64(3, Int64(rows))
    chunks.i64(5, start)
    chunks.i64(6, Int64(compressed))
    groups.append(chunks.bytes + [0])
    totalRows += Int64(rows)
    rows = 0
    rowBytes = 0
  }

  var bufferedBytes: Int { rowBytes }

  /// The groups' places and statistics, which the footer will need.
  func checkpoint() throws(ExportError) -> [UInt8] {
    if position == 0 { try put(Self.magic) }
    try writeGroup()
    var state: [UInt8] = []
    state.appendLittleEndian(totalRows)
    for group in groups {
      state.appendLittleEndian(UInt32(group.count))
      state.append(contentsOf: group)
    }
    return state
  }

  func resume(_ state: [UInt8], bytes: Int64) throws(ExportError) {
    position = bytes
    if bytes == 0 { return }
    var at = 8
    state.withUnsafeBytes { state in
      guard state.count >= 8 else { return at = -1 }
      totalRows = Int64(littleEndian: state.loadUnaligned(as: Int64.self))
      while state.count - at >= 4 {
        let count = Int(UInt32(littleEndian: state.loadUnaligned(fromByteOffset: at, as: UInt32.self)))
        guard state.count - at - 4 >= count else { break }
        groups.append(Array(state[at + 4..<at + 4 + count]))
        at += 4 + count
      }
    }
    guard at == state.count else { throw .refused("what the interrupted export noted down is damaged") }
  }

  func finish() throws(ExportError) {
    if position == 0 { try put(Self.magic) }
    try writeGroup()
    var footer = ThriftWriter()
    footer.i32(1, 2)
    ParquetSchema.write(columns, to: &footer)
    footer.i64(3, totalRows)
    footer.list(4, .structure, count: groups.count)
    for group in groups { footer.element(encoded: group) }
    footer.string(6, "quire version \(programVersion)")
    footer.list(7, .structure, count: leaves.count)
    for _ in leaves { footer.element { $0.structure(1) { _ in } } }
    var bytes = footer.bytes + [0]
    bytes.appendLittleEndian(UInt32(bytes.count))
    bytes.append(contentsOf: Self.magic)
    try put(bytes)
  }
}
