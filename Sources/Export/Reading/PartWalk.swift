internal import Model
internal import Query
internal import Records

/// Walks records of one part, as often as it is asked to. Used by one thread at a time.
final class PartWalk {
  private let export: HistoryExport
  private let index: Int
  private let part: ExportPart
  private let control: ScanControl
  private var headers: [UInt8] = []
  private var values: [UInt8] = []
  private var scan: RecordScan?
  /// The part's declared columns, as far as they are exported, made when they are first needed.
  private var columns: RecordColumns?
  /// For each field of the schema which of `columns` it is; nil where the topic has none such.
  private let places: [Int?]
  private let definitions: [DeclaredColumn]

  /// Where records go: to the sink, or into a buffer until that is full.
  private enum Target {
    case sink(any RecordSink)
    case buffer(bytesMax: Int)
  }
  private var target = Target.buffer(bytesMax: 0)
  private var buffer: RecordBuffer
  /// The first record that the buffer had no room for.
  private var firstLeftOut: Int64?

  /// - Parameter number: of the part in the export.
  init(_ export: HistoryExport, _ number: Int, control: ScanControl) {
    self.export = export
    index = export.work[number].index
    let part = export.parts[number]
    self.part = part
    self.control = control
    buffer = RecordBuffer(part: part, fieldCount: export.schema.fields.count)
    let declared = export.declared[part.topic] ?? []
    var definitions: [DeclaredColumn] = []
    places = export.schema.fields.map { field in
      guard field.expressions[part.topic] != nil,
        let column = declared.first(where: { $0.name.lowercased() == field.name.lowercased() })
      else { return nil }
      definitions.append(column)
      return definitions.count - 1
    }
    self.definitions = definitions
  }

  /// Hands every record of `selection` to `sink`.
  func run(_ selection: BatchSelection, into sink: any RecordSink) throws(ExportError) {
    target = .sink(sink)
    try run(selection)
  }

  /// Collects the records of `selection`.
  ///
  /// - Parameter bytesMax: about so many bytes are collected.
  /// - Returns: them, and the offset of the first that is left out; nil if none is.
  func collect(_ selection: BatchSelection, bytesMax: Int) throws(ExportError) -> (RecordBuffer, rest: Int64?) {
    target = .buffer(bytesMax: bytesMax)
    firstLeftOut = nil
    defer { buffer = RecordBuffer(part: part, fieldCount: export.schema.fields.count) }
    try run(selection)
    return (buffer, firstLeftOut)
  }

  private func run(_ selection: BatchSelection) throws(ExportError) {
    if let condition = export.condition { return try run(selection, where: condition) }
    let scan: RecordScan
    if let known = self.scan {
      known.restart(selection)
      scan = known
    } else {
      scan = RecordScan(export.source, partition: index, selection: selection, control: control, staysOpen: true)
      self.scan = scan
    }
    while try Self.next(scan) { if try !hand(scan) { return } }
  }

  /// - Returns: false where there is no room.
  private func hand(_ scan: RecordScan) throws(ExportError) -> Bool {
    if case .buffer(let bytesMax) = target, buffer.bytes.count >= bytesMax {
      firstLeftOut = scan.offset
      return false
    }
    headers.removeAll(keepingCapacity: true)
    let raw = scan.headers
    if !raw.isEmpty { EncodedHeaders.encode(raw, to: &headers) }
    if !places.isEmpty { try compute(scan) }
    try headers.withRawBytes { (headers) throws(ExportError) in
      try values.withRawBytes { (values) throws(ExportError) in
        let record = ExportRecord(
          part: part, offset: scan.offset, timestamp: scan.timestamp, timestampType: scan.timestampType, key: scan.key,
          value: scan.value, headers: EncodedHeaders(unchecked: headers, count: raw.count),
          values: EncodedValues(unchecked: values, count: places.count))
        switch target {
        case .sink(let sink): try sink.take(record)
        case .buffer: buffer.append(record)
        }
      }
    }
    return true
  }

  private func compute(_ scan: RecordScan) throws(ExportError) {
    values.removeAll(keepingCapacity: true)
    do throws(HistoryError) {
      let columns = try computing()
      for place in places {
        guard let place else {
          EncodedValues.append(.null, to: &values)
          continue
        }
        try columns.withValue(place, of: scan, partition: part.partition) { EncodedValues.append($0, to: &values) }
      }
    } catch { throw ExportError(error) }
  }

