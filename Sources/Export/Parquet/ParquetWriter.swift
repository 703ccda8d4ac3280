internal import Dispatch
internal import Model
internal import Query

/// Records as a Parquet file; see `ParquetSchema`.
///
/// Row groups are bounded in bytes: in memory are the values of one group, and a page of it as it is written; twice that where groups are
/// written beside the collecting of the next, on a thread of their own. Keys, topics and whatever else repeats go through dictionaries;
/// offsets and timestamps are differences; every page is compressed with zstd. Each group has the bounds of its columns, so that readers
/// pass over groups that cannot match.
final class ParquetWriter: RecordWriter {
  static let magic = Array("PAR1".utf8)
  /// Bytes of records of a row group, about: some 150,000 records of 200 bytes.
  static let groupBytes = 32 << 20
  /// Rows of a group; four-byte counts are far away.
  static let groupRows = 1 << 20

  private let file: ParquetFile
  private let schema: ExportSchema
  private var columns: ExportColumns { schema.fixed }
  /// Leaves of columns that every topic has.
  private let fixedCount: Int
  private var leaves: [ParquetColumn]
  private let queue: DispatchQueue?
  private let isFree = DispatchSemaphore(value: 0)
  private var isWriting = false
  private var hasBegun = false
  private var rows = 0
  private var rowBytes = 0
  private var topic: [UInt8] = []
  private var part: ExportPart?

  /// - Parameter isParallel: groups are written on a thread of their own, which also calls `sink`.
  init(_ schema: ExportSchema, isParallel: Bool, _ sink: @escaping ([UInt8]) throws(ExportError) -> Void) {
    self.schema = schema
    file = ParquetFile(sink)
    leaves = ParquetSchema.leaves(schema).map { ParquetColumn($0) }
    fixedCount = leaves.count - schema.fields.count
    queue = isParallel ? DispatchQueue(label: "parquet") : nil
  }

  deinit { if isWriting { isFree.wait() } }

  /// Waits for the group that is being written.
  private func settle() throws(ExportError) {
    if isWriting { isFree.wait() }
    isWriting = false
    if let failure = file.failure { throw failure }
  }

  private func begin() throws(ExportError) {
    if hasBegun { return }
    hasBegun = true
    try file.put(Self.magic)
  }

  func write(_ record: ExportRecord) throws(ExportError) {
    if part !== record.part {
      part = record.part
      topic = Array(record.part.topic.utf8)
    }
    let keyIsText = columns.contains(.key) && record.key.map(TextBytes.isUTF8) == true
    let valueIsText = columns.contains(.value) && record.value.map(TextBytes.isUTF8) == true
    for index in 0..<fixedCount { append(record, keyIsText, valueIsText, to: &leaves[index]) }
    var index = fixedCount
    for value in record.values {
      guard Self.append(value, to: &leaves[index]) else { throw misfit(value, schema.fields[index - fixedCount], record) }
      index += 1
    }
    rows += 1
    rowBytes +=
      (record.key?.count ?? 0) + (record.value?.count ?? 0) + record.headers.bytes.count
      + record.values.bytes.count + topic.count + 64
    if rowBytes >= Self.groupBytes || rows >= Self.groupRows { try writeGroup() }
  }

  private func append(_ record: ExportRecord, _ keyIsText: Bool, _ valueIsText: Bool, to column: inout ParquetColumn) {
    switch column.leaf.role {
    case .topic: topic.withUnsafeBytes { column.append($0) }
    case .partition: column.append(Int64(record.part.partition))
    case .offset: column.append(record.offset)
    case .timestamp: if record.timestamp == -1 { column.appendNull() } else { column.append(record.timestamp) }
    case .key: Self.append(keyIsText ? record.key : nil, to: &column)
    case .value: Self.append(valueIsText ? record.value : nil, to: &column)
    case .keyBytes: Self.append(keyIsText ? nil : record.key, to: &column)
    case .valueBytes: Self.append(valueIsText ? nil : record.value, to: &column)
    case .headerKey, .headerValue: Self.append(record.headers, to: &column)
    case .field: break
    }
  }

  private static func append(_ bytes: UnsafeRawBufferPointer?, to column: inout ParquetColumn) {
    if let bytes { column.append(bytes) } else { column.appendNull() }
  }

  /// - Returns: false where the value is not of the column's type; as for clients of a wire with types, it is that exactly or not at all.
  private static func append(_ value: ColumnValue, to column: inout ParquetColumn) -> Bool {
    switch (column.leaf.declaredType, value) {
    case (_, .null): column.appendNull()
    case (.text, .text(let bytes)), (.json, .text(let bytes)):
      guard TextBytes.isUTF8(bytes) else { return false }
      column.append(bytes)
    case (.integer, .integer(let number)): column.append(number)
    case (.boolean, .integer(let number)) where number == 0 || number == 1: column.append(number)
    case (.real, .real(let number)), (.numeric, .real(let number)):
      column.append(Int64(bitPattern: number.bitPattern))
    case (.real, .integer(let number)), (.numeric, .integer(let number)):
      guard let exact = Double(exactly: number) else { return false }
      column.append(Int64(bitPattern: exact.bitPattern))
    case (.blob, .blob(let bytes)), (.blob, .text(let bytes)): column.append(bytes)
    case (.timestamptz, .text(let bytes)):
      guard TextBytes.isUTF8(bytes), bytes.count < 64, let time = TimeText.parse(String(decoding: bytes, as: UTF8.self)) else {
        return false
      }
      column.append(time)
    default: return false
    }
    return true
  }

  private func misfit(_ value: ColumnValue, _ field: ExportField, _ record: ExportRecord) -> ExportError {
    let found =
      switch value {
      case .null: "NULL"
      case .integer(let number): "the INTEGER \(number)"
      case .real(let number): "the REAL \(number)"
      case .text(let bytes): "the TEXT '\(String(decoding: bytes.prefix(40), as: UTF8.self))'\(bytes.count > 40 ? "…" : "")"
      case .blob(let bytes): "a BLOB of \(bytes.count) bytes"
      }
    return .record(
      "\(record.part.topic)-\(record.part.partition), offset \(record.offset): column \(field.name) is of type "
        + "\(field.type.rawValue), and the value is \(found). A column of a Parquet file has one type: declare it as another, "
        + "say CAST in its expression, or choose other columns")
  }

  private static func append(_ headers: EncodedHeaders, to column: inout ParquetColumn) {
    if headers.isEmpty { return column.appendNull() }
    var repetition: UInt8 = 0
    for header in headers {
      if column.leaf.role == .headerKey {
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
    try settle()
    try begin()
    if rows == 0 { return }
    let group = ParquetFile.Group(columns: leaves, rows: rows)
    leaves = leaves.map { ParquetColumn($0.leaf) }
    rows = 0
    rowBytes = 0
    guard let queue else {
      file.write(group)
      return try settle()
    }
    isWriting = true
    queue.async { [file, isFree] in
      file.write(group)
      isFree.signal()
    }
  }

  var bufferedBytes: Int { rowBytes }

  /// The groups' places and statistics, which the footer will need.
  func checkpoint() throws(ExportError) -> [UInt8] {
    try writeGroup()
    try settle()
    return file.state
  }

  func resume(_ state: [UInt8], bytes: Int64) throws(ExportError) {
    hasBegun = bytes > 0
    guard bytes == 0 || file.resume(state, bytes: bytes) else {
      throw .refused("what the interrupted export noted down is damaged")
    }
  }

  func finish() throws(ExportError) {
    try writeGroup()
    try settle()
    try file.finish(schema)
  }
}
