internal import SQLite

/// The part of a topic that a scan has to visit. It may be larger than what the query asks for, because SQLite checks every row
/// again; it must never be smaller.
struct ScanBounds: Equatable {
  var partitions = Interval.all
  /// Nil: not restricted to a list.
  var partitionList: Set<Int64>?
  var offsets = Interval.all
  /// Milliseconds.
  var timestamps = Interval.all
  var headers = PartitionScan.HeaderBounds()
  var rowIDs = Interval.all

  var isEmpty: Bool {
    partitions.isEmpty || offsets.isEmpty || timestamps.isEmpty || headers.isEmpty || rowIDs.isEmpty
      || partitionList?.isEmpty == true
  }

  mutating func makeEmpty() { offsets = .none }

  func includes(partition: Int32) -> Bool {
    let partition = Int64(partition)
    return partitions.contains(partition) && partitionList?.contains(partition) != false
  }

  /// Takes a constraint of the query into account.
  mutating func apply(_ term: ScanPlan.Term, _ value: ArgumentValue) throws(VirtualTableError) {
    if term.isList {
      var members: Set<Int64>? = []
      try value.forEachMember { member in
        var one = Interval.all
        one.narrow(.equal, to: member)
        if one.isEmpty { return }
        // A member that is not understood as a number could equal anything.
        if one.low == one.high { members?.insert(one.low) } else { members = nil }
      }
      if let members { partitionList = partitionList.map { $0.intersection(members) } ?? members }
      return
    }
    switch term.column {
    case .partition: partitions.narrow(term.comparison, to: value)
    case .offset: offsets.narrow(term.comparison, to: value)
    case .rowID: rowIDs.narrow(term.comparison, to: value)
    case .timestamp: timestamps.narrow(term.comparison, to: value)
    case .time: timestamps.narrow(term.comparison, toTime: value)
    case .producerID: headers.producerIDs.narrow(term.comparison, to: value)
    case .leaderEpoch: headers.leaderEpochs.narrow(term.comparison, to: value)
    case .batchOffset:
      headers.batchOffsets.narrow(term.comparison, to: value)
      // A record lies at or behind the offset of its batch.
      offsets.raise(to: headers.batchOffsets.low)
    default: break
    }
  }
}

/// Whole numbers from `low` to `high`, both included; none if `high` is less.
struct Interval: Equatable {
  var low: Int64
  var high: Int64

  static let all = Interval(low: .min, high: .max)
  static let none = Interval(low: 1, high: 0)

  var isEmpty: Bool { low > high }
  func contains(_ value: Int64) -> Bool { low <= value && value <= high }

  mutating func raise(to value: Int64) { low = max(low, value) }
  mutating func lower(to value: Int64) { high = min(high, value) }

  /// Drops the numbers n for which `n comparison value` is not true, by SQLite's rules for a column of integers (datatype3 §4).
  mutating func narrow(_ comparison: IndexRequest.Operator, to value: ArgumentValue) {
    var result = self
    value.withNumericAffinity { value in
      switch value.kind {
      case .null: result = .none  // no comparison with NULL is true
      case .integer: result.narrow(comparison, to: value.int64)
      case .real: result.narrow(comparison, to: value.double)
      // Every number is less than every text and blob. SQLite finds that out row by row.
      case .text, .blob: break
      }
    }
    self = result
  }

  mutating func narrow(_ comparison: IndexRequest.Operator, to value: Int64) {
    switch comparison {
    case .equal:
      raise(to: value)
      lower(to: value)
    case .less: if value == .min { self = .none } else { lower(to: value - 1) }
    case .lessOrEqual: lower(to: value)
    case .greater: if value == .max { self = .none } else { raise(to: value + 1) }
    case .greaterOrEqual: raise(to: value)
    case .match, .limit, .offset, .other: break
    }
  }

  /// 2⁶³ as a real: the first that no Int64 reaches. Its negative is the least Int64 exactly.
  private static let beyond = 0x1p63

  mutating func narrow(_ comparison: IndexRequest.Operator, to real: Double) {
    if real.isNaN { return self = .none }
    switch comparison {
    case .equal:
      if let whole = Int64(exactly: real) { narrow(.equal, to: whole) } else { self = .none }
    case .less:
      if real >= Self.beyond { return }
      if real <= -Self.beyond { self = .none } else { lower(to: Int64(real.rounded(.up)) - 1) }
    case .lessOrEqual:
      if real >= Self.beyond { return }
      if real < -Self.beyond { self = .none } else { lower(to: Int64(real.rounded(.down))) }
    case .greater:
      if real < -Self.beyond { return }
      if real >= Self.beyond { self = .none } else { raise(to: Int64(real.rounded(.down)) + 1) }
    case .greaterOrEqual:
      if real <= -Self.beyond { return }
      if real >= Self.beyond { self = .none } else { raise(to: Int64(real.rounded(.up))) }
    case .match, .limit, .offset, .other: break
    }
  }

  /// Drops the times whose text does not satisfy `text comparison value`; times without a text satisfy nothing.
  mutating func narrow(_ comparison: IndexRequest.Operator, toTime value: ArgumentValue) {
    switch value.kind {
    case .null: return self = .none
    // The column's affinity makes a text of a number, and every text is less than every blob: left to SQLite.
    case .integer, .real, .blob: return
    case .text: break
    }
    raise(to: TimeText.writable.lowerBound)
    lower(to: TimeText.writable.upperBound)
    value.withBytes { text in
      let first = TimeText.first(notBefore: text)
      let isExact = first.map { TimeText.text($0).map { Array($0.utf8).elementsEqual(text) } ?? true } ?? false
      switch comparison {
      case .equal: if isExact { narrow(.equal, to: first!) } else { self = .none }
      case .less, .lessOrEqual:
        guard let first else { return }
        narrow(isExact && comparison == .lessOrEqual ? .lessOrEqual : .less, to: first)
      case .greater, .greaterOrEqual:
        guard let first else { return self = .none }
        narrow(isExact && comparison == .greater ? .greater : .greaterOrEqual, to: first)
      case .match, .limit, .offset, .other: break
      }
    }
  }
}
