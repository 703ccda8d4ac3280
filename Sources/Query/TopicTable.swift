internal import Indexes
internal import Model
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
  fileprivate let planner: ScanPlanner
  private var match: TableFunction?
  /// The columns behind those that every topic has.
  fileprivate let declared: [DeclaredColumn]
  fileprivate var expressions: [Int: ColumnExpression] = [:]
  /// What was chosen so far; a plan's position is its number for SQLite.
  private(set) var plans: [ScanPlan] = []

  /// - Parameters:
  ///   - size: as it is now; the cut comes later.
  ///   - columns: what is declared for the topic.
  init(topic: String, size: TopicSize, columns: [DeclaredColumn], cuts: any TopicCutting, context: ScanContext) {
    self.topic = topic
    declared = columns.filter { $0.definition != nil }
    self.context = context
    self.cuts = cuts
    planner = ScanPlanner(size, TableIndex.all(of: columns))
  }

  override var declaration: String { TopicColumn.declaration(of: declared) }

  override func aroundDeclaration(_ declare: () -> CInt) -> CInt { context.whileDeclaring(declare) }

  override func plan(_ request: IndexRequest) throws(VirtualTableError) {
    if context.isOver { throw .interrupted }
    for constraint in request.constraints where constraint.comparison == .match {
      if planner.indexes.contains(where: { $0.column == constraint.column && $0.definition.kind == .words }) { continue }
      throw .failed(Self.noWords(of: name(ofColumn: constraint.column), topic))
    }
    // A plan that outlives the cut it was made for must also be right once the topic has more partitions.
    let planner = cuts.currentSize(of: topic).map { ScanPlanner($0, self.planner.indexes, mayGrow: true) } ?? planner
    let choice = context.needsOnePass ? planner.chooseAll(request) : planner.choose(request)
    if !request.orderTerms.isEmpty || request.constraints.contains(where: { $0.comparison == .limit }) {
      context.wantsOrderOrLimit = true
    }
    let number = plans.firstIndex(of: choice.plan) ?? plans.count
    if number == plans.count { plans.append(choice.plan) }
    let estimate = context.explanation?.words(for: ScanBounds(constantsOf: request), topic) { () throws(HistoryError) in
      try cuts.cutToExplain(topic)
    }
    request.choose(
      plan: number, description: choice.plan.description(of: planner.size, planner.indexes, estimate: estimate),
      cost: choice.cost, rows: choice.rows, isOrdered: choice.isOrdered)
  }

  /// `column MATCH words`, for whatever record: what an index has found, and what it does not cover, are judged alike.
  override func function(_ name: String, argumentCount: Int) -> TableFunction? {
    guard name.lowercased() == "match", argumentCount == 2 else { return nil }
    if let match { return match }
    let hasWords = planner.indexes.contains { $0.definition.kind == .words }
    let made = TableFunction { [context, topic] (arguments, result) throws(VirtualTableError) in
      guard hasWords else { throw .failed(Self.noWords(of: nil, topic)) }
      guard arguments[0].kind != .null, arguments[1].kind != .null else { return result.setNull() }
      result.set(Int64(try context.textMatch().matches(arguments[0], arguments[1]) ? 1 : 0))
    }
    match = made
    return made
  }

  private static func noWords(of column: String?, _ topic: String) -> String {
    let subject = column.map { "the column \($0) of topic \(topic)" } ?? "topic \(topic)"
    return "MATCH needs a fulltext index, and \(subject) has none: quire column add … --fulltext"
  }

  override func makeCursor() throws(VirtualTableError) -> VirtualTableCursor {
    let cut: Cut
    do throws(HistoryError) { cut = try cuts.cut(of: topic) } catch { throw context.failing(error) }
    let cursor = try TopicCursor(self, cut)
    context.cursor = cursor
    return cursor
  }
}

extension TopicTable {
  /// The declared column at `index`, ready to be evaluated.
  func expression(_ index: Int) throws(VirtualTableError) -> ColumnExpression {
    if let known = expressions[index] { return known }
    let column = declared[index]
    let made: ColumnExpression
    do throws(ColumnRefusal) { made = try context.columnEvaluation().compile(column) } catch {
      throw .failed("the column \(column.name) of topic \(topic) cannot be computed: \(error.message)")
    }
    expressions[index] = made
    return made
  }

  fileprivate func name(ofColumn index: Int) -> String {
    if TopicColumn.names.indices.contains(index) { return TopicColumn.names[index] }
    let place = index - TopicColumn.count
    return declared.indices.contains(place) ? declared[place].name : topic
  }

  /// What a plan asks of its index; nil to scan.
  func lookup(of plan: ScanPlan, _ arguments: FilterArguments) throws(VirtualTableError) -> IndexLookup? {
    guard let use = plan.index else { return nil }
    let index = planner.indexes[use.number]
    let probe = try index.probe(use.terms) { arguments[plan.terms.count + $0] }
    // Before any file is asked: what is wrong with the question is no damage of theirs.
    if case .words(let words) = probe { try context.textMatch().check(words) }
    return probe.map { IndexLookup(definition: index.definition, probe: $0) }
  }

  /// The columns that records must have for `columns` to be told.
  func inputs(of columns: UInt64) throws(VirtualTableError) -> UInt64 {
    var inputs = columns & TopicColumn.all
    for index in declared.indices where columns & 1 << UInt64(TopicColumn.count + index) != 0 {
      inputs |= try expression(index).inputs
    }
    return inputs
  }
}

extension Int64 {
  func addingSaturating(_ other: Int64) -> Int64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? (other > 0 ? .max : .min) : sum
  }
}
