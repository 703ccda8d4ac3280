internal import CSQLite

/// Why a virtual table could not do what SQLite asked; it ends the statement, whose error carries this code and message.
public struct VirtualTableError: Error, Sendable {
  /// A result code of SQLite's, primary or extended.
  public var code: CInt
  public var message: String

  public init(code: CInt, message: String) {
    self.code = code
    self.message = message
  }

  /// A plain error (SQLITE_ERROR) with a message.
  public static func failed(_ message: String) -> VirtualTableError { .init(code: SQLITE_ERROR, message: message) }
  /// This plan cannot be carried out (SQLITE_CONSTRAINT): another one is asked for.
  public static let notPossible = VirtualTableError(code: SQLITE_CONSTRAINT, message: "not without its arguments")
  /// A value is longer than it may be (SQLITE_TOOBIG).
  public static let tooBig = VirtualTableError(code: SQLITE_TOOBIG, message: "string or blob too big")
  /// The statement was asked to stop (SQLITE_INTERRUPT).
  public static let interrupted = VirtualTableError(code: SQLITE_INTERRUPT, message: "interrupted")
}

/// A table whose rows come from Swift: subclass it, with a subclass of `VirtualTableCursor`, and register a maker of it on a
/// connection under the table's name.
///
/// Classes and overriding, where the rest of the program has values and generics, because SQLite calls back through C functions,
/// which cannot be generic: one table of functions serves every subclass at the price of a virtual call.
/// Everything happens on the thread that steps the connection.
open class VirtualTable {
  public init() {}

  /// The columns as SQL: `CREATE TABLE x(offset INTEGER, …)`; the name in it is ignored. Read once, when the table is connected.
  open var declaration: String { preconditionFailure("a virtual table declares its columns") }

  /// Calls `declare`, during which SQLite parses `declaration` and asks the connection's authorizer about it.
  open func aroundDeclaration(_ declare: () -> CInt) -> CInt { declare() }

  /// Chooses how to read for one shape of query (xBestIndex); called several times for a statement, with different constraints usable.
  open func plan(_ request: IndexRequest) throws(VirtualTableError) {}

  /// What a function means whose argument is a column of the table, instead of what it means elsewhere (xFindFunction); nil leaves it. The
  /// function `match(words, column)` is what `column MATCH words` calls.
  open func function(_ name: String, argumentCount: Int) -> TableFunction? { nil }

  /// A cursor that has not been filtered yet (xOpen).
  open func makeCursor() throws(VirtualTableError) -> VirtualTableCursor {
    preconditionFailure("a virtual table makes its cursors")
  }
}

/// A function of SQL that a table gives a meaning of its own; the table keeps it.
public final class TableFunction {
  let body: (FunctionArguments, ResultContext) throws(VirtualTableError) -> Void

  public init(_ body: @escaping (FunctionArguments, ResultContext) throws(VirtualTableError) -> Void) { self.body = body }
}

/// One scan over a virtual table; may be filtered again and again (the inner side of a join).
open class VirtualTableCursor {
  /// True behind the last row: set by `filter` and `next`.
  public final var isAtEnd = true

  public init() {}

  /// Begins a scan and stands on its first row (xFilter).
  /// - Parameter plan: the number that the chosen `IndexRequest` was given.
  open func filter(plan: Int, arguments: FilterArguments) throws(VirtualTableError) {}

  /// Goes on to the next row (xNext).
  open func next() throws(VirtualTableError) {}

  /// Gives one column of the current row (xColumn).
  open func column(_ index: Int, into result: ResultContext) throws(VirtualTableError) {}

  /// A number that no other row of the table has (xRowid); SQLite tells rows apart by it where a query has OR.
  open var rowID: Int64 { 0 }
}

/// The arguments of a filter: the right sides of the constraints that the plan took, in the order it took them.
public struct FilterArguments {
  let base: UnsafeMutablePointer<OpaquePointer?>?
  public let count: Int

  /// - Precondition: `index` is below `count`.
  public subscript(index: Int) -> ArgumentValue {
    precondition(index >= 0 && index < count, "a filter argument that the plan did not take")
    return ArgumentValue(raw: base![index]!)
  }
}

/// A value handed to a virtual table or a function; valid during that call only.
public struct ArgumentValue {
  let raw: OpaquePointer

  public enum Kind { case null, integer, real, text, blob }

  public var kind: Kind {
    switch sqlite3_value_type(raw) {
    case SQLITE_INTEGER: .integer
    case SQLITE_FLOAT: .real
    case SQLITE_TEXT: .text
    case SQLITE_BLOB: .blob
    default: .null
    }
  }

  public var int64: Int64 { sqlite3_value_int64(raw) }
  public var double: Double { sqlite3_value_double(raw) }

  /// The bytes of a text (UTF-8) or blob; empty for a NULL.
  public func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
    let start = kind == .text ? UnsafeRawPointer(sqlite3_value_text(raw)) : sqlite3_value_blob(raw)
    return body(UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : Int(sqlite3_value_bytes(raw))))
  }

  /// Calls `body` with the value after SQLite's numeric affinity: what a comparison with a column of integers compares.
  ///
  /// Works on a copy, because the conversion would otherwise change the register that SQLite compares with afterwards.
  public func withNumericAffinity<R>(_ body: (ArgumentValue) -> R) -> R {
    guard kind == .text, let copy = sqlite3_value_dup(raw) else { return body(self) }
    defer { sqlite3_value_free(copy) }
    _ = sqlite3_value_numeric_type(copy)
    return body(ArgumentValue(raw: copy))
  }

  /// Calls `body` with each member of an IN list that the plan took as a whole.
  public func forEachMember(_ body: (ArgumentValue) -> Void) throws(VirtualTableError) {
    var member: OpaquePointer?
    var code = sqlite3_vtab_in_first(raw, &member)
    while code == SQLITE_OK, let value = member {
      body(ArgumentValue(raw: value))
      code = sqlite3_vtab_in_next(raw, &member)
    }
    if code != SQLITE_OK && code != SQLITE_DONE {
      throw VirtualTableError(code: code, message: "an IN list could not be read")
    }
  }
}

/// Where a column's or function's value goes; valid during that call only. Bytes are copied.
public struct ResultContext {
  let raw: OpaquePointer

  public func set(_ value: Int64) { sqlite3_result_int64(raw, value) }
  public func set(_ value: Double) { sqlite3_result_double(raw, value) }
  public func setNull() { sqlite3_result_null(raw) }
  public func set(_ value: ArgumentValue) { sqlite3_result_value(raw, value.raw) }

  /// - Precondition: `utf8` is valid UTF-8.
  public func setText(_ utf8: UnsafeRawBufferPointer) {
    // A null pointer would make a NULL of an empty text.
    let start = utf8.baseAddress?.assumingMemoryBound(to: CChar.self)
    if let start {
      sqlite3_result_text64(raw, start, UInt64(utf8.count), csqlite_transient(), UInt8(SQLITE_UTF8))
    } else {
      sqlite3_result_text(raw, "", 0, csqlite_transient())
    }
  }

  public func setText(_ text: StaticString) {
    text.withUTF8Buffer { setText(UnsafeRawBufferPointer($0)) }
  }

  public func setText(_ text: String) {
    var text = text
    text.withUTF8 { setText(UnsafeRawBufferPointer($0)) }
  }

  public func setBlob(_ bytes: UnsafeRawBufferPointer) {
    if let start = bytes.baseAddress, bytes.count > 0 {
      sqlite3_result_blob64(raw, start, UInt64(bytes.count), csqlite_transient())
    } else {
      sqlite3_result_zeroblob(raw, 0)
    }
  }
}
