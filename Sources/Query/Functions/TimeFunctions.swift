internal import SQLite

/// Functions of times: `tumble`, `time_bucket`, `from_iso`, `to_iso`.
enum TimeFunctions {
  static func register(on connection: Connection) throws(SQLiteError) {
    try connection.registerFunction("tumble", argumentCount: 2) { (arguments, result) throws(VirtualTableError) in
      try bucket(arguments[0], arguments[1], nil, "tumble", result)
    }
    // The order of arguments that people know from TimescaleDB.
    for count in [2, 3] {
      try connection.registerFunction("time_bucket", argumentCount: count) { (arguments, result) throws(VirtualTableError) in
        try bucket(arguments[1], arguments[0], count == 3 ? arguments[2] : nil, "time_bucket", result)
      }
    }
    try connection.registerFunction("from_iso", argumentCount: 1) { (arguments, result) throws(VirtualTableError) in
      guard arguments[0].kind == .text, let time = arguments[0].milliseconds else { return result.setNull() }
      result.set(time)
    }
    try connection.registerFunction("to_iso", argumentCount: 1) { (arguments, result) throws(VirtualTableError) in
      guard let time = arguments[0].milliseconds else { return result.setNull() }
      TimeText.set(time, in: result)
    }
  }

  private static func bucket(
    _ time: ArgumentValue, _ width: ArgumentValue, _ origin: ArgumentValue?, _ function: String, _ result: ResultContext
  ) throws(VirtualTableError) {
    if width.kind == .null { return result.setNull() }
    let width = try TimeWidth(width, of: function)
    if let origin, origin.milliseconds == nil { return result.setNull() }
    guard let time = time.milliseconds, let start = width.start(of: time, origin: origin?.milliseconds) else {
      return result.setNull()
    }
    result.set(start)
  }
}

/// `hop(time, size, step)` as a table: one row for each window of the size, begun every step, that holds the time.
final class HopTable: VirtualTable {
  /// Windows that one time lies in.
  static let windowsMax: Int64 = 100_000

  override var declaration: String {
    "CREATE TABLE x(window_start INTEGER, window_end INTEGER, time HIDDEN, size HIDDEN, step HIDDEN)"
  }
  private let context: ScanContext

  init(_ context: ScanContext) { self.context = context }

  override func aroundDeclaration(_ declare: () -> CInt) -> CInt { context.whileDeclaring(declare) }

  override func plan(_ request: IndexRequest) throws(VirtualTableError) {
    // Which of the three arguments the plan's number says has come: all of them, or nothing can be said.
    var taken = 0
    for column in 2...4 {
      let constraint = request.constraints.first { $0.column == column && $0.comparison == .equal }
      guard let constraint else { throw .failed("hop takes three arguments: hop(timestamp, size, step)") }
      guard constraint.isUsable else {
        return request.choose(plan: 0, description: "not without its arguments", cost: 1e30, rows: 1 << 40, isOrdered: false)
      }
      request.take(constraint, asArgument: taken, wholeList: false, isExact: true)
      taken += 1
    }
    request.choose(plan: 1, description: "windows of a time", cost: 5, rows: 5, isOrdered: false)
  }

  override func makeCursor() throws(VirtualTableError) -> VirtualTableCursor { HopCursor() }
}

private final class HopCursor: VirtualTableCursor {
  private var start: Int64 = 0
  private var size: Int64 = 1
  private var step: Int64 = 1
  private var last: Int64 = 0

  override func filter(plan: Int, arguments: FilterArguments) throws(VirtualTableError) {
    isAtEnd = true
    guard plan == 1 else { throw .failed("hop takes three arguments: hop(timestamp, size, step)") }
    guard arguments[1].kind != .null, arguments[2].kind != .null else { return }
    let size = try TimeWidth(arguments[1], of: "hop")
    let step = try TimeWidth(arguments[2], of: "hop")
    guard size.milliseconds / step.milliseconds < HopTable.windowsMax else {
      throw .failed("hop: a time would lie in more than \(HopTable.windowsMax) windows")
    }
    guard let time = arguments[0].milliseconds, let newest = step.start(of: time) else { return }
    last = newest
    self.size = size.milliseconds
    self.step = step.milliseconds
    // The oldest window that still holds the time: the first start behind time - size.
    let (reach, overflow) = time.subtractingReportingOverflow(size.milliseconds)
    guard !overflow, let before = step.start(of: reach) else { return }
    start = before.addingSaturating(step.milliseconds)
    isAtEnd = start > last
  }

  override func next() throws(VirtualTableError) {
    let (following, overflow) = start.addingReportingOverflow(step)
    start = following
    isAtEnd = overflow || following > last
  }

  override func column(_ index: Int, into result: ResultContext) throws(VirtualTableError) {
    switch index {
    case 0: result.set(start)
    case 1: result.set(start.addingSaturating(size))
    default: result.setNull()
    }
  }

  override var rowID: Int64 { start }
}
