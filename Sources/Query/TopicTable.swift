internal import SQLite

/// One topic as a table.
final class TopicTable: VirtualTable {
  let topic: String
  /// Positions of the topic's partitions in the source, ascending by partition.
  let partitions: [Int]
  let context: ScanContext
  private let planner: ScanPlanner
  /// What was chosen so far; a plan's position is its number for SQLite.
  private(set) var plans: [ScanPlan] = []

  init(topic: String, partitions: [Int], context: ScanContext) {
    self.topic = topic
    self.partitions = partitions
    self.context = context
    let records = partitions.reduce(Int64(0)) { $0.addingSaturating(context.source.partitions[$1].offsetCount) }
    planner = ScanPlanner(partitionCount: partitions.count, recordCount: records)
  }

  override var declaration: String { TopicColumn.declaration }

  override func aroundDeclaration(_ declare: () -> CInt) -> CInt {
    context.isDeclaring = true
    defer { context.isDeclaring = false }
    return declare()
  }

  override func plan(_ request: IndexRequest) throws(VirtualTableError) {
    let choice = planner.choose(request)
    let number = plans.firstIndex(of: choice.plan) ?? plans.count
    if number == plans.count { plans.append(choice.plan) }
    request.choose(
      plan: number, description: choice.plan.description, cost: choice.cost, rows: choice.rows, isOrdered: choice.isOrdered)
  }

  override func makeCursor() throws(VirtualTableError) -> VirtualTableCursor { try TopicCursor(self) }
}

extension Int64 {
  func addingSaturating(_ other: Int64) -> Int64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? (other > 0 ? .max : .min) : sum
  }
}
