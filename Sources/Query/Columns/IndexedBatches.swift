public import Indexes

/// What a scan asks of an index.
struct IndexLookup: Equatable {
  var definition: IndexDefinition
  var probe: IndexProbe
}

/// What the indexes of one partition know, in one cut. Used by one thread.
public protocol PartitionIndexes: AnyObject {
  /// The offsets that each of its files covers, ascending; none twice.
  var stretches: [Range<Int64>] { get }
  /// The offsets of the records among which every answer in `stretches[index]` is, ascending; nil if that is to be scanned.
  ///
  /// - Parameters:
  ///   - confirm: whether the partition has this batch.
  ///   - control: may end the look-up.
  func offsets(
    in index: Int, _ definition: IndexDefinition, _ probe: IndexProbe,
    confirm: (IndexExtent.BatchIdentity) -> Bool, control: ScanControl
  ) throws(HistoryError) -> [Int64]?
}

/// The batches of a partition in which an index says that the answer may lie, together with all those that it does not cover.
final class IndexedBatches: BatchSequence {
  var lookup: IndexLookup?
  private let base: any BatchSequence
  private let indexes: any PartitionIndexes
  private let context: ScanContext

  private enum Stretch {
    case scanned(ClosedRange<Int64>)
    case covered(Int, ClosedRange<Int64>)
  }
  private var selection = BatchSelection(offsets: 0...0, timestamps: 0...0, isDescending: false)
  /// Those still to come, the next one last.
  private var waiting: [Stretch] = []
  /// Where the batches of the stretch that is read are, the next one last; nil where it is scanned.
  private var places: [Int64]? = []
  private var current: BatchRow?
  /// The stretch that is read. What a file says of itself may be wrong, so a batch may lie in two of them: each gives its own records.
  private(set) var stretch: ClosedRange<Int64> = .min ... .max
  /// The records that an index has found in the stretch, ascending: within it there are no others.
  private var records: [Int64]?
  private var isByTime = false

  init(_ base: any BatchSequence, _ indexes: any PartitionIndexes, _ context: ScanContext) {
    self.base = base
    self.indexes = indexes
    self.context = context
  }

  func seek(_ selection: BatchSelection) throws(HistoryError) {
    self.selection = selection
    isByTime = false
    places = []
    records = nil
    current = nil
    waiting = stretches(within: selection.offsets)
    // The next one last: ascending, that is the first.
    if !selection.isDescending { waiting.reverse() }
  }

  private func stretches(within offsets: ClosedRange<Int64>) -> [Stretch] {
    guard lookup != nil else { return [.scanned(offsets)] }
    var all: [Stretch] = []
    var next = offsets.lowerBound
    for (index, covered) in indexes.stretches.enumerated() {
      let low = max(covered.lowerBound, next)
      let high = min(covered.upperBound - 1, offsets.upperBound)
      guard low <= high else { continue }
      if next < low { all.append(.scanned(next...low - 1)) }
      all.append(.covered(index, low...high))
      next = high + 1
    }
    if next <= offsets.upperBound { all.append(.scanned(next...offsets.upperBound)) }
    return all
  }

  func next() throws(HistoryError) -> BatchRow? {
    while true {
      if places == nil {
        if let row = try base.next() { return row }
        places = []
      }
      while let place = places?.popLast() {
        try context.control.check()
        if let current, (current.baseOffset...current.lastOffset).contains(place) { continue }
        guard let row = try batch(at: place) else { continue }
        current = row
        if row.overlaps(selection) { return row }
      }
      guard let stretch = waiting.popLast() else { return nil }
      current = nil
      try begin(stretch)
    }
  }

  /// False for records that cannot be an answer, of a batch that has one, and for those of another stretch.
  func admits(_ offset: Int64) -> Bool {
    guard stretch.contains(offset) else { return false }
    guard let records else { return true }
    let place = records.partitioningIndex { $0 >= offset }
    return place < records.count && records[place] == offset
  }

  private func begin(_ stretch: Stretch) throws(HistoryError) {
    records = nil
    switch stretch {
    case .scanned(let offsets): try scan(offsets)
    case .covered(let index, let offsets):
      self.stretch = offsets
      guard let lookup else { return try scan(offsets) }
      context.statistics.indexLookups += 1
      let found = try indexes.offsets(
        in: index, lookup.definition, lookup.probe, confirm: { has($0) }, control: context.control)
      guard let found else { return try scan(offsets) }
      let start = found.partitioningIndex { $0 >= offsets.lowerBound }
      let end = found.partitioningIndex { $0 > offsets.upperBound }
      places = Array(found[start..<end])
      if !selection.isDescending { places?.reverse() }
      records = found
    }
  }

  private func scan(_ offsets: ClosedRange<Int64>) throws(HistoryError) {
    stretch = offsets
    var part = selection
    part.offsets = offsets
    try base.seek(part)
    places = nil
  }

  private func batch(at offset: Int64) throws(HistoryError) -> BatchRow? {
    // Whether its times are among those that are asked for its row says: the index by time would be gone through for each.
    try base.seek(
      BatchSelection(offsets: offset...offset, timestamps: .min ... .max, isDescending: selection.isDescending))
    return try base.next()
  }

  /// Whether the partition has the batch, and not another in its place.
  private func has(_ identity: IndexExtent.BatchIdentity) -> Bool {
    do throws(HistoryError) {
      guard let row = try batch(at: identity.baseOffset), row.baseOffset == identity.baseOffset else { return false }
      var isSame = false
      try base.withHeader { (bytes) throws(HistoryError) in
        isSame = BatchIdentityCheck.isSame(identity, bytes)
      }
      return isSame
    } catch { return false }
  }

  func withBytes(_ body: (UnsafeRawBufferPointer) throws(HistoryError) -> Void) throws(HistoryError) {
    try base.withBytes(body)
  }

  func copyBytes(to room: (Int) -> UnsafeMutableRawBufferPointer) throws(HistoryError) {
    try base.copyBytes(to: room)
  }

  func withHeader(_ body: (UnsafeRawBufferPointer) throws(HistoryError) -> Void) throws(HistoryError) {
    try base.withHeader(body)
  }

  func seekByTime(_ selection: BatchSelection) throws(HistoryError) {
    let isOfUse =
      lookup != nil
      && indexes.stretches.contains {
        $0.lowerBound <= selection.offsets.upperBound && $0.upperBound > selection.offsets.lowerBound
      }
    if isOfUse { return try seek(selection) }
    isByTime = true
    // What an index has found in an earlier pass says nothing about this one.
    places = []
    waiting = []
    stretch = selection.offsets
    records = nil
    current = nil
    try base.seekByTime(selection)
  }

  /// In offset order where an index is of use: the batches that it finds are few, and each is looked at.
  func nextByTime() throws(HistoryError) -> BatchTimes? {
    if isByTime { return try base.nextByTime() }
    return try next().map {
      BatchTimes(
        baseOffset: $0.baseOffset, minTimestamp: $0.minTimestamp, maxTimestamp: $0.maxTimestamp,
        bound: selection.isDescending ? .max : .min)
    }
  }
}

extension Array {
  /// Where the first element is for which `isBehind` holds, which holds for all that follow it.
  fileprivate func partitioningIndex(_ isBehind: (Element) -> Bool) -> Int {
    var low = 0
    var high = count
    while low < high {
      let middle = low + (high - low) / 2
      if isBehind(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
