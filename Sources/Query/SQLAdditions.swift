internal import SQLite

/// What a door has in its SQL besides topics and what every door has: tables of its own and functions.
public struct SQLAdditions: Sendable {
  public var tables: [RowTable]
  public var functions: [RowFunction]

  public init(tables: [RowTable] = [], functions: [RowFunction] = []) {
    self.tables = tables
    self.functions = functions
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
  public var rows: @Sendable ([SQLParameter]) -> [[SQLParameter]]

  public init(
    name: String, columns: [(name: String, type: String)], arguments: [String] = [],
    rows: @escaping @Sendable ([SQLParameter]) -> [[SQLParameter]]
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

extension SQLParameter {
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
