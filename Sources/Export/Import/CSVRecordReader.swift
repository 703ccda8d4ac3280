/// Records out of CSV (RFC 4180): LF or CRLF, fields quoted or not, columns in any order by the names of the header line.
///
/// `key_encoding` and `value_encoding` say what those fields are. Without them a field is its own bytes, and one that is empty and not
/// quoted is null. Other columns than a record's are an error, since they would be lost; but in an export, which has `value_encoding`, those
/// behind them are declared ones, which are computed of records and not taken.
public final class CSVRecordReader: RecordReader {
  private enum Column: String {
    case topic, partition, offset, timestamp, timestampType = "timestamp_type", time, key, keyEncoding = "key_encoding", value,
      valueEncoding = "value_encoding", headers
  }

  private struct Field {
    var bytes: [UInt8] = []
    var isQuoted = false
    var text: String { String(decoding: bytes, as: UTF8.self) }
  }

  private let input: LineInput
  private var columns: [Column]?
  public private(set) var leftOut: [String] = []
  private var fields: [Field] = []
  private var fieldCount = 0
  private var line = 0
  /// Where the last record begins.
  private var recordLine = 0
  private static let fieldsMax = 2000
  private let fieldBytesMax = JSONLinesReader.lineBytesMax

  init(_ file: InputFile) { input = LineInput(file) }

  /// Over bytes in memory.
  public init(bytes: [UInt8]) { input = LineInput(bytes: bytes) }

  public var place: String { "line \(recordLine)" }
  public var progress: (done: Int64, all: Int64)? { input.progress }

  private func failure(_ message: String) -> ImportError { ImportError(path: input.path, place: place, message: message) }

  public func next() throws(ImportError) -> ImportedRecord? {
    if columns == nil { columns = try readHead() }
    guard let columns else { return nil }
    repeat {
      guard try readRow() else { return nil }
    } while fieldCount == 1 && fields[0].bytes.isEmpty && columns.count + leftOut.count > 1
    guard fieldCount == columns.count + leftOut.count else {
      throw failure("\(fieldCount) fields, and the header line has \(columns.count + leftOut.count)")
    }
    var record = ImportedRecord()
    var key: (field: Field?, encoding: Field?)
    var value: (field: Field?, encoding: Field?)
    for (column, field) in zip(columns, fields) {
      switch column {
      case .topic, .offset, .timestampType, .time: break
      case .partition: record.partition = try integer(field, column).map { Int32(clamping: $0) }
      case .timestamp: record.timestamp = try integer(field, column)
      case .key: key.field = field
      case .keyEncoding: key.encoding = field
      case .value: value.field = field
      case .valueEncoding: value.encoding = field
      case .headers: record.headers = try headers(field)
      }
    }
    record.key = try bytes(key.field, key.encoding, .key)
    record.value = try bytes(value.field, value.encoding, .value)
    return record
  }

  private func readHead() throws(ImportError) -> [Column]? {
    _ = try hasByte()
    // The byte order mark that some tools put in front of a text file.
    if input.buffer[input.position...].starts(with: [0xEF, 0xBB, 0xBF]) { input.position += 3 }
    guard try readRow() else { return nil }
    var columns: [Column] = []
    for field in fields[..<fieldCount] {
      let name = field.text
      if Column(rawValue: name) == nil, columns.contains(.valueEncoding) {
        leftOut.append(name)
        continue
      }
      guard leftOut.isEmpty, let column = Column(rawValue: name), !columns.contains(column) else {
        throw failure("the header line names the column '\(name.prefix(60))'; known, each once, are those that an export has")
      }
      columns.append(column)
    }
    if !columns.contains(.value) { throw failure("the header line has no column 'value'") }
    return columns
  }

  private func integer(_ field: Field, _ column: Column) throws(ImportError) -> Int64? {
    if field.bytes.isEmpty { return nil }
    guard let value = Int64(field.text) else { throw failure("'\(column.rawValue)' is not a whole number") }
    return value
  }

