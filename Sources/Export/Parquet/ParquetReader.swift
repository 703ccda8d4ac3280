/// Records out of a Parquet file of the schema in `ParquetSchema`: our own files, and those of other writers with plain or dictionary
/// pages of either version, uncompressed or in snappy, gzip or zstd.
///
/// Columns may be in any order, required or optional, and all but the value may be missing. Other columns are an error, since they would be
/// lost; but in an export, which has `value_bytes`, those behind them are declared ones, which are computed of records and not taken. A page
/// of each column is in memory.
public final class ParquetReader: RecordReader {
  private enum Role { case partition, timestamp, key, value, keyBytes, valueBytes, headerName, headerValue }

  private let path: String
  private let source: ParquetColumnReader.Source
  private let footer: ParquetFooter
  private let decompressor = PageDecompressor()
  private let pageBytesMax: Int
  private let roles: [(role: Role, leaf: ParquetFooter.Leaf)]
  public let leftOut: [String]
  private var group = 0
  private var groupRemaining: Int64 = 0
  private var columns: [(role: Role, reader: ParquetColumnReader)] = []
  private var row: Int64 = 0

  public var place: String { "row \(row)" }
  public var progress: (done: Int64, all: Int64)? { (row, footer.groups.reduce(0) { $0 &+ $1.rows }) }

  convenience init(path: String) throws(ImportError) {
    let file = try InputFile(path)
    guard let size = file.size else {
      throw ImportError(path: path, message: "Parquet is read from its end: name a file, not a pipe")
    }
    let source = ParquetColumnReader.Source(size: size) { (at, count) throws(ParquetError) in
      do throws(ImportError) { return try file.bytes(at: at, count: count) } catch { throw ParquetError(error.message) }
    }
    try self.init(path, source, pageBytesMax: ParquetColumnReader.pageBytesMax)
  }

  /// Over bytes in memory.
  public convenience init(bytes: [UInt8], pageBytesMax: Int) throws(ImportError) {
    let source = ParquetColumnReader.Source(size: Int64(bytes.count)) { (at, count) throws(ParquetError) in
      guard at >= 0, count >= 0, Int64(bytes.count) - at >= Int64(count) else { throw .short }
      return Array(bytes[Int(at)..<Int(at) + count])
    }
    try self.init("bytes", source, pageBytesMax: pageBytesMax)
  }

  private init(_ path: String, _ source: ParquetColumnReader.Source, pageBytesMax: Int) throws(ImportError) {
    self.path = path
    self.source = source
    self.pageBytesMax = pageBytesMax
    do throws(ParquetError) {
      footer = try Self.readFooter(source)
      (roles, leftOut) = try Self.roles(footer.leaves)
    } catch { throw ImportError(path: path, message: error.message) }
  }

  private static func readFooter(_ source: ParquetColumnReader.Source) throws(ParquetError) -> ParquetFooter {
    let notParquet = ParquetError("it is no Parquet file, or not a whole one")
    guard source.size >= 12 else { throw notParquet }
    let tail = try source.read(source.size - 8, 8)
    guard tail[4...].elementsEqual(ParquetWriter.magic) else { throw notParquet }
    let count = tail[..<4].reversed().reduce(0) { Int64($0) << 8 | Int64($1) }
    guard count <= source.size - 12, count <= 256 << 20 else { throw notParquet }
    let bytes = try source.read(source.size - 8 - count, Int(count))
    return try bytes.withRawBytes { (bytes) throws(ParquetError) in try ParquetFooter(bytes) }
  }

