internal import Indexes
internal import SQLite

/// How a scan of a topic goes: which constraints it gets, in which order rows come, and which columns it must know.
struct ScanPlan: Hashable {
  /// A constraint whose right side the scan gets as an argument.
  struct Term: Hashable {
    var column: TopicColumn
    var comparison: IndexRequest.Operator
    /// The argument is the whole list of an IN.
    var isList: Bool
  }

  /// The order in which rows come.
  enum Order: Hashable {
    /// One partition after the other.
    case byPartition(isDescending: Bool, offsetsDescending: Bool)
    /// All partitions merged by offset; equal offsets by partition.
    case byOffset(isDescending: Bool, partitionsDescending: Bool)
    /// By timestamp; about `first` rows will be wanted.
    case byTime(TimeOrder, first: Int)
  }

  var terms: [Term]
  var order: Order
  /// Bits of `TopicColumn`, and behind them of declared columns.
  var columns: UInt64
  /// The index that is asked, and its terms, whose arguments follow those of `terms`.
  var index: IndexUse?

  struct IndexUse: Hashable {
    /// Its place among the table's.
    var number: Int
    var terms: [TableIndex.Term]
  }

  /// What EXPLAIN QUERY PLAN shows: the constraints that are pushed down, the order in which batches are read, by which index, and how
  /// much of a batch.
  ///
  /// - Parameters:
  ///   - size: of the topic, as it is now.
  ///   - estimate: in words, how much of it may be read; nil where nobody asks.
  func description(of size: TopicSize, _ indexes: [TableIndex], estimate: String?) -> String {
    var words = terms.map { "\($0.column)\(Self.sign($0.comparison, isList: $0.isList))" }
    if let use = index {
      let index = indexes[use.number]
      let kind = index.definition.kind == .words ? "fulltext index" : "index"
      let questions = use.terms.map { "\(index.name)\(Self.sign($0.comparison, isList: $0.isList))" }
      words.append("USING \(kind) \(index.name) (\(questions.joined(separator: " AND "))), what it does not cover is scanned")
    }
    if words.isEmpty { words = ["all"] }
    let isByTime = terms.contains { $0.column == .timestamp || $0.column == .time }
    var index = isByTime ? "batches by index record_batch_time" : "batches by base_offset"
    switch order {
    case .byPartition(false, false): break
    case .byPartition(let partitions, let offsets):
      words.append("by partition\(partitions ? " DESC" : ""), offset\(offsets ? " DESC" : "")")
    case .byOffset(let descending, _): words.append("merged by offset\(descending ? " DESC" : "")")
    case .byTime(let order, _):
      words.append("\(order.isDescending ? "newest" : "oldest") first")
      index = "batches by index record_batch_time"
    }
    words.append(index)
    words.append(
      columns & TopicColumn.insideRecords == 0
        ? "no records read" : columns & TopicColumn.contents == 0 ? "records read for their times" : "records read")
    let files = size.segments > 0 && estimate == nil ? ", \(size.segments) segments" : ""
    words.append("of \(size.partitions) partitions\(files), about \(size.offsets) records")
    if let estimate { words.append(estimate) }
    return words.joined(separator: ", ")
  }

  private static func sign(_ comparison: IndexRequest.Operator, isList: Bool) -> String {
    switch comparison {
    case .equal: isList ? " IN (?)" : "=?"
    case .less: "<?"
    case .lessOrEqual: "<=?"
    case .greater: ">?"
    case .greaterOrEqual: ">=?"
    case .match: " MATCH ?"
    case .limit, .offset, .other: ""
    }
  }
}

/// Chooses scan plans for one topic.
struct ScanPlanner {
  let size: TopicSize
  let indexes: [TableIndex]
  private var partitionCount: Int { size.partitions }

  /// There may be more partitions when the plan is carried out.
  private let mayGrow: Bool

  init(_ size: TopicSize, _ indexes: [TableIndex], mayGrow: Bool = false) {
    self.size = size
    self.indexes = indexes
    self.mayGrow = mayGrow
  }

  /// Partitions that are merged by offset without a LIMIT: each keeps a batch in memory.
  static let mergeWidthMax = 64

  struct Choice {
    var plan: ScanPlan
    var cost: Double
    var rows: Int64
    var isOrdered: Bool
  }

