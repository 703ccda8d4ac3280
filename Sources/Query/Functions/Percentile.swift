internal import SQLite

/// `percentile(x, p)` and `median(x)`: exact, between two values by linear interpolation, NULLs left out.
///
/// All values of a group are kept, so what the groups of one statement keep together is bounded.
final class Percentile: AggregateState {
  /// Values that all groups of a session may keep, 8 bytes each: 128 MiB.
  static let valuesMax = 16 << 20

  /// What is kept by all groups of a session.
  final class Budget {
    var used = 0
  }

  private let budget: Budget
  /// Nil: it is the second argument, the same in every row.
  private var percent: Double?
  private var values: [Double] = []

  init(percent: Double?, budget: Budget) {
    self.percent = percent
    self.budget = budget
  }

  deinit { budget.used -= values.count }

  func step(_ arguments: FunctionArguments) throws(VirtualTableError) {
    if arguments.count > 1 {
      let given = arguments[1].withNumericAffinity { $0.kind == .integer || $0.kind == .real ? $0.double : nil }
      guard let given, (0...100).contains(given) else { throw .failed("percentile: its second argument is from 0 to 100") }
      if let percent, percent != given { throw .failed("percentile: its second argument is the same in all rows") }
      percent = given
    }
    switch arguments[0].kind {
    case .null: return
    case .blob: throw .failed("percentile: a blob is no number")
    case .integer, .real, .text:
      let number = arguments[0].withNumericAffinity { $0.kind == .text ? nil : $0.double }
      guard let number else { throw .failed("percentile: a text is no number") }
      guard budget.used < Self.valuesMax else {
        throw .failed("percentile and median keep at most \(Self.valuesMax) values: ask for a part of them")
      }
      budget.used += 1
      values.append(number)
    }
  }

  func finish(into result: ResultContext) throws(VirtualTableError) {
    guard !values.isEmpty, let percent else { return result.setNull() }
    let place = percent / 100 * Double(values.count - 1)
    let below = Int(place.rounded(.down))
    // Not a selection: that is quadratic where somebody has chosen the values for it.
    values.sort()
    let low = values[below]
    let fraction = place - Double(below)
    result.set(fraction == 0 ? low : low + (values[below + 1] - low) * fraction)
  }

  static func register(on connection: Connection) throws(SQLiteError) {
    let budget = Budget()
    try connection.registerAggregate("percentile", argumentCount: 2) { Percentile(percent: nil, budget: budget) }
    try connection.registerAggregate("median", argumentCount: 1) { Percentile(percent: 50, budget: budget) }
  }
}