  private static func roles(
    _ leaves: [ParquetFooter.Leaf]
  ) throws(ParquetError) -> ([(role: Role, leaf: ParquetFooter.Leaf)], leftOut: [String]) {
    let isExport = leaves.contains { $0.path == ["value_bytes"] }
    var leftOut: [String] = []
    let integers = [ParquetType.int32, ParquetType.int64]
    var roles: [(role: Role, leaf: ParquetFooter.Leaf)] = []
    for leaf in leaves {
      let name = leaf.path.joined(separator: ".")
      let isBytes = leaf.type == ParquetType.byteArray
      let role: Role
      switch (leaf.path[0], leaf.path.count) {
      case ("topic", 1), ("offset", 1), ("time", 1), ("date", 1), ("hour", 1), ("month", 1): continue
      case ("partition", 1): role = .partition
      case ("timestamp", 1): role = .timestamp
      case ("key", 1): role = .key
      case ("value", 1): role = .value
      case ("key_bytes", 1): role = .keyBytes
      case ("value_bytes", 1): role = .valueBytes
      case ("headers", 3...) where leaf.path.last == "key" && leaf.repetitionMax == 1: role = .headerName
      case ("headers", 3...) where leaf.path.last == "value" && leaf.repetitionMax == 1: role = .headerValue
      default:
        guard isExport else { throw ParquetError("it has a column '\(name)', which is none of a record's") }
        if leftOut.last != leaf.path[0] { leftOut.append(leaf.path[0]) }
        continue
      }
      if let strange = leftOut.first { throw ParquetError("it has a column '\(strange)', which is none of a record's") }
      let wantsInteger = role == .partition || role == .timestamp
      guard wantsInteger ? integers.contains(leaf.type) : isBytes else {
        throw ParquetError("the column '\(name)' has a type (\(leaf.type)) that it cannot have here")
      }
      if roles.contains(where: { $0.role == role }) { throw ParquetError("it has two columns '\(name)'") }
      roles.append((role, leaf))
    }
    guard roles.contains(where: { $0.role == .value || $0.role == .valueBytes }) else {
      throw ParquetError("it has no column 'value'")
    }
    let headers = roles.count { $0.role == .headerName || $0.role == .headerValue }
    if headers == 1 { throw ParquetError("its headers have no keys, or no values") }
    return (roles, leftOut)
  }

  public func next() throws(ImportError) -> ImportedRecord? {
    do throws(ParquetError) {
      while groupRemaining == 0 {
        guard group < footer.groups.count else { return nil }
        try beginGroup()
      }
      groupRemaining -= 1
      row += 1
      return try readRow()
    } catch { throw ImportError(path: path, place: row == 0 ? "" : place, message: error.message) }
  }

  private func beginGroup() throws(ParquetError) {
    let next = footer.groups[group]
    group += 1
    guard next.rows >= 0 else { throw .damaged }
    columns = []
    for (role, leaf) in roles {
      guard let chunk = next.chunks.first(where: { $0.path == leaf.path }) else {
        throw ParquetError("a row group has no column '\(leaf.path.joined(separator: "."))'")
      }
      columns.append((role, try ParquetColumnReader(leaf, chunk, source, decompressor, pageBytesMax: pageBytesMax)))
    }
    groupRemaining = next.rows
  }

  private func readRow() throws(ParquetError) -> ImportedRecord {
    var record = ImportedRecord()
    var names: [String?] = []
    var values: [[UInt8]?] = []
    for (role, column) in columns {
      switch role {
      case .headerName: names = try readList(column) { column in String(decoding: column.bytes, as: UTF8.self) }
      case .headerValue: values = try readList(column) { column in column.bytes }
      default:
        guard try column.next().isValue else {
          if role == .timestamp { record.timestamp = -1 }
          continue
        }
        switch role {
        case .partition: record.partition = Int32(clamping: column.integer)
        case .timestamp: record.timestamp = Self.milliseconds(column.integer, column.leaf.unitsPerMillisecond)
        case .key, .keyBytes: record.key = column.bytes
        default: record.value = column.bytes
        }
      }
    }
    guard names.count == values.count else { throw ParquetError("a row has more header keys than values, or fewer") }
    for (name, value) in zip(names, values) {
      guard let name else { throw ParquetError("a header has no key") }
      record.headers.append(ImportedRecord.Header(name: name, value: value))
    }
    return record
  }

  /// Rounded down, as the millisecond in which it was.
  private static func milliseconds(_ value: Int64, _ units: Int64) -> Int64 {
    let (quotient, remainder) = value.quotientAndRemainder(dividingBy: units)
    return remainder < 0 ? quotient - 1 : quotient
  }

  private func readList<Element>(
    _ column: ParquetColumnReader, _ element: (ParquetColumnReader) -> Element
  ) throws(ParquetError) -> [Element?] {
    var list: [Element?] = []
    guard try column.nextRepetition() == 0 else { throw ParquetError("a row of the headers does not begin") }
    repeat {
      let entry = try column.next()
      // Less than an element: the list is empty or null.
      if entry.definition >= column.leaf.elementDefinition { list.append(entry.isValue ? element(column) : nil) }
    } while try column.nextRepetition() ?? 0 > 0
    return list
  }
}
