internal import Export
internal import Model

/// Files and frames of records from anybody.
enum ExportFuzzing {
  /// Small, so that a few bytes that claim much show at once.
  private static let pageBytesMax = 8 << 20
  /// A row group may say that it has any number of rows, all of them null.
  private static let recordsMax = 20_000

  static func parquet(_ bytes: [UInt8]) {
    guard let reader = try? ParquetReader(bytes: bytes, pageBytesMax: pageBytesMax) else { return }
    _ = records(reader)
  }

  private static func records(_ reader: any RecordReader) -> [ImportedRecord]? {
    var records: [ImportedRecord] = []
    do throws(ImportError) {
      while records.count < recordsMax, let record = try reader.next() { records.append(record) }
    } catch { return nil }
    return records
  }

  /// What is read, written and read again is the same.
  static func lines(_ reader: any RecordReader, as format: ExportFormat, again: ([UInt8]) -> any RecordReader) {
    guard let first = records(reader) else { return }
    var written: [UInt8] = []
    let writer = format.makeWriter(.all) { (chunk) throws(ExportError) in written += chunk }
    for (offset, record) in first.enumerated() {
      let part = ExportPart(topic: "t", partition: record.partition ?? 0, offsets: 0..<Int64.max)
      guard (try? write(record, Int64(offset), part, writer)) != nil else { return }
    }
    guard (try? writer.finish()) != nil else { return }
    let second = records(again(written))
    let expected = first.map { record in
      var record = record
      record.partition = record.partition ?? 0
      record.timestamp = record.timestamp ?? -1
      return record
    }
    precondition(second == expected, "records that were written are not those that are read")
  }

  private static func write(
    _ record: ImportedRecord, _ offset: Int64, _ part: ExportPart, _ writer: any RecordWriter
  ) throws(ExportError) {
    var headers: [UInt8] = []
    for header in record.headers { EncodedHeaders.append(header, to: &headers) }
    func withBytes(
      _ bytes: [UInt8]?, _ body: (UnsafeRawBufferPointer?) throws(ExportError) -> Void
    ) throws(ExportError) {
      guard let bytes else { return try body(nil) }
      try bytes.withUnsafeBufferPointer { (bytes) throws(ExportError) in try body(UnsafeRawBufferPointer(bytes)) }
    }
    try withBytes(record.key) { (key) throws(ExportError) in
      try withBytes(record.value) { (value) throws(ExportError) in
        try withBytes(headers) { (headers) throws(ExportError) in
          guard let headers, let encoded = EncodedHeaders(checking: headers, count: record.headers.count) else {
            preconditionFailure("headers that were encoded are headers")
          }
          try writer.write(
            ExportRecord(
              part: part, offset: offset, timestamp: record.timestamp ?? -1, timestampType: .createTime, key: key, value: value,
              headers: encoded))
        }
      }
    }
  }

  static func frames(_ bytes: UnsafeRawBufferPointer) {
    let reader = RecordFrameReader(ExportStream(ExportFormat.jsonl.makeWriter(.all) { (_) throws(ExportError) in }))
    var at = 0
    while at < bytes.count {
      let end = min(bytes.count, at + 37)
      guard (try? reader.append(UnsafeRawBufferPointer(rebasing: bytes[at..<end]))) != nil else { return }
      at = end
    }
  }
}
