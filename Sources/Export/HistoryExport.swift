public import Query
internal import Records

/// Offsets of one partition, as a request names them.
public struct PartitionSlice: Sendable, Hashable {
  public var topic: String
  public var partition: Int32
  public var offsets: Range<Int64>

  public init(topic: String, partition: Int32, offsets: Range<Int64>) {
    self.topic = topic
    self.partition = partition
    self.offsets = offsets
  }
}

/// Which records are exported.
public struct ExportSelection: Sendable {
  /// Each once; nil is all, by name.
  public var topics: [String]?
  public var range: HistoryRange
  /// What of single partitions is wanted; those that are not named here are whole.
  public var slices: [PartitionSlice]
  /// An SQL expression over the columns of a topic; nil is every record.
  public var condition: String?

  public init(topics: [String]?, range: HistoryRange = .all, slices: [PartitionSlice] = [], condition: String? = nil) {
    self.topics = topics
    self.range = range
    self.slices = slices
    self.condition = condition
  }
}

/// The records of a range of topics, handed to a sink.
///
/// Complete and repeatable: topic after topic in the order given, partition after partition, by offset. The same range of the same
/// history gives the same records in the same order.
public struct HistoryExport {
  private let source: any HistorySource
  private let condition: String?
  private var work: [(index: Int, selection: BatchSelection?)] = []
  /// In the order of output.
  public private(set) var parts: [ExportPart] = []

  /// - Throws: `.unknownTopic`.
  public init(source: any HistorySource, selection: ExportSelection) throws(ExportError) {
    self.source = source
    condition = selection.condition
    let slices = Dictionary(selection.slices.map { (Place($0.topic, $0.partition), $0.offsets) }) { a, _ in a }
    for index in try Self.partitions(of: source, selection.topics) {
      let extent = source.partitions[index]
      var chosen = selection.range.selection(in: extent)
      if let slice = slices[Place(extent.topic, extent.partition)] { chosen = chosen.flatMap { Self.narrow($0, to: slice) } }
      let offsets = chosen.map { $0.offsets.lowerBound..<$0.offsets.upperBound + 1 }
      let nothing = extent.highWatermark..<extent.highWatermark
      work.append((index, chosen))
      parts.append(ExportPart(topic: extent.topic, partition: extent.partition, offsets: offsets ?? nothing))
    }
  }

  private struct Place: Hashable {
    var topic: String
    var partition: Int32
    init(_ topic: String, _ partition: Int32) {
      self.topic = topic
      self.partition = partition
    }
  }

  /// Positions in the source, in the order of output.
  private static func partitions(of source: any HistorySource, _ topics: [String]?) throws(ExportError) -> [Int] {
    guard let topics else { return Array(source.partitions.indices) }
    let positions = Dictionary(grouping: source.partitions.indices) { source.partitions[$0].topic }
    var chosen: [Int] = []
    var seen: Set<String> = []
    for topic in topics where seen.insert(topic).inserted {
      guard let found = positions[topic] else { throw .unknownTopic(topic) }
      chosen += found
    }
    return chosen
  }

  private static func narrow(_ selection: BatchSelection, to offsets: Range<Int64>) -> BatchSelection? {
    let low = max(selection.offsets.lowerBound, offsets.lowerBound)
    let high = min(selection.offsets.upperBound, offsets.upperBound - 1)
    guard low <= high, !offsets.isEmpty else { return nil }
    return BatchSelection(offsets: low...high, timestamps: selection.timestamps, isDescending: false)
  }

  /// Hands every record to `sink`. Blocks; memory is bounded by a batch.
  ///
  /// - Throws: what `sink` throws; then, as with every error, the output is not complete.
  public func run(control: ScanControl, into sink: some RecordSink) throws(ExportError) {
    try sink.begin(parts)
    for (part, item) in zip(parts, work) {
      if let selection = item.selection {
        let walk = PartWalk(source, index: item.index, part: part, selection: selection, control: control, sink: sink)
        if let condition { try walk.run(where: condition) } else { try walk.run() }
      }
      try sink.end(part)
    }
  }
}

