internal import CSQLite

/// What SQLite wants to know of a virtual table and what the table offers (sqlite3_index_info); valid during `plan` only.
public struct IndexRequest {
  let raw: UnsafeMutablePointer<sqlite3_index_info>

  public enum Operator: Sendable { case equal, less, lessOrEqual, greater, greaterOrEqual, match, limit, offset, other }

  public struct Constraint {
    /// Which of the request's constraints this is.
    public let index: Int
    /// The column's number; -1 is the row id. Without meaning for `limit` and `offset`.
    public let column: Int
    public let comparison: Operator
    /// The right side is known when the scan begins.
    public let isUsable: Bool
  }

  public struct OrderTerm {
    public let column: Int
    public let isDescending: Bool
  }

  public var constraints: [Constraint] {
    (0..<Int(raw.pointee.nConstraint)).map { i in
      let constraint = raw.pointee.aConstraint[i]
      let comparison: Operator =
        switch Int32(constraint.op) {
        case SQLITE_INDEX_CONSTRAINT_EQ: .equal
        case SQLITE_INDEX_CONSTRAINT_LT: .less
        case SQLITE_INDEX_CONSTRAINT_LE: .lessOrEqual
        case SQLITE_INDEX_CONSTRAINT_GT: .greater
        case SQLITE_INDEX_CONSTRAINT_GE: .greaterOrEqual
        case SQLITE_INDEX_CONSTRAINT_MATCH: .match
        case SQLITE_INDEX_CONSTRAINT_LIMIT: .limit
        case SQLITE_INDEX_CONSTRAINT_OFFSET: .offset
        default: .other
        }
      return Constraint(
        index: i, column: Int(constraint.iColumn), comparison: comparison, isUsable: constraint.usable != 0)
    }
  }

  public var orderTerms: [OrderTerm] {
    (0..<Int(raw.pointee.nOrderBy)).map {
      OrderTerm(column: Int(raw.pointee.aOrderBy[$0].iColumn), isDescending: raw.pointee.aOrderBy[$0].desc != 0)
    }
  }

  /// `orderTerms` are an ORDER BY; otherwise rows that are equal in them need only be next to each other, or be one.
  public var wantsRowsInOrder: Bool { sqlite3_vtab_distinct(raw) == 0 }

  /// Bit i: column i is asked for; the highest stands for all columns from 63 on.
  public var columnsUsed: UInt64 { raw.pointee.colUsed }

  /// The constraint compares byte by byte (its collation is BINARY).
  public func comparesBinary(_ constraint: Constraint) -> Bool {
    guard let name = sqlite3_vtab_collation(raw, CInt(constraint.index)) else { return false }
    return String(cString: name).uppercased() == "BINARY"
  }

  /// The constraint is `column IN (…)` and can be had as one argument, not as a scan for each member.
  public func isMembership(_ constraint: Constraint) -> Bool {
    sqlite3_vtab_in(raw, CInt(constraint.index), -1) != 0
  }

  /// Takes the right side of `constraint` as argument number `position` (from 0) of the filter.
  /// - Parameter isExact: the table's rows satisfy it; otherwise SQLite still checks each row.
  public func take(_ constraint: Constraint, asArgument position: Int, wholeList: Bool, isExact: Bool = false) {
    if wholeList { _ = sqlite3_vtab_in(raw, CInt(constraint.index), 1) }
    raw.pointee.aConstraintUsage[constraint.index].argvIndex = CInt(position + 1)
    raw.pointee.aConstraintUsage[constraint.index].omit = isExact ? 1 : 0
  }

  /// Calls `body` with the right side of `constraint` if it is a constant of the statement.
  public func withConstant<R>(of constraint: Constraint, _ body: (ArgumentValue) -> R) -> R? {
    var value: OpaquePointer?
    guard sqlite3_vtab_rhs_value(raw, CInt(constraint.index), &value) == SQLITE_OK, let value else { return nil }
    return body(ArgumentValue(raw: value))
  }

  /// Says what was chosen.
  /// - Parameters:
  ///   - plan: comes back in the cursor's `filter`.
  ///   - description: what EXPLAIN QUERY PLAN shows.
  ///   - cost: in reads of one row.
  ///   - isOrdered: the rows come in the order of `orderTerms`.
  public func choose(plan: Int, description: String, cost: Double, rows: Int64, isOrdered: Bool) {
    raw.pointee.idxNum = CInt(truncatingIfNeeded: plan)
    raw.pointee.idxStr = csqlite_copy_text(description)
    raw.pointee.needToFreeIdxStr = 1
    raw.pointee.estimatedCost = cost
    raw.pointee.estimatedRows = rows
    raw.pointee.orderByConsumed = isOrdered ? 1 : 0
  }
}
