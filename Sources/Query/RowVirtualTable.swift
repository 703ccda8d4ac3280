internal import SQLite

/// A `RowTable` as SQLite sees it. Equality on a column is answered by a hash of that column, so that joins of catalogues do not
/// take the product of their tables.
final class RowVirtualTable: VirtualTable {
  let table: RowTable
  private let context: ScanContext
  /// What the arguments of a plan are: columns, the hidden ones behind the others. A plan's position is its number.
  private(set) var plans: [[Int]] = [[]]
  private var rowsWithoutArguments: [[SQLParameter]]?
  private var indexes: [Int: [SQLParameter: [Int]]] = [:]

  init(_ table: RowTable, _ context: ScanContext) {
    self.table = table
    self.context = context
  }

  override var declaration: String {
    let columns = table.columns.map { "\"\($0.name)\" \($0.type)" } + table.arguments.map { "\"\($0)\" HIDDEN" }
    return "CREATE TABLE x(\(columns.joined(separator: ", ")))"
  }

  override func aroundDeclaration(_ declare: () -> CInt) -> CInt { context.whileDeclaring(declare) }

  override func plan(_ request: IndexRequest) throws(VirtualTableError) {
    let columnCount = table.columns.count
    var terms: [Int] = []
    let equalities = request.constraints.filter { $0.comparison == .equal && $0.column >= 0 }
    for constraint in equalities where constraint.column >= columnCount {
      // Without its arguments there is nothing to read: another order of the join has them.
      guard constraint.isUsable else { throw .notPossible }
      request.take(constraint, asArgument: terms.count, wholeList: false)
      terms.append(constraint.column)
    }
    let looksUp = equalities.first { $0.isUsable && $0.column < columnCount && request.comparesBinary($0) }
    if table.arguments.isEmpty, let looksUp {
      request.take(looksUp, asArgument: 0, wholeList: false)
      terms = [looksUp.column]
    }
    let number = plans.firstIndex(of: terms) ?? plans.count
    if number == plans.count { plans.append(terms) }
    let isNarrow = !terms.isEmpty
    request.choose(
      plan: number, description: terms.map(name(of:)).joined(separator: ","), cost: isNarrow ? 10 : 10_000,
      rows: isNarrow ? 5 : 1000, isOrdered: false)
  }

  private func name(of column: Int) -> String {
    column < table.columns.count ? table.columns[column].name : table.arguments[column - table.columns.count]
  }

  /// All rows, and which of them may fit.
  func rows(
    plan: Int, arguments: FilterArguments
  ) throws(RowFunction.Failure) -> (all: [[SQLParameter]], chosen: [Int]?) {
    let terms = plans[plan]
    guard table.arguments.isEmpty else {
      var given = Array(repeating: SQLParameter.null, count: table.arguments.count)
      for (i, term) in terms.enumerated() { given[term - table.columns.count] = SQLParameter(arguments[i]) }
      return (try table.rows(given), nil)
    }
    let all: [[SQLParameter]]
    if let rowsWithoutArguments { all = rowsWithoutArguments } else { all = try table.rows([]) }
    rowsWithoutArguments = all
    guard let column = terms.first else { return (all, nil) }
    let index = indexes[column] ?? Dictionary(grouping: all.indices) { Self.comparable(all[$0][column]) }
    indexes[column] = index
    // Equal by affinity are a number and its text: both are looked for, and SQLite checks again.
    let wanted = SQLParameter(arguments[0])
    let other = arguments[0].withNumericAffinity { SQLParameter($0) }
    var chosen = index[Self.comparable(wanted)] ?? []
    for alternative in [Self.comparable(other), Self.asText(wanted)] where alternative != Self.comparable(wanted) {
      chosen += index[alternative] ?? []
    }
    return (all, Array(Set(chosen)).sorted())
  }

  private static func comparable(_ value: SQLParameter) -> SQLParameter {
    if case .real(let number) = value, let whole = Int64(exactly: number) { return .integer(whole) }
    return value
  }

  private static func asText(_ value: SQLParameter) -> SQLParameter {
    if case .integer(let number) = value { return .text(String(number)) }
    return value
  }

  override func makeCursor() throws(VirtualTableError) -> VirtualTableCursor { RowCursor(self) }
}

private final class RowCursor: VirtualTableCursor {
  private let table: RowVirtualTable
  private var all: [[SQLParameter]] = []
  private var chosen: [Int]?
  private var position = 0

  init(_ table: RowVirtualTable) { self.table = table }

  private var count: Int { chosen?.count ?? all.count }
  private var index: Int { chosen?[position] ?? position }

  override func filter(plan: Int, arguments: FilterArguments) throws(VirtualTableError) {
    do throws(RowFunction.Failure) {
      (all, chosen) = try table.rows(plan: plan, arguments: arguments)
    } catch { throw .failed(error.message) }
    position = 0
    given = (0..<arguments.count).map { SQLParameter(arguments[$0]) }
    terms = table.plans[plan]
    isAtEnd = count == 0
  }

  private var given: [SQLParameter] = []
  private var terms: [Int] = []

  override func next() throws(VirtualTableError) {
    position += 1
    isAtEnd = position >= count
  }

  override func column(_ column: Int, into result: ResultContext) throws(VirtualTableError) {
    guard column >= table.table.columns.count else { return result.set(all[index][column]) }
    guard let place = terms.firstIndex(of: column) else { return result.setNull() }
    result.set(given[place])
  }

  override var rowID: Int64 { Int64(index) }
}
