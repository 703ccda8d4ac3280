internal import SQLite

/// One topic as a table.
final class TopicTable: VirtualTable {
  /// What is read: the topic's part of a cut.
  struct Cut {
    var source: any HistorySource
    /// Positions of the topic's partitions in the source, ascending by partition.
    var partitions: [Int]
  }

  let topic: String
  let context: ScanContext
  private let cuts: any TopicCutting
  private let planner: ScanPlanner
  /// What was chosen so far; a plan's position is its number for SQLite.
  private(set) var plans: [ScanPlan] = []

  /// - Parameter size: as it is now; the cut comes later.
  init(topic: String, size: TopicSize, cuts: any TopicCutting, context: ScanContext) {
    self.topic = topic
    self.context = context
    self.cuts = cuts
    planner = ScanPlanner(size)
  }

  override var declaration: String { TopicColumn.declaration }

  override func aroundDeclaration(_ declare: () -> CInt) -> CInt { context.whileDeclaring(declare) }

  override func plan(_ request: IndexRequest) throws(VirtualTableError) {
    if context.isOver { throw .interrupted }
    // A plan that outlives the cut it was made for must also be right once the topic has more partitions.
    let planner = cuts.currentSize(of: topic).map { ScanPlanner($0, mayGrow: true) } ?? planner
    let choice = planner.choose(request)
    if !request.orderTerms.isEmpty || request.constraints.contains(where: { $0.comparison == .limit }) {
      context.wantsOrderOrLimit = true
    }
    let number = plans.firstIndex(of: choice.plan) ?? plans.count
    if number == plans.count { plans.append(choice.plan) }
    request.choose(
      plan: number, description: choice.plan.description(of: planner.size), cost: choice.cost, rows: choice.rows,
      isOrdered: choice.isOrdered)
  }

  override func makeCursor() throws(VirtualTableError) -> VirtualTableCursor {
    let cut: Cut
    do throws(HistoryError) { cut = try cuts.cut(of: topic) } catch { throw context.failing(error) }
    let cursor = try TopicCursor(self, cut)
    context.cursor = cursor
    return cursor
  }
}

extension Int64 {
  func addingSaturating(_ other: Int64) -> Int64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? (other > 0 ? .max : .min) : sum
  }
}
