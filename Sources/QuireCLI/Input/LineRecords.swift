internal import Export
internal import Glibc
internal import NIOCore
internal import Records

/// What a line of input says as a record.
struct LineRecords: Sendable {
  /// A record whose bytes are borrowed from the line or its decoded form.
  struct BorrowedRecord {
    var key: UnsafeRawBufferPointer?
    var value: UnsafeRawBufferPointer?
    var headers: [RecordHeader] = []
    var timestamp: Int64?
    var partition: Int32?
  }

  let format: RecordFormat
  let keySeparator: [UInt8]?

  /// - Throws: `RecordJSON.Failure` if the line is no record, or what `body` throws.
  func withRecord<R>(of line: UnsafeRawBufferPointer, _ body: (BorrowedRecord) throws -> R) throws -> R {
    guard format == .jsonl else {
      guard let keySeparator, let at = Self.find(keySeparator, in: line) else {
        return try body(BorrowedRecord(key: nil, value: line))
      }
      return try body(
        BorrowedRecord(
          key: UnsafeRawBufferPointer(rebasing: line[..<at]),
          value: UnsafeRawBufferPointer(rebasing: line[(at + keySeparator.count)...])))
    }
    let record = try RecordJSON.read(line)
    let headers = record.headers.map { RecordHeader(key: $0.name, value: $0.value.map { ByteBuffer(bytes: $0) }) }
    return try Self.withBytes(record.key) { key in
      try Self.withBytes(record.value) { value in
        try body(
          BorrowedRecord(
            key: key, value: value, headers: headers, timestamp: record.timestamp, partition: record.partition))
      }
    }
  }

  private static func withBytes<R>(_ bytes: [UInt8]?, _ body: (UnsafeRawBufferPointer?) throws -> R) throws -> R {
    guard let bytes else { return try body(nil) }
    return try bytes.withUnsafeBytes { try body($0) }
  }

  private static func find(_ separator: [UInt8], in line: UnsafeRawBufferPointer) -> Int? {
    guard let start = line.baseAddress else { return nil }
    var from = 0
    while line.count - from >= separator.count {
      guard let found = memchr(start + from, CInt(separator[0]), line.count - from - separator.count + 1) else { return nil }
      let at = start.distance(to: UnsafeRawPointer(found))
      if memcmp(found, separator, separator.count) == 0 { return at }
      from = at + 1
    }
    return nil
  }
}
