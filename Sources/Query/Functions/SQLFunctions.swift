internal import SQLite

/// What this room adds to SQLite's functions.
enum SQLFunctions {
  static func register(on connection: Connection, context: ScanContext, valueBytes: Int) throws(SQLiteError) {
    try TextFunctions.register(on: connection, valueBytes: valueBytes)
    try registerEvents(on: connection, context: context)
  }

  /// Those that SQLite has not: for events.
  static func registerEvents(on connection: Connection, context: ScanContext) throws(SQLiteError) {
    try TimeFunctions.register(on: connection)
    try ValueFunctions.register(on: connection)
    try Percentile.register(on: connection)
    try RegexFunction.register(on: connection, control: context.control)
    try connection.registerTable("hop") { () throws(VirtualTableError) in HopTable(context) }
  }
}