/// Walks the records of one part.
private final class PartWalk {
  private let source: any HistorySource
  private let index: Int
  private let part: ExportPart
  private let selection: BatchSelection
  private let control: ScanControl
  private let sink: any RecordSink
  private var headers: [UInt8] = []
  private var scan: RecordScan?

  init(
    _ source: any HistorySource, index: Int, part: ExportPart, selection: BatchSelection, control: ScanControl,
    sink: any RecordSink
  ) {
    self.source = source
    self.index = index
    self.part = part
    self.selection = selection
    self.control = control
    self.sink = sink
  }

  func run() throws(ExportError) {
    let scan = RecordScan(source, partition: index, selection: selection, control: control)
    while try Self.next(scan) { try hand(scan) }
  }

  private func hand(_ scan: RecordScan) throws(ExportError) {
    headers.removeAll(keepingCapacity: true)
    let raw = scan.headers
    if !raw.isEmpty { EncodedHeaders.encode(raw, to: &headers) }
    var failure: ExportError?
    headers.withUnsafeBytes { bytes in
      do throws(ExportError) {
        try sink.take(
          ExportRecord(
            part: part, offset: scan.offset, timestamp: scan.timestamp, timestampType: scan.timestampType, key: scan.key,
            value: scan.value, headers: EncodedHeaders(unchecked: bytes, count: raw.count)))
      } catch { failure = error }
    }
    if let failure { throw failure }
  }

  private static func next(_ scan: RecordScan) throws(ExportError) -> Bool {
    do throws(HistoryError) { return try scan.next() } catch { throw ExportError(error) }
  }

  // With a condition SQL says which offsets are wanted, and a scan beside it fetches their records: so they are written as all others,
  // timestamp types and headers included, whatever SQL makes of them.

  /// Offsets after which the scan beside begins anew instead of walking there.
  private static let walkedOffsetsMax: Int64 = 10_000

  func run(where condition: String) throws(ExportError) {
    let limits = SQLLimits(time: nil, outputBytes: nil)
    let writer = OffsetWriter { [self] (offset) throws(ExportError) in try hand(offset) }
    do throws(QueryError) {
      let session = try SQLSession(source: OneTopic(source, part.topic), limits: limits, control: control)
      _ = try session.run(statement(condition), parameters: [:], into: writer)
    } catch {
      if let cause = error.cause as? ExportError { throw cause }
      switch error.kind {
      case .cancelled: throw .cancelled
      default: throw .condition(error.message)
      }
    }
  }

  private func statement(_ condition: String) -> String {
    // The line break ends a comment that the condition may end with.
    """
    SELECT "offset" FROM "\(part.topic)" WHERE "partition" = \(part.partition)
    AND "offset" >= \(selection.offsets.lowerBound) AND "offset" <= \(selection.offsets.upperBound)
    AND "timestamp" >= \(selection.timestamps.lowerBound) AND "timestamp" <= \(selection.timestamps.upperBound)
    AND (\(condition)
    ) ORDER BY "offset"
    """
  }

  private func hand(_ offset: Int64) throws(ExportError) {
    var current: RecordScan
    if let scan, offset - scan.offset <= Self.walkedOffsetsMax {
      if offset <= scan.offset { return }
      current = scan
    } else {
      var rest = selection
      rest.offsets = offset...max(offset, selection.offsets.upperBound)
      current = RecordScan(source, partition: index, selection: rest, control: control)
    }
    scan = current
    while try Self.next(current) {
      if current.offset == offset { return try hand(current) }
      if current.offset > offset { return }
    }
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
}

/// Takes the offsets that a statement answers with.
private final class OffsetWriter: RowWriter {
  let output = OutputBuffer { _ in }
  private let body: (Int64) throws(ExportError) -> Void

  init(_ body: @escaping (Int64) throws(ExportError) -> Void) { self.body = body }

  func begin(columns: [String]) {}
  func write(_ row: borrowing ResultRow) throws {
    do throws(ExportError) { try body(row.integer(0)) } catch { throw QueryError(.output, error.description, cause: error) }
  }
  func end() {}
}