  private func computing() throws(HistoryError) -> RecordColumns {
    if let columns { return columns }
    let made = try RecordColumns(definitions, of: part.topic, control: control)
    columns = made
    return made
  }

  private static func next(_ scan: RecordScan) throws(ExportError) -> Bool {
    do throws(HistoryError) { return try scan.next() } catch { throw ExportError(error) }
  }

  // With a condition SQL says which offsets are wanted, and a scan beside it fetches their records: so they are written as all others,
  // timestamp types and headers included, whatever SQL makes of them.

  /// Offsets after which the scan beside begins anew instead of walking there.
  private static let walkedOffsetsMax: Int64 = 10_000

  /// There is no room for more: no error of anybody.
  private struct Full: Error {}

  private func run(_ selection: BatchSelection, where condition: String) throws(ExportError) {
    let limits = SQLLimits(time: nil, outputBytes: nil)
    var beside: RecordScan?
    let writer = OffsetWriter { [self] (offset) throws in
      if try !fetch(offset, of: selection, &beside) { throw Full() }
    }
    do throws(QueryError) {
      let session = try SQLSession(
        source: OneTopic(export.source, part.topic), columns: export.declared, limits: limits, control: control)
      _ = try session.run(statement(condition, selection), parameters: [:], into: writer)
    } catch {
      if error.cause is Full { return }
      if let cause = error.cause as? ExportError { throw cause }
      switch error.kind {
      case .cancelled: throw .cancelled
      default: throw .condition(error.message)
      }
    }
  }

  private func statement(_ condition: String, _ selection: BatchSelection) -> String {
    // Bounds that exclude nothing would make an index look dearer than it is.
    let extent = export.source.partitions[index]
    var bounds = ""
    if selection.offsets.lowerBound > extent.logStartOffset { bounds += " AND \"offset\" >= \(selection.offsets.lowerBound)" }
    if selection.offsets.upperBound < extent.highWatermark - 1 {
      bounds += " AND \"offset\" <= \(selection.offsets.upperBound)"
    }
    if selection.timestamps.lowerBound > .min { bounds += " AND \"timestamp\" >= \(selection.timestamps.lowerBound)" }
    if selection.timestamps.upperBound < .max { bounds += " AND \"timestamp\" <= \(selection.timestamps.upperBound)" }
    // The line break ends a comment that the condition may end with.
    return """
      SELECT "offset" FROM "\(part.topic)" WHERE "partition" = \(part.partition)\(bounds) AND (\(condition)
      ) ORDER BY "offset"
      """
  }

  /// Fetches the record that SQL has named.
  ///
  /// - Returns: false where there is no room for it.
  private func fetch(
    _ offset: Int64, of selection: BatchSelection, _ beside: inout RecordScan?
  ) throws(ExportError) -> Bool {
    var rest = selection
    rest.offsets = offset...max(offset, selection.offsets.upperBound)
    let scan: RecordScan
    if let known = beside {
      if offset <= known.offset { return true }
      if offset - known.offset > Self.walkedOffsetsMax { known.restart(rest) }
      scan = known
    } else {
      scan = RecordScan(export.source, partition: index, selection: rest, control: control, staysOpen: true)
      beside = scan
    }
    while try Self.next(scan) {
      if scan.offset == offset { return try hand(scan) }
      if scan.offset > offset { return true }
    }
    return true
  }
}

/// One topic of a source: what a condition may speak of.
private struct OneTopic: HistorySource {
  let partitions: [PartitionExtent]
  private let source: any HistorySource
  private let positions: [Int]

  init(_ source: any HistorySource, _ topic: String) {
    self.source = source
    positions = source.partitions.indices.filter { source.partitions[$0].topic == topic }
    partitions = positions.map { source.partitions[$0] }
  }

  func openBatches(of index: Int) throws(HistoryError) -> any BatchSequence { try source.openBatches(of: positions[index]) }
  func openIndexes(of index: Int) -> (any PartitionIndexes)? { source.openIndexes(of: positions[index]) }
}

/// Takes the offsets that a statement answers with.
private final class OffsetWriter: RowWriter {
  let output = OutputBuffer { _ in }
  private let body: (Int64) throws -> Void

  init(_ body: @escaping (Int64) throws -> Void) { self.body = body }

  func begin(columns: [String]) {}
  func write(_ row: borrowing ResultRow) throws {
    do { try body(row.integer(0)) } catch { throw QueryError(.output, "\(error)", cause: error) }
  }
  func end() {}
}
