internal import SQLite

/// A value of a row that comes from the program rather than from a topic.
public typealias SQLValue = SQLParameter

/// A table of SQL whose rows the program knows: made for one session, used by its thread.
public struct SystemTable {
  public struct Column: Sendable {
    public enum Kind: String, Sendable { case integer = "INTEGER", real = "REAL", text = "TEXT", any = "" }
    public var name: String
    public var kind: Kind
    /// `rows` is told where a statement asks for one value of it.
    public var isKey: Bool

    public init(_ name: String, _ kind: Kind, isKey: Bool = false) {
      self.name = name
      self.kind = kind
      self.isKey = isKey
    }
  }

  public var name: String
  public var columns: [Column]
  /// The table's rows. It may leave out those that the request does not ask for; SQLite checks each again.
  public var rows: (SystemRequest) throws(HistoryError) -> any SystemRows

  public init(
    _ name: String, _ columns: [Column], rows: @escaping (SystemRequest) throws(HistoryError) -> any SystemRows
  ) {
    self.name = name
    self.columns = columns
    self.rows = rows
  }

  /// - Parameter rows: small enough to be made at once.
  public init(
    _ name: String, _ columns: [Column], all rows: @escaping (SystemRequest) throws(HistoryError) -> [[SQLValue]]
  ) {
    self.init(name, columns) { (request) throws(HistoryError) in ListedRows(try rows(request)) }
  }
}

/// What is asked of a system table.
public struct SystemRequest {
  /// Values that key columns must have, by name.
  public var equals: [String: SQLValue] = [:]
  /// Bit i: column i is asked for.
  public var columns: UInt64 = .max
  public var control: ScanControl

  public init(control: ScanControl) { self.control = control }

  /// The text that `column` must have; nil if it may be any.
  public func text(_ column: String) -> String? {
    if case .text(let text) = equals[column] { text } else { nil }
  }
  public func integer(_ column: String) -> Int64? {
    if case .integer(let number) = equals[column] { number } else { nil }
  }
}

/// Rows one after the other.
public protocol SystemRows: AnyObject {
  /// As many values as the table has columns; nil at the end.
  func next() throws(HistoryError) -> [SQLValue]?
}

final class ListedRows: SystemRows {
  private var rows: ArraySlice<[SQLValue]>
  init(_ rows: [[SQLValue]]) { self.rows = rows[...] }
  func next() -> [SQLValue]? { rows.popFirst() }
}

/// A system table to SQLite.
final class SystemVirtualTable: VirtualTable {
  let table: SystemTable
  let context: ScanContext
  /// What was chosen so far: the key columns whose values a filter gets, and the columns asked for.
  private(set) var plans: [Plan] = []

  struct Plan: Hashable {
    var keys: [Int]
    var columns: UInt64
  }

  init(_ table: SystemTable, _ context: ScanContext) {
    self.table = table
    self.context = context
  }

  override var declaration: String {
    let columns = table.columns.map { "\"\($0.name.replacing("\"", with: "\"\""))\" \($0.kind.rawValue)" }
    return "CREATE TABLE x(\(columns.joined(separator: ", ")))"
  }

  override func aroundDeclaration(_ declare: () -> CInt) -> CInt { context.whileDeclaring(declare) }

  override func plan(_ request: IndexRequest) throws(VirtualTableError) {
    if context.isOver { throw .interrupted }
    var plan = Plan(keys: [], columns: request.columnsUsed)
    for constraint in request.constraints where constraint.isUsable && constraint.comparison == .equal {
      guard table.columns.indices.contains(constraint.column), table.columns[constraint.column].isKey,
        table.columns[constraint.column].kind == .integer || request.comparesBinary(constraint)
      else { continue }
      request.take(constraint, asArgument: plan.keys.count, wholeList: false)
      plan.keys.append(constraint.column)
    }
    let number = plans.firstIndex(of: plan) ?? plans.count
    if number == plans.count { plans.append(plan) }
    let words = plan.keys.isEmpty ? "all" : plan.keys.map { "\(table.columns[$0].name)=?" }.joined(separator: ", ")
    let rows = max(1, 10_000 >> (3 * plan.keys.count))
    request.choose(plan: number, description: words, cost: Double(rows) * 10, rows: Int64(rows), isOrdered: false)
  }

  override func makeCursor() throws(VirtualTableError) -> VirtualTableCursor { SystemCursor(self) }
}

final class SystemCursor: VirtualTableCursor {
  private let table: SystemVirtualTable
  private var rows: (any SystemRows)?
  private var row: [SQLValue] = []
  private var number: Int64 = 0

  init(_ table: SystemVirtualTable) { self.table = table }

  override func filter(plan number: Int, arguments: FilterArguments) throws(VirtualTableError) {
    let plan = table.plans[number]
    var request = SystemRequest(control: table.context.control)
    request.columns = plan.columns
    rows = nil
    isAtEnd = true
    self.number = 0
    for (i, key) in plan.keys.enumerated() {
      let column = table.table.columns[key]
      switch arguments[i].kind {
      case .null: return
      // Values of another type than the column's are SQLite's to judge.
      case .integer where column.kind == .integer: request.equals[column.name] = .integer(arguments[i].int64)
      case .text where column.kind == .text:
        request.equals[column.name] = .text(arguments[i].withBytes { String(decoding: $0, as: UTF8.self) })
      default: break
      }
    }
    do throws(HistoryError) { rows = try table.table.rows(request) } catch { throw table.context.failing(error) }
    try next()
  }

  override func next() throws(VirtualTableError) {
    do throws(HistoryError) {
      if number & 1023 == 0 { try table.context.control.check() }
      guard let next = try rows?.next() else {
        isAtEnd = true
        return
      }
      row = next
      number += 1
      isAtEnd = false
    } catch { throw table.context.failing(error) }
  }

  override func column(_ index: Int, into result: ResultContext) throws(VirtualTableError) {
    guard row.indices.contains(index) else { return result.setNull() }
    result.set(row[index])
  }

  override var rowID: Int64 { number }
}

extension ScanContext {
  /// Notes why a scan ends, for when SQLite has made an error of its own of it.
  func failing(_ error: HistoryError) -> VirtualTableError {
    failure = error
    return error.reason == .cancelled || error.reason == .tooSlow ? .interrupted : .failed(error.message)
  }
}