  private func bytes(_ field: Field?, _ encoding: Field?, _ column: Column) throws(ImportError) -> [UInt8]? {
    guard let field else { return nil }
    guard let encoding else { return field.bytes.isEmpty && !field.isQuoted ? nil : field.bytes }
    switch encoding.text {
    case "utf8": return field.bytes
    case "null" where field.bytes.isEmpty: return nil
    case "base64":
      guard let bytes = Base64.decode(field.text) else { throw failure("'\(column.rawValue)' is not Base64") }
      return bytes
    default:
      throw failure(
        "'\(column.rawValue)_encoding' does not fit its \(column.rawValue): it is utf8, base64, or null and that empty")
    }
  }

  private func headers(_ field: Field) throws(ImportError) -> [ImportedRecord.Header] {
    if field.bytes.isEmpty { return [] }
    let json: JSON
    do throws(JSONReader.Failure) {
      json = try field.bytes.withRawBytes { (bytes) throws(JSONReader.Failure) in try JSONReader.read(bytes) }
    } catch { throw failure("'headers' are not JSON: \(error.reason)") }
    do throws(RecordJSON.Failure) { return try RecordJSON.headers(json) } catch { throw failure(error.reason) }
  }

  // Rows

  /// Reads the fields of the next row into `fields`; false at the end.
  private func readRow() throws(ImportError) -> Bool {
    fieldCount = 0
    guard try hasByte() else { return false }
    line += 1
    recordLine = line
    while true {
      if fieldCount == fields.count { fields.append(Field()) }
      fields[fieldCount].bytes.removeAll(keepingCapacity: true)
      fields[fieldCount].isQuoted = false
      fieldCount += 1
      if fieldCount > Self.fieldsMax { throw failure("more than \(Self.fieldsMax) fields") }
      let isQuoted = try hasByte() && input.buffer[input.position] == 0x22
      if isQuoted { try readQuoted() } else { try readPlain() }
      guard try hasByte() else { return true }
      let byte = input.buffer[input.position]
      input.position += 1
      if byte == 0x2C { continue }
      if byte == 0x0A { return true }
      if byte == 0x0D, try hasByte(), input.buffer[input.position] == 0x0A {
        input.position += 1
        return true
      }
      throw failure("something stands behind the closing quote of field \(fieldCount)")
    }
  }

  private func hasByte() throws(ImportError) -> Bool {
    if input.position < input.buffer.count { return true }
    return try input.more()
  }

  /// Up to the comma or the end of the line.
  private func readPlain() throws(ImportError) {
    while try hasByte() {
      let start = input.position
      let (end, found) = input.buffer.withUnsafeBytes { bytes in
        var at = start
        while at < bytes.count, bytes[at] != 0x2C, bytes[at] != 0x0A { at += 1 }
        return (at, at < bytes.count)
      }
      try append(start..<end)
      input.position = end
      if found { break }
    }
    // A CR in front of the LF belongs to the end of the line.
    if fields[fieldCount - 1].bytes.last == 0x0D, input.position < input.buffer.count, input.buffer[input.position] == 0x0A {
      fields[fieldCount - 1].bytes.removeLast()
    }
  }

  private func readQuoted() throws(ImportError) {
    fields[fieldCount - 1].isQuoted = true
    input.position += 1
    while true {
      guard try hasByte() else { throw failure("the quote of field \(fieldCount) is not closed") }
      let start = input.position
      var feeds = 0
      let (end, found) = input.buffer.withUnsafeBytes { bytes in
        var at = start
        while at < bytes.count, bytes[at] != 0x22 {
          if bytes[at] == 0x0A { feeds += 1 }
          at += 1
        }
        return (at, at < bytes.count)
      }
      line += feeds
      try append(start..<end)
      input.position = end
      guard found else { continue }
      input.position += 1
      guard try hasByte(), input.buffer[input.position] == 0x22 else { return }
      fields[fieldCount - 1].bytes.append(0x22)
      input.position += 1
    }
  }

  private func append(_ range: Range<Int>) throws(ImportError) {
    fields[fieldCount - 1].bytes.append(contentsOf: input.buffer[range])
    if fields[fieldCount - 1].bytes.count > fieldBytesMax { throw failure("a field is longer than \(fieldBytesMax) bytes") }
  }
}
