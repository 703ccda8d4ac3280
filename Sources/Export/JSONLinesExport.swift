public import Query

/// Topics as JSON Lines, one record to a line; see `RecordLine` for the format.
///
/// Complete and repeatable: topic after topic in the order given, partition after partition, by offset. Exporting the same range of
/// the same history again gives the same bytes.
public struct JSONLinesExport {
  private let source: any HistorySource
  private let range: HistoryRange
  /// Positions in the source, in the order of output.
  private let partitions: [Int]

  /// What was exported, or has been so far.
  public struct Progress: Sendable, Hashable {
    public var records: Int64 = 0
    public var bytes: Int64 = 0
  }

  /// Bytes of a chunk, about.
  static let chunkBytes = 256 << 10

  /// - Parameter topics: each once; nil is all, by name.
  /// - Throws: `.unknownTopic`.
  public init(source: any HistorySource, topics: [String]?, range: HistoryRange) throws(ExportError) {
    self.source = source
    self.range = range
    let positions = Dictionary(grouping: source.partitions.indices) { source.partitions[$0].topic }
    guard let topics else {
      partitions = Array(source.partitions.indices)
      return
    }
    var chosen: [Int] = []
    var seen: Set<String> = []
    for topic in topics where seen.insert(topic).inserted {
      guard let found = positions[topic] else { throw .unknownTopic(topic) }
      chosen += found
    }
    partitions = chosen
  }

  /// Offsets between the range's ends: as many records, unless bounds are times or records are gone from between.
  public var offsetCount: Int64 {
    partitions.reduce(0) { total, index in
      let offsets = range.selection(in: source.partitions[index])?.offsets
      return total + (offsets.map { $0.upperBound - $0.lowerBound + 1 } ?? 0)
    }
  }

  /// Writes all lines to `sink`, in chunks that end with a line; memory is bounded by the chunk and the largest record.
  ///
  /// - Parameter report: called after each chunk.
  /// - Throws: what `sink` throws if it is an `ExportError`; then, as with every error, the output is not complete.
  public func run(
    control: ScanControl, report: (Progress) -> Void = { _ in }, sink: ([UInt8]) throws(ExportError) -> Void
  ) throws(ExportError) -> Progress {
    var progress = Progress()
    var chunk: [UInt8] = []
    chunk.reserveCapacity(Self.chunkBytes + 64 << 10)
    for index in partitions {
      let extent = source.partitions[index]
      let line = RecordLine(topic: extent.topic, partition: extent.partition)
      let scan = RecordScan(source, partition: index, range: range, control: control)
      while try Self.next(scan) {
        line.append(scan, to: &chunk)
        progress.records += 1
        if chunk.count >= Self.chunkBytes { try Self.handOn(&chunk, &progress, report, sink) }
      }
    }
    try Self.handOn(&chunk, &progress, report, sink)
    return progress
  }

  private static func next(_ scan: RecordScan) throws(ExportError) -> Bool {
    do throws(HistoryError) { return try scan.next() } catch {
      switch error.reason {
      case .cancelled: throw .cancelled
      case .damaged, .unavailable, .tooSlow: throw .history(error.message)
      }
    }
  }

  private static func handOn(
    _ chunk: inout [UInt8], _ progress: inout Progress, _ report: (Progress) -> Void,
    _ sink: ([UInt8]) throws(ExportError) -> Void
  ) throws(ExportError) {
    if chunk.isEmpty { return }
    try sink(chunk)
    progress.bytes += Int64(chunk.count)
    chunk.removeAll(keepingCapacity: true)
    report(progress)
  }
}
