internal import Records
internal import SQLite

/// A scan over one topic: one partition after the other, all merged by offset, or in an order of time.
final class TopicCursor: VirtualTableCursor {
  private let table: TopicTable
  private let cut: TopicTable.Cut
  private let context: ScanContext
  /// The numbers of the topic's partitions, by position: the source is somebody's whom each row would ask anew.
  private let partitionNumbers: [Int32]
  /// Bits of a row id that hold the partition's position; the others hold the offset.
  private let partitionBits: Int64

  /// Scans that are still to come, in order (one after the other), or all that have a row (merged).
  private var waiting: ArraySlice<Member> = []
  private var heap = MergeHeap<Member>()
  private var isMerged = false
  private var current: Member?
  private var timed: TimedRows?
  private var timedRow: TopRows.Row?
  /// Scans of the filter before, by the partition's position, for joins. Few, because each may hold a segment open.
  private var kept: [Int: PartitionScan] = [:]
  private static let keptMax = 8

  /// One partition's scan.
  private struct Member: MergeMember {
    var scan: PartitionScan
    /// Its place among the topic's partitions.
    var position: Int
    var isDescending: Bool
    var partitionsDescending: Bool
    /// The offset it stands on; before it is started, the first that it may stand on.
    var offset: Int64
    var isStarted = false

    func precedes(_ other: Member) -> Bool {
      if offset != other.offset { return isDescending ? offset > other.offset : offset < other.offset }
      return partitionsDescending ? position > other.position : position < other.position
    }
  }

  init(_ table: TopicTable, _ cut: TopicTable.Cut) throws(VirtualTableError) {
    self.table = table
    self.cut = cut
    context = table.context
    let partitions = cut.source.partitions
    partitionNumbers = cut.partitions.map { partitions[$0].partition }
    partitionBits = Int64(Int64.bitWidth - Int64(max(0, cut.partitions.count - 1)).leadingZeroBitCount)
    let highest = cut.partitions.map { partitions[$0].highWatermark }.max() ?? 0
    // SQLite tells rows apart by their row ids, so two must never be equal. With 1,000 partitions this leaves offsets of 2⁵².
    guard highest <= Int64.max >> (partitionBits + 1) else {
      throw .failed("offsets of topic \(table.topic) are too large to be told apart in SQL")
    }
  }

  override func filter(plan number: Int, arguments: FilterArguments) throws(VirtualTableError) {
    current = nil
    waiting = []
    heap.removeAll()
    timed = nil
    timedRow = nil
    isAtEnd = true
    let plan = table.plans[number]
    var bounds = ScanBounds()
    for (i, term) in plan.terms.enumerated() { try bounds.apply(term, arguments[i]) }
    if bounds.isEmpty { return }
    bounds.offsets.raise(to: bounds.rowIDs.low >> partitionBits)
    bounds.offsets.lower(to: bounds.rowIDs.high >> partitionBits)
    let onlyPosition = bounds.rowIDs.low == bounds.rowIDs.high ? bounds.rowIDs.low & (1 << partitionBits - 1) : nil

    let offsetsDescending: Bool
    let partitionsDescending: Bool
    switch plan.order {
    case .byPartition(let partitions, let offsets):
      (isMerged, partitionsDescending, offsetsDescending) = (false, partitions, offsets)
    case .byOffset(let offsets, let partitions):
      (isMerged, partitionsDescending, offsetsDescending) = (true, partitions, offsets)
    case .byTime(let order, _):
      (isMerged, partitionsDescending, offsetsDescending) = (false, false, order.isDescending)
    }
    let request = PartitionScan.Request(
      offsets: bounds.offsets, timestamps: bounds.timestamps, isDescending: offsetsDescending,
      columns: try table.inputs(of: plan.columns),
      headers: bounds.headers, lookup: try table.lookup(of: plan, arguments))
    let positions = cut.partitions.indices.filter {
      (onlyPosition ?? Int64($0)) == Int64($0)
        && bounds.includes(partition: partitionNumbers[$0])
    }
    let isFew = positions.count <= Self.keptMax
    if !isFew || kept.count > Self.keptMax { kept = [:] }
    var members: [Member] = []
    for position in positions {
      let scan: PartitionScan
      if let known = kept[position] {
        known.restart(request)
        scan = known
      } else {
        scan = PartitionScan(cut.partitions[position], of: cut.source, request: request, context: context, staysOpen: isFew)
        if isFew { kept[position] = scan }
      }
      if scan.isEmpty { continue }
      members.append(
        Member(
          scan: scan, position: position, isDescending: offsetsDescending, partitionsDescending: partitionsDescending,
          offset: scan.firstPossibleOffset))
    }
    if case .byTime(let order, let first) = plan.order {
      timed = TimedRows(members.map { ($0.scan, $0.position) }, order: order, first: first)
    } else if isMerged {
      // Not started: a partition is opened when its first possible offset comes up, which for the last few records is seldom.
      for member in members { heap.insert(member) }
    } else {
      if partitionsDescending { members.reverse() }
      waiting = members[...]
    }
    try next()
  }

  override func next() throws(VirtualTableError) {
    do throws(HistoryError) {
      if let timed {
        timedRow = try timed.next()
        isAtEnd = timedRow == nil
      } else {
        try isMerged ? nextMerged() : nextInTurn()
      }
    } catch { throw context.failing(error) }
  }

  private func nextInTurn() throws(HistoryError) {
    while true {
      if let current, try current.scan.next() { return isAtEnd = false }
      current = waiting.popFirst()
      if current == nil { return isAtEnd = true }
    }
  }

  private func nextMerged() throws(HistoryError) {
    if var member = current {
      current = nil
      if try member.scan.next() {
        member.offset = member.scan.offset
        heap.insert(member)
      }
    }
    while var member = heap.popFirst() {
      if member.isStarted {
        current = member
        return isAtEnd = false
      }
      member.isStarted = true
      if try member.scan.next() {
        member.offset = member.scan.offset
        heap.insert(member)
      }
    }
    isAtEnd = true
  }

  /// Where the row it stands on lies; nil at the end.
  var place: (partition: Int32, offset: Int64)? {
    guard let current else { return nil }
    return (partitionNumbers[current.position], current.scan.offset)
  }

  override var rowID: Int64 {
    if let place = timedRow?.place { return place.offset << partitionBits | Int64(place.position) }
    guard let current else { return 0 }
    return current.scan.offset << partitionBits | Int64(current.position)
  }

  override func column(_ index: Int, into result: ResultContext) throws(VirtualTableError) {
    if let current {
      try emit(index, of: current.scan, at: current.position, into: result)
    } else if let timedRow {
      try emit(index, of: timedRow, at: timedRow.place.position, into: result)
    } else {
      result.setNull()
    }
  }

  @inline(__always)
  private func emit(
    _ index: Int, of record: some RecordFields, at position: Int, into result: ResultContext
  ) throws(VirtualTableError) {
    let partition = partitionNumbers[position]
    guard let column = TopicColumn(rawValue: index) else {
      return try table.expression(index - TopicColumn.count)
        .set(record, topic: table.topic, partition: partition, into: result)
    }
    column.emit(record, topic: table.topic, partition: partition, into: result)
  }
}

extension TimeText {
  /// As a value of SQL: NULL where the time has no text.
  static func set(_ timestamp: Int64, in result: ResultContext) {
    guard hasText(timestamp) else { return result.setNull() }
    withUnsafeTemporaryAllocation(byteCount: byteCount, alignment: 1) { text in
      write(timestamp, to: text)
      result.setText(UnsafeRawBufferPointer(text))
    }
  }
}
