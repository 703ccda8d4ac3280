internal import SQLite

/// What a door has in its SQL besides topics and what every door has: tables of its own and functions.
public struct SQLAdditions: Sendable {
  public var tables: [RowTable]
  public var functions: [RowFunction]
  public var aggregates: [RowAggregate]

  public init(tables: [RowTable] = [], functions: [RowFunction] = [], aggregates: [RowAggregate] = []) {
    self.tables = tables
    self.functions = functions
    self.aggregates = aggregates
  }

  func register(on connection: Connection, context: ScanContext) throws(SQLiteError) {
    for table in tables {
      try connection.registerTable(table.name) { RowVirtualTable(table, context) }
    }
    for function in functions {
      try connection.registerFunction(
        function.name, argumentCount: function.argumentCount ?? -1, isDeterministic: function.isDeterministic
      ) { (arguments, result) throws(VirtualTableError) in
        let values = (0..<arguments.count).map { SQLParameter(arguments[$0]) }
        do throws(RowFunction.Failure) {
          result.set(try function.body(values))
        } catch { throw .failed(error.message) }
      }
    }
    for aggregate in aggregates {
      try connection.registerAggregate(aggregate.name, argumentCount: -1) { GatheredRows(aggregate) }
    }
  }
}

/// A small table that is made when a statement reads it.
public struct RowTable: Sendable {
  public var name: String
  /// Names, and types as SQL declares them.
  public var columns: [(name: String, type: String)]
  /// Names of what the table is called with, `name(x, y)`; hidden columns.
  public var arguments: [String]
  /// All rows, each with a value for each column; called with the arguments, NULL for one that was not given.
  public var rows: @Sendable ([SQLParameter]) throws(RowFunction.Failure) -> [[SQLParameter]]

  public init(
    name: String, columns: [(name: String, type: String)], arguments: [String] = [],
    rows: @escaping @Sendable ([SQLParameter]) throws(RowFunction.Failure) -> [[SQLParameter]]
  ) {
    self.name = name
    self.columns = columns
    self.arguments = arguments
    self.rows = rows
  }
}

/// A function of values.
public struct RowFunction: Sendable {
  /// Ends the statement with this sentence.
  public struct Failure: Error {
    public var message: String
    public init(_ message: String) { self.message = message }
  }

  public var name: String
  /// Nil: any number.
  public var argumentCount: Int?
  public var isDeterministic: Bool
  public var body: @Sendable ([SQLParameter]) throws(Failure) -> SQLParameter

  public init(
    _ name: String, argumentCount: Int?, isDeterministic: Bool = true,
    _ body: @escaping @Sendable ([SQLParameter]) throws(Failure) -> SQLParameter
  ) {
    self.name = name
    self.argumentCount = argumentCount
    self.isDeterministic = isDeterministic
    self.body = body
  }
}

/// A function of all rows of a group.
public struct RowAggregate: Sendable {
  /// What the arguments of one group may take in memory, about.
  public static let bytesMax = 16 << 20

  public var name: String
  /// Called with the arguments of each row, in the order they came.
  public var body: @Sendable ([[SQLParameter]]) throws(RowFunction.Failure) -> SQLParameter

  public init(
    _ name: String, _ body: @escaping @Sendable ([[SQLParameter]]) throws(RowFunction.Failure) -> SQLParameter
  ) {
    self.name = name
    self.body = body
  }
}

/// One group of an aggregate.
private final class GatheredRows: AggregateState {
  private let aggregate: RowAggregate
  private var rows: [[SQLParameter]] = []
  private var bytes = 0

  init(_ aggregate: RowAggregate) { self.aggregate = aggregate }

  func step(_ arguments: FunctionArguments) throws(VirtualTableError) {
    let row = (0..<arguments.count).map { SQLParameter(arguments[$0]) }
    bytes += row.reduce(64) { $0 + $1.byteCount }
    guard bytes <= RowAggregate.bytesMax else {
      throw .failed("\(aggregate.name) of more than \(RowAggregate.bytesMax) bytes is out of range")
    }
    rows.append(row)
  }

  func finish(into result: ResultContext) throws(VirtualTableError) {
    do throws(RowFunction.Failure) {
      result.set(try aggregate.body(rows))
    } catch { throw .failed(error.message) }
  }
}

extension SQLParameter {
  /// About what it takes in memory.
  fileprivate var byteCount: Int {
    switch self {
    case .null, .integer, .real: 24
    case .text(let text): 24 + text.utf8.count
    case .blob(let bytes): 24 + bytes.count
    }
  }

  init(_ value: ArgumentValue) {
    switch value.kind {
    case .null: self = .null
    case .integer: self = .integer(value.int64)
    case .real: self = .real(value.double)
    case .text: self = .text(value.withBytes { String(decoding: $0, as: UTF8.self) })
    case .blob: self = .blob(value.withBytes { [UInt8]($0) })
    }
  }
}

extension ResultContext {
  func set(_ value: SQLParameter) {
    switch value {
    case .null: setNull()
    case .integer(let value): set(value)
    case .real(let value): set(value)
    case .text(let value): setText(value)
    case .blob(let value): value.withUnsafeBytes { setBlob($0) }
    }
  }
}
