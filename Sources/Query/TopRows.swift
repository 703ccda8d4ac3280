internal import Model
internal import Records

/// By what rows are ordered, the first of which is the timestamp.
struct TimeOrder: Hashable {
  enum Key: Hashable { case timestamp, offset, partition }
  struct Term: Hashable {
    var key: Key
    var isDescending: Bool
  }
  /// Every row has another place in it: it ends with offset and partition.
  var terms: [Term]

  var isDescending: Bool { terms[0].isDescending }

  /// - Parameter terms: what is asked for, the timestamp first.
  init(_ terms: [Term]) {
    self.terms = terms
    for key in [Key.offset, .partition] where !terms.contains(where: { $0.key == key }) {
      self.terms.append(Term(key: key, isDescending: terms[0].isDescending))
    }
  }

  func precedes(_ a: TopRows.Place, _ b: TopRows.Place) -> Bool {
    for term in terms {
      let (left, right) =
        switch term.key {
        case .timestamp: (a.timestamp, b.timestamp)
        case .offset: (a.offset, b.offset)
        case .partition: (Int64(a.position), Int64(b.position))
        }
      if left != right { return term.isDescending ? left > right : left < right }
    }
    return false
  }
}

/// The first rows behind a place, in an order of time, out of all that are offered in whatever order.
///
/// Timestamps are in the order in which producers sent them, so the next rows may lie anywhere. As many are kept as are wanted, and fit
/// their memory; what lies behind them is offered again in the next round, which begins where this one ends.
final class TopRows {
  /// Where a row stands.
  struct Place: Hashable {
    var timestamp: Int64
    var offset: Int64
    var position: Int
  }

  struct Row: MergeMember {
    var place: Place
    var header: BatchHeader
    var bytes: [UInt8]
    var key: Range<Int>?
    var value: Range<Int>?
    var headers: Range<Int>?
    let order: TimeOrder
    /// What a row costs beside its bytes.
    static let overhead = 200
    var cost: Int { bytes.count + Self.overhead }
    /// The heap's first is the row that goes first when there is no room.
    func precedes(_ other: Row) -> Bool { order.precedes(other.place, place) }
  }

  let order: TimeOrder
  private let bytesMax: Int
  private var countMax: Int
  private var heap = MergeHeap<Row>()
  private var count = 0
  private var bytes = 0
  /// The rows up to it were had in the rounds before.
  private var start: Place?
  /// The first row that found no room in this round: nothing behind it can be kept either.
  private var end: Place?
  /// The rows of this round, last one first.
  private var rows: [Row] = []
  /// The round has left rows out.
  private(set) var isIncomplete = false

  /// - Parameters:
  ///   - first: how many rows to begin with; each round wants four times as many.
  ///   - bytesMax: bytes to keep; one row is kept in any case.
  init(order: TimeOrder, first: Int, bytesMax: Int) {
    self.order = order
    countMax = first
    self.bytesMax = bytesMax
  }

  /// Nothing with a timestamp at or beyond `bound`, in the direction of the order, can be among the rows.
  func isBeyond(_ bound: Int64) -> Bool {
    guard let end else { return false }
    let isBeyond = order.isDescending ? bound < end.timestamp : bound > end.timestamp
    if isBeyond { isIncomplete = true }
    return isBeyond
  }

  /// A row with one of these timestamps may be among them.
  func wants(_ timestamps: ClosedRange<Int64>) -> Bool {
    if let start, order.isDescending ? timestamps.lowerBound > start.timestamp : timestamps.upperBound < start.timestamp {
      return false
    }
    return !isBeyond(order.isDescending ? timestamps.upperBound : timestamps.lowerBound)
  }

  /// - Parameter columns: bits of `TopicColumn`: what is to be kept of the record.
  func offer(_ record: borrowing RecordView, header: BatchHeader, position: Int, columns: UInt64) {
    let place = Place(timestamp: record.timestamp, offset: record.offset.rawValue, position: position)
    if let start, !order.precedes(start, place) { return }
    if let end, !order.precedes(place, end) { return isIncomplete = true }
    var row = Row(place: place, header: header, bytes: [], order: order)
    if columns & TopicColumn.key.bit != 0, let key = record.key { row.key = row.keep(key) }
    if columns & TopicColumn.value.bit != 0, let value = record.value { row.value = row.keep(value) }
    if columns & TopicColumn.headers.bit != 0 {
      let start = row.bytes.count
      HeadersText.append(record.headers, to: &row.bytes)
      row.headers = start..<row.bytes.count
    }
    count += 1
    bytes += row.cost
    heap.insert(row)
    while count > 1, count > countMax || bytes > bytesMax, let last = heap.popFirst() {
      count -= 1
      bytes -= last.cost
      isIncomplete = true
      end = last.place
    }
    // With room for no more, what lies behind the last row need not be looked at.
    if count == countMax, let last = heap.first {
      end = end.map { order.precedes($0, last.place) ? $0 : last.place } ?? last.place
    }
  }

  /// Ends the round: its rows are to be had from `next`.
  func settle() {
    rows = []
    rows.reserveCapacity(count)
    while let row = heap.popFirst() { rows.append(row) }
    count = 0
    bytes = 0
  }

  /// The next row of the round; nil behind the last.
  func next() -> Row? { rows.popLast() }

  /// Begins the round behind `place`.
  func begin(behind place: Place) {
    start = place
    end = nil
    isIncomplete = false
    countMax = countMax > 1 << 24 ? countMax : countMax * 4
  }
}

extension TopRows.Row {
  fileprivate mutating func keep(_ field: UnsafeRawBufferPointer) -> Range<Int> {
    let start = bytes.count
    bytes.append(contentsOf: field)
    return start..<bytes.count
  }

  func with<R>(_ field: Range<Int>?, _ body: (UnsafeRawBufferPointer?) -> R) -> R {
    guard let field else { return body(nil) }
    return bytes.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[field])) }
  }
}