  func choose(_ request: IndexRequest) -> Choice {
    var terms: [ScanPlan.Term] = []
    var hasLimit = false
    var isOnePartition = partitionCount <= 1 && !mayGrow
    var partitionShare = 1.0
    var offsetEquality = false
    var rangeShare = 1.0
    var timeEquality = false
    var headerShare = 1.0
    var limit: Int64?

    for constraint in request.constraints {
      if constraint.comparison == .limit || constraint.comparison == .offset {
        hasLimit = true
        if let number = request.withConstant(of: constraint, \.int64) { limit = (limit ?? 0).addingSaturating(max(0, number)) }
      }
      guard constraint.isUsable, let column = TopicColumn(rawValue: constraint.column) else { continue }
      switch (column, constraint.comparison) {
      case (.partition, .equal):
        let isList = request.isMembership(constraint)
        if isList {
          partitionShare = min(partitionShare, 0.5)
        } else {
          partitionShare = 1 / Double(max(1, partitionCount))
          isOnePartition = true
        }
        request.take(constraint, asArgument: terms.count, wholeList: isList)
        terms.append(.init(column: column, comparison: .equal, isList: isList))
      case (.offset, .equal), (.timestamp, .equal), (.time, .equal):
        if column == .time && !request.comparesBinary(constraint) { continue }
        // An IN list of these is scanned once for each member (SQLite does that), each time by a look-up.
        if column == .offset { offsetEquality = true } else { timeEquality = true }
        request.take(constraint, asArgument: terms.count, wholeList: false)
        terms.append(.init(column: column, comparison: .equal, isList: false))
      case (.rowID, .equal), (.rowID, .less), (.rowID, .lessOrEqual), (.rowID, .greater), (.rowID, .greaterOrEqual):
        if constraint.comparison == .equal { offsetEquality = true } else { rangeShare *= 0.25 }
        request.take(constraint, asArgument: terms.count, wholeList: false)
        terms.append(.init(column: column, comparison: constraint.comparison, isList: false))
      case (.producerID, .equal), (.producerID, .less), (.producerID, .lessOrEqual), (.producerID, .greater),
        (.producerID, .greaterOrEqual),
        (.leaderEpoch, .equal), (.leaderEpoch, .less), (.leaderEpoch, .lessOrEqual), (.leaderEpoch, .greater),
        (.leaderEpoch, .greaterOrEqual),
        (.batchOffset, .equal), (.batchOffset, .less), (.batchOffset, .lessOrEqual), (.batchOffset, .greater),
        (.batchOffset, .greaterOrEqual):
        // Found out batch by batch: nothing is decompressed for it, but every batch is met.
        request.take(constraint, asArgument: terms.count, wholeList: false)
        terms.append(.init(column: column, comparison: constraint.comparison, isList: false))
        headerShare *= 0.5
      case (.partition, .less), (.partition, .lessOrEqual), (.partition, .greater), (.partition, .greaterOrEqual),
        (.offset, .less), (.offset, .lessOrEqual), (.offset, .greater), (.offset, .greaterOrEqual),
        (.timestamp, .less), (.timestamp, .lessOrEqual), (.timestamp, .greater), (.timestamp, .greaterOrEqual),
        (.time, .less), (.time, .lessOrEqual), (.time, .greater), (.time, .greaterOrEqual):
        if column == .time && !request.comparesBinary(constraint) { continue }
        if column == .partition { partitionShare *= 0.5 } else { rangeShare *= 0.25 }
        request.take(constraint, asArgument: terms.count, wholeList: false)
        terms.append(.init(column: column, comparison: constraint.comparison, isList: false))
      default: break
      }
    }

    var (order, isOrdered) = chooseOrder(request.orderTerms, isOnePartition: isOnePartition, hasLimit: hasLimit)
    if !isOrdered, request.wantsRowsInOrder, let byTime = timeOrder(request.orderTerms) {
      (order, isOrdered) = (.byTime(byTime, first: Int(min(max(limit ?? 16, 1), 100_000))), true)
    }
    let partitions = max(1, Double(partitionCount) * partitionShare)
    let all = Double(max(1, size.offsets)) * partitionShare
    // A look-up opens one batch of each partition, which is some hundred records.
    var rows = all * rangeShare * headerShare
    var cost = rows + partitions * 20
    if timeEquality {
      rows = min(rows, 10)
      cost = min(cost, all / 20 + partitions * 100)
    }
    if offsetEquality {
      rows = min(rows, partitions)
      cost = min(cost, partitions * 100)
    }
    if case .byOffset = order { cost *= 1.1 }
    var plan = ScanPlan(terms: terms, order: order, columns: request.columnsUsed)
    if let indexed = chooseIndex(request, rows: rows, cost: cost) {
      for (position, constraint) in indexed.constraints.enumerated() {
        request.take(constraint, asArgument: terms.count + position, wholeList: indexed.use.terms[position].isList)
      }
      plan.index = indexed.use
      rows = indexed.rows
      cost = indexed.cost
    }
    return Choice(plan: plan, cost: cost, rows: max(1, Int64(rows)), isOrdered: isOrdered)
  }

