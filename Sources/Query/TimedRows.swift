internal import Records

/// The rows of several partitions in an order of time, round by round.
final class TimedRows {
  private let scans: [(scan: PartitionScan, position: Int)]
  private let top: TopRows
  private var last: TopRows.Place?
  private var hasBegun = false

  /// Bytes of rows that one round keeps.
  static let bytesMax = 16 << 20

  /// - Parameter first: how many rows will be wanted, about.
  init(_ scans: [(scan: PartitionScan, position: Int)], order: TimeOrder, first: Int) {
    top = TopRows(order: order, first: first, bytesMax: Self.bytesMax)
    // Those that go furthest first, so that the others need not be opened.
    self.scans = scans.sorted {
      order.isDescending ? $0.scan.timeBound > $1.scan.timeBound : $0.scan.timeBound < $1.scan.timeBound
    }
  }

  func next() throws(HistoryError) -> TopRows.Row? {
    if let row = top.next() {
      last = row.place
      return row
    }
    if hasBegun && !top.isIncomplete { return nil }
    hasBegun = true
    if let last { top.begin(behind: last) }
    for (scan, position) in scans { try scan.offer(to: top, position: position) }
    top.settle()
    let row = top.next()
    last = row?.place
    return row
  }
}

/// The record that a cursor stands on.
protocol RecordFields {
  var offset: Int64 { get }
  var timestamp: Int64 { get }
  /// Of its batch.
  var batchHeader: BatchHeader? { get }
  func withKey(_ body: (UnsafeRawBufferPointer?) -> Void)
  func withValue(_ body: (UnsafeRawBufferPointer?) -> Void)
  /// The headers as JSON text.
  func withHeaders(_ body: (UnsafeRawBufferPointer) -> Void)
}

extension PartitionScan: RecordFields {
  var batchHeader: BatchHeader? { header }
}

extension TopRows.Row: RecordFields {
  var offset: Int64 { place.offset }
  var timestamp: Int64 { place.timestamp }
  var batchHeader: BatchHeader? { header }
  func withKey(_ body: (UnsafeRawBufferPointer?) -> Void) { with(key, body) }
  func withValue(_ body: (UnsafeRawBufferPointer?) -> Void) { with(value, body) }
  func withHeaders(_ body: (UnsafeRawBufferPointer) -> Void) {
    with(headers) { body($0 ?? UnsafeRawBufferPointer(start: nil, count: 0)) }
  }
}
