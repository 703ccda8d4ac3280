public import Indexes
internal import Model
internal import Records
internal import SQLite
public import Storage

/// Computes the values of columns for indexes, as queries compute them.
public struct ColumnFeed: IndexFeed {
  private static let recordsBetweenLooks = 256

  public init() {}

  public func feed(
    _ snapshot: HistorySnapshot, _ offsets: Range<Int64>, into writer: IndexWriter, shouldStop: @escaping @Sendable () -> Bool
  ) throws(IndexFeedError) {
    let control = ScanControl(shouldStop: shouldStop)
    let context = ScanContext(control: control)
    var sources: [Source] = []
    var columns = TopicColumn.key.bit
    for definition in writer.definitions {
      let source = try Self.source(definition, context)
      columns |= source.inputs
      sources.append(source)
    }
    let source = SnapshotHistory(snapshot)
    guard let extent = source.partitions.first else { return }
    let request = PartitionScan.Request(
      offsets: Interval(low: offsets.lowerBound, high: offsets.upperBound - 1), timestamps: .all, isDescending: false,
      columns: columns)
    let scan = PartitionScan(0, of: source, request: request, context: context, staysOpen: false)
    var batch: Int64?
    var count = 0
    do throws(HistoryError) {
      while try scan.next() {
        if let header = scan.header, header.baseOffset != batch {
          // What is not whole below the end is indexed with what follows it.
          if header.lastOffset >= offsets.upperBound { return }
          if shouldStop() { throw HistoryError(.cancelled, "stopped") }
          batch = header.baseOffset
          writer.begin(IndexExtent.BatchIdentity(header), lastOffset: header.lastOffset)
        }
        count += 1
        if count % Self.recordsBetweenLooks == 0, shouldStop() { throw HistoryError(.cancelled, "stopped") }
        var failure: IndexFeedError?
        do throws(VirtualTableError) {
          let error = try writer.add(scan.offset) { (index, statement) throws(VirtualTableError) in
            try sources[index].bind(scan, extent, to: statement)
          }
          if let error { failure = error.isInterrupt ? .stopped : .writing(error) }
        } catch { failure = .refused(error.message) }
        if let failure { throw Stop(failure).error }
      }
    } catch {
      switch error.reason {
      case .cancelled, .tooSlow: throw .stopped
      case .damaged, .unavailable, .tooLarge: throw .refused(error.message)
      }
    }
  }

  private struct Stop {
    var error: HistoryError
    init(_ failure: IndexFeedError) {
      switch failure {
      case .stopped: error = HistoryError(.cancelled, "stopped")
      case .refused(let words): error = HistoryError(.unavailable, words)
      case .writing(let cause): error = HistoryError(.unavailable, "\(cause)")
      }
    }
  }

  /// Where the values of one index come from.
  private enum Source {
    case key(isWords: Bool)
    case value(isWords: Bool)
    case expression(ColumnExpression, isWords: Bool)

    var inputs: UInt64 {
      switch self {
      case .key: TopicColumn.key.bit
      case .value: TopicColumn.value.bit
      case .expression(let expression, _): expression.inputs
      }
    }

    func bind(
      _ scan: PartitionScan, _ extent: PartitionExtent, to statement: Statement
    ) throws(VirtualTableError) -> Int? {
      switch self {
      case .key(let isWords): return Self.bind(scan.key, isWords: isWords, to: statement)
      case .value(let isWords): return Self.bind(scan.value, isWords: isWords, to: statement)
      case .expression(let expression, let isWords):
        return try expression.bind(
          scan, topic: extent.topic, partition: extent.partition, isWords: isWords, to: statement, at: 1)
      }
    }

    private static func bind(_ bytes: UnsafeRawBufferPointer?, isWords: Bool, to statement: Statement) -> Int? {
      guard let bytes else { return nil }
      if TextBytes.isSQLText(bytes) {
        statement.bindStatic(text: bytes, at: 1)
      } else if isWords {
        return nil
      } else {
        statement.bindStatic(bytes, at: 1)
      }
      return bytes.count
    }
  }

  private static func source(_ definition: IndexDefinition, _ context: ScanContext) throws(IndexFeedError) -> Source {
    let isWords = definition.kind == .words
    if definition.column.definition == nil {
      return definition.column.name == "key" ? .key(isWords: isWords) : .value(isWords: isWords)
    }
    do throws(ColumnRefusal) {
      let expression = try context.columnEvaluation().compile(definition.column)
      return .expression(expression, isWords: isWords)
    } catch { throw .refused("column \(definition.column.name): \(error.message)") }
  }
}