  /// One pass over everything. No alternatives of an OR and no members of an IN are cheaper one by one, since each would cost as much.
  func chooseAll(_ request: IndexRequest) -> Choice {
    let plan = ScanPlan(
      terms: [], order: .byPartition(isDescending: false, offsetsDescending: false), columns: request.columnsUsed)
    return Choice(
      plan: plan, cost: Double(max(1, size.offsets)), rows: max(1, size.offsets), isOrdered: request.orderTerms.isEmpty)
  }

  private struct IndexChoice {
    var use: ScanPlan.IndexUse
    var constraints: [IndexRequest.Constraint]
    var rows: Double
    var cost: Double
  }

  /// The index that makes a scan of so many rows cheapest; nil if none does.
  private func chooseIndex(_ request: IndexRequest, rows: Double, cost: Double) -> IndexChoice? {
    var best: IndexChoice?
    for (number, index) in indexes.enumerated() {
      var choice = IndexChoice(use: .init(number: number, terms: []), constraints: [], rows: rows, cost: cost)
      var share = 1.0
      for constraint in request.constraints where constraint.isUsable && constraint.column == index.column {
        let isValue = index.definition.kind == .values && request.comparesBinary(constraint)
        switch constraint.comparison {
        case .equal where isValue:
          let isList = request.isMembership(constraint)
          choice.use.terms = [.init(comparison: .equal, isList: isList)]
          choice.constraints = [constraint]
          share = isList ? 0.01 : 0.001
        case .less where isValue && share > 0.01, .lessOrEqual where isValue && share > 0.01,
          .greater where isValue && share > 0.01, .greaterOrEqual where isValue && share > 0.01:
          choice.use.terms.append(.init(comparison: constraint.comparison, isList: false))
          choice.constraints.append(constraint)
          share *= 0.2
        case .match where index.definition.kind == .words:
          choice.use.terms = [.init(comparison: .match, isList: false)]
          choice.constraints = [constraint]
          share = 0.005
        default: continue
        }
        if share <= 0.01 { break }
      }
      guard !choice.use.terms.isEmpty else { continue }
      choice.rows = max(1, rows * share)
      // Each file is asked, and each batch that it names is decoded for the sake of a record.
      choice.cost = Double(max(size.segments, partitionCount)) * 15 + choice.rows * 10
      if choice.cost < min(cost, best?.cost ?? cost) { best = choice }
    }
    return best
  }

  /// `wanted` as an order of time; nil if it is none.
  private func timeOrder(_ wanted: [IndexRequest.OrderTerm]) -> TimeOrder? {
    var terms: [TimeOrder.Term] = []
    for term in wanted {
      let key: TimeOrder.Key
      switch TopicColumn(rawValue: term.column) {
      case .timestamp: key = .timestamp
      case .offset: key = .offset
      case .partition: key = .partition
      case .topic: continue
      default: return nil
      }
      terms.append(TimeOrder.Term(key: key, isDescending: term.isDescending))
    }
    return terms.first?.key == .timestamp ? TimeOrder(terms) : nil
  }

  /// The order that serves `wanted`, and whether it is exactly that.
  ///
  /// (partition, offset) tells every row of a topic, so what follows both in an ORDER BY says nothing more.
  private func chooseOrder(
    _ wanted: [IndexRequest.OrderTerm], isOnePartition: Bool, hasLimit: Bool
  ) -> (ScanPlan.Order, isOrdered: Bool) {
    let natural = ScanPlan.Order.byPartition(isDescending: false, offsetsDescending: false)
    let terms = wanted.filter { term in
      let column = TopicColumn(rawValue: term.column)
      // The same in every row that SQLite will let pass.
      return column != .topic && !(column == .partition && isOnePartition)
    }
    guard let first = terms.first else { return (natural, true) }
    let second = terms.dropFirst().first
    switch TopicColumn(rawValue: first.column) {
    case .partition:
      guard let second else { return (.byPartition(isDescending: first.isDescending, offsetsDescending: false), true) }
      guard TopicColumn(rawValue: second.column) == .offset else { return (natural, false) }
      return (.byPartition(isDescending: first.isDescending, offsetsDescending: second.isDescending), true)
    case .rowID:
      guard partitionCount <= Self.mergeWidthMax || hasLimit else { return (natural, false) }
      return (.byOffset(isDescending: first.isDescending, partitionsDescending: first.isDescending), true)
    case .offset:
      if isOnePartition {
        // Merged all the same: a partition that is given as something odd widens the scan to several.
        return (.byOffset(isDescending: first.isDescending, partitionsDescending: false), true)
      }
      guard partitionCount <= Self.mergeWidthMax || hasLimit else { return (natural, false) }
      guard let second else { return (.byOffset(isDescending: first.isDescending, partitionsDescending: false), true) }
      guard TopicColumn(rawValue: second.column) == .partition else { return (natural, false) }
      return (.byOffset(isDescending: first.isDescending, partitionsDescending: second.isDescending), true)
    default: return (natural, false)
    }
  }
}
