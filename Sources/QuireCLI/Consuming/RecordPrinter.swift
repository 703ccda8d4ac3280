internal import Export
internal import KafkaClient
internal import Model
internal import NIOCore
internal import Records

/// Prints fetched records and counts them.
final class RecordPrinter {
  private let format: RecordFormat
  private let output: OutputStream
  private let cursor = BatchCursor()
  private var progress = Progress(verb: "consumed", sharesTerminal: true)
  /// How many more records are wanted.
  private(set) var remaining: Int

  init(format: RecordFormat, recordsMax: Int, output: OutputStream) {
    self.format = format
    self.output = output
    remaining = recordsMax
  }

  var isDone: Bool { remaining == 0 }

  /// Prints the records of a partition in `range`.
  ///
  /// - Returns: the offset to go on at: behind the last batch, or behind the last record printed if `remaining` ran out.
  func print(_ fetched: FetchedPartition, from position: Int64, in range: Range<Int64>) throws -> Int64 {
    var next = position
    var rest = fetched.records
    while !isDone, let header = try FetchedBatches.nextHeader(of: rest, in: fetched.partition) {
      let batch = rest.readSlice(length: header.totalBytes)!
      if !header.isControl, header.lastOffset >= range.lowerBound, header.baseOffset < range.upperBound {
        do {
          try batch.withUnsafeReadableBytes { try header.verifyChecksum(of: $0) }
          try cursor.load(batch)
          while !isDone, try cursor.next() {
            let offset = cursor.offset.rawValue
            if offset < range.lowerBound || offset < position { continue }
            if offset >= range.upperBound { break }
            try printRecord(of: fetched.partition)
            next = offset + 1
          }
        } catch let error as RecordsError {
          throw CommandFailure("\(fetched.partition), batch at offset \(header.baseOffset): \(error)")
        }
        if isDone { break }
      }
      next = max(next, header.nextOffset)
    }
    return next
  }

  private func printRecord(of partition: TopicPartition) throws {
    remaining -= 1
    let value = cursor.value
    switch format {
    case .lines:
      if let value { try output.write(value) }
      try output.write("\n")
    case .jsonl:
      try output.build { line in
        RecordJSON.append(
          topic: partition.topic, partition: partition.partition, offset: cursor.offset.rawValue, timestamp: cursor.timestamp,
          timestampType: cursor.header!.timestampType, key: cursor.key, value: value, headers: cursor.headers, to: &line)
      }
    }
    progress.add(records: 1, bytes: (value?.count ?? 0) + (cursor.key?.count ?? 0))
  }

  /// Hands what was printed to whoever reads it.
  func flush() throws {
    try output.flush()
    try output.checkReader()
  }

  /// Takes the progress line away.
  func finish() { progress.clear() }
}

/// The batches of a fetch response, by their headers alone.
enum FetchedBatches {
  /// The header of the first batch; nil if there is none, or only the beginning of one.
  static func nextHeader(of records: ByteBuffer, in partition: TopicPartition) throws -> BatchHeader? {
    guard records.readableBytes >= BatchHeader.byteCount else { return nil }
    do {
      let header = try records.withUnsafeReadableBytes { try BatchHeader($0) }
      return header.totalBytes <= records.readableBytes ? header : nil
    } catch let error as RecordsError {
      throw CommandFailure("\(partition): \(error)")
    }
  }

  /// The offset behind the last whole batch; nil if there is none.
  static func nextOffset(of fetched: FetchedPartition) throws -> Int64? {
    var rest = fetched.records
    var next: Int64?
    while let header = try nextHeader(of: rest, in: fetched.partition) {
      rest.moveReaderIndex(forwardBy: header.totalBytes)
      next = header.nextOffset
    }
    return next
  }
}
