public import Model
public import Records

/// The records of a range of one partition, in offset order: for those who want records rather than SQL.
///
/// Visible are the same records as in SQL: from the log start offset to below the high watermark, without control records.
/// Used by one thread; the contents of a record are valid until `next`.
public final class RecordScan {
  let scan: PartitionScan
  private let context: ScanContext

  /// - Parameter index: the partition's position in the source.
  public convenience init(_ source: any HistorySource, partition index: Int, range: HistoryRange, control: ScanControl) {
    self.init(source, partition: index, selection: range.selection(in: source.partitions[index]), control: control)
  }

  /// - Parameters:
  ///   - selection: ascending; nil: no record at all.
  ///   - staysOpen: it will be begun anew, so what it has open at its end is kept for that.
  public init(
    _ source: any HistorySource, partition index: Int, selection: BatchSelection?, control: ScanControl, staysOpen: Bool = false
  ) {
    context = ScanContext(control: control)
    // What is exported is whatever is there.
    context.recordBytesMax = .max
    scan = PartitionScan(
      index, of: source, request: Self.request(selection), context: context, staysOpen: staysOpen)
  }

  private static func request(_ selection: BatchSelection?) -> PartitionScan.Request {
    var request = PartitionScan.Request(offsets: .none, timestamps: .none, isDescending: false, columns: .max)
    if let selection {
      request.offsets = Interval(low: selection.offsets.lowerBound, high: selection.offsets.upperBound)
      request.timestamps = Interval(low: selection.timestamps.lowerBound, high: selection.timestamps.upperBound)
    }
    return request
  }

  /// Begins anew with another range of the same partition.
  public func restart(_ selection: BatchSelection) { scan.restart(Self.request(selection)) }

  /// Moves to the next record; false behind the last.
  /// - Throws: when history cannot be read, or `control` says stop.
  public func next() throws(HistoryError) -> Bool { try scan.next() }

  public var offset: Int64 { scan.offset }
  /// Milliseconds; -1: none.
  public var timestamp: Int64 { scan.timestamp }
  public var timestampType: TimestampType { scan.header?.timestampType ?? .createTime }
  /// Nil for a null key; `value` likewise. Borrowed until `next`.
  public var key: UnsafeRawBufferPointer? { scan.key }
  public var value: UnsafeRawBufferPointer? { scan.value }
  public var headers: RecordHeaders { scan.headers }
  public var statistics: ScanStatistics { context.statistics }
}
