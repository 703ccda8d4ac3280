public import Model
internal import Records

/// The records of a range of one partition, in offset order: for those who want records rather than SQL.
///
/// Visible are the same records as in SQL: from the log start offset to below the high watermark, without control records.
/// Used by one thread; the contents of a record are valid until `next`.
public final class RecordScan {
  private let scan: PartitionScan
  private let context: ScanContext

  /// - Parameter index: the partition's position in the source.
  public init(_ source: any HistorySource, partition index: Int, range: HistoryRange, control: ScanControl) {
    context = ScanContext(control: control)
    var request = PartitionScan.Request(offsets: .none, timestamps: .none, isDescending: false, columns: .max)
    if let selection = range.selection(in: source.partitions[index]) {
      request.offsets = Interval(low: selection.offsets.lowerBound, high: selection.offsets.upperBound)
      request.timestamps = Interval(low: selection.timestamps.lowerBound, high: selection.timestamps.upperBound)
    }
    scan = PartitionScan(index, of: source, request: request, context: context, staysOpen: false)
  }

  /// Moves to the next record; false behind the last.
  /// - Throws: when history cannot be read, or `control` says stop.
  public func next() throws(HistoryError) -> Bool { try scan.next() }

  public var offset: Int64 { scan.offset }
  /// Milliseconds; -1: none.
  public var timestamp: Int64 { scan.timestamp }
  public var timestampType: TimestampType { scan.header?.timestampType ?? .createTime }
  /// Nil for a null key; `withValue` likewise.
  public func withKey(_ body: (UnsafeRawBufferPointer?) -> Void) { scan.withKey(body) }
  public func withValue(_ body: (UnsafeRawBufferPointer?) -> Void) { scan.withValue(body) }
  /// The headers as JSON; see `HeadersText`.
  public func withHeaders(_ body: (UnsafeRawBufferPointer) -> Void) { scan.withHeaders(body) }
  public var statistics: ScanStatistics { context.statistics }
}
