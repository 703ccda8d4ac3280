public import Model
public import Query

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
  /// An SQL expression over the columns of a topic, declared ones included; nil is every record.
  public var condition: String?
  /// Which columns whoever writes the records wants: declared ones that are not asked for are not computed.
  public var columns: ColumnChoice

  public init(
    topics: [String]?, range: HistoryRange = .all, slices: [PartitionSlice] = [], condition: String? = nil,
    columns: ColumnChoice = .all
  ) {
    self.columns = columns
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
  let source: any HistorySource
  let condition: String?
  private(set) var work: [(index: Int, selection: BatchSelection?)] = []
  /// In the order of output.
  public private(set) var parts: [ExportPart] = []
  /// The columns of all its records.
  public let schema: ExportSchema
  /// What is declared for its topics.
  let declared: [String: [DeclaredColumn]]

  /// - Parameter columns: what is declared for a topic.
  /// - Throws: `.unknownTopic`; `.refused` where the columns that are asked for cannot be.
  public init(
    source: any HistorySource, selection: ExportSelection, columns: (String) -> [DeclaredColumn] = { _ in [] }
  ) throws(ExportError) {
    self.source = source
    condition = selection.condition
    let positions = try Self.partitions(of: source, selection.topics)
    var topics: [String] = []
    var declared: [String: [DeclaredColumn]] = [:]
    for index in positions {
      let topic = source.partitions[index].topic
      if declared[topic] != nil { continue }
      topics.append(topic)
      declared[topic] = columns(topic)
    }
    self.declared = declared
    schema = try ExportSchema(selection.columns, topics: topics) { declared[$0] ?? [] }
    let slices = Dictionary(selection.slices.map { (Place($0.topic, $0.partition), $0.offsets) }) { a, _ in a }
    for index in positions {
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

  /// Hands every record to `sink`, on the calling thread. Blocks; memory is bounded by a batch, and by some MiB for each helper.
  ///
  /// - Parameter helpers: threads that may read ahead. The records and their order are the same.
  /// - Throws: what `sink` throws; then, as with every error, the output is not complete.
  public func run(control: ScanControl, helpers: ExportHelpers? = nil, into sink: some RecordSink) throws(ExportError) {
    try sink.begin(parts, schema.fields)
    let stretches = Stretches(of: self, control: control, helpers: helpers)
    defer { stretches.end() }
    for (number, part) in parts.enumerated() {
      try stretches.deliver(number, to: sink)
      try sink.end(part)
    }
  }
}
