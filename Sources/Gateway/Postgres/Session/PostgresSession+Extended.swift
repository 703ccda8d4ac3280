import Model
import NIOCore
import Query

/// The extended protocol: statements that are kept, and portals that give their rows.
extension PostgresSession {
  /// A statement that was parsed.
  struct Prepared {
    /// Nil for an empty one.
    var statement: PostgresStatement?
    var parameterTypes: [PostgresType]
    var bytes: Int
    /// As they were told; they stay, whatever rows come.
    var columns: [ResultColumn]?
  }

  /// A statement with its parameters, and where it is in its rows.
  final class Portal {
    let statement: PostgresStatement?
    let text: QueryText
    var parameters: [SQLParameter] = []
    var resultFormats: [ValueFormat] = []
    /// As Describe told of the statement.
    var columns: [ResultColumn]?
    var open: OpenQuery?
    var rows: RowStream?
    var isDone = false

    init(_ statement: PostgresStatement?, text: QueryText) {
      self.statement = statement
      self.text = text
    }
  }

  private static let noText = QueryText(
    text: [], translated: TranslatedSQL([], parameterTypes: [:], parameterCount: 0, items: nil))

  func noStatement(_ name: String) -> PostgresError {
    PostgresError(.invalidStatementName, "prepared statement \"\(name)\" does not exist")
  }

  func parse(_ parse: FrontendMessage.Parse, into out: inout ByteBuffer) throws(PostgresError) {
    if !parse.statement.isEmpty, statements[parse.statement] != nil {
      throw PostgresError(.duplicateStatement, "prepared statement \"\(parse.statement)\" already exists")
    }
    let parsed = try PostgresScript.parse(parse.sql, columnType: PostgresCatalog.columnType)
    guard parsed.count <= 1 else {
      throw PostgresError(.syntaxError, "cannot insert multiple commands into a prepared statement")
    }
    if let statement = parsed.first { try permit(statement) }
    let types = try parameterTypes(declared: parse.parameterTypes, of: parsed.first)
    forget(parse.statement)
    let bytes = parse.sql.utf8.count + 256
    guard statements.count < Limits.postgresStatementsMax, statementBytes + bytes <= Limits.postgresStatementBytesMax else {
      throw PostgresError(
        .configurationLimit, "this connection keeps \(statements.count) prepared statements already",
        hint: "Close or DEALLOCATE those that are not needed.")
    }
    if let text = parsed.first?.text {
      // What SQLite does not understand is said now, as clients expect it.
      _ = try open(text)
      running.end()
    }
    statements[parse.statement] = Prepared(statement: parsed.first, parameterTypes: types, bytes: bytes)
    statementBytes += bytes
    out.writeParseComplete()
  }

  /// What the client declared goes first, then what the text says, then `text`.
  private func parameterTypes(
    declared: [UInt32], of statement: PostgresStatement?
  ) throws(PostgresError) -> [PostgresType] {
    let translated = statement?.text?.translated
    let count = max(declared.count, translated?.parameterCount ?? 0)
    guard count <= Limits.queryParameters else {
      throw PostgresError(.programLimit, "a statement has at most \(Limits.queryParameters) parameters")
    }
    var types: [PostgresType] = []
    for index in 0..<count {
      let oid = index < declared.count ? declared[index] : 0
      if oid != 0, oid != PostgresType.unknown.oid {
        // A type that is not known here travels as its text.
        types.append(PostgresType(rawValue: oid) ?? .text)
      } else {
        types.append(translated?.parameterTypes[index + 1] ?? .text)
      }
    }
    return types
  }

  func bind(_ bind: FrontendMessage.Bind, into out: inout ByteBuffer) throws(PostgresError) {
    guard let prepared = statements[bind.statement] else { throw noStatement(bind.statement) }
    if let statement = prepared.statement { try permit(statement) }
    guard bind.parameters.count == prepared.parameterTypes.count else {
      throw PostgresError(
        .protocolViolation,
        "bind message supplies \(bind.parameters.count) parameters, but prepared statement \"\(bind.statement)\" requires \(prepared.parameterTypes.count)"
      )
    }
    if !bind.portal.isEmpty, portals[bind.portal] != nil {
      throw PostgresError(.duplicateCursor, "cursor \"\(bind.portal)\" already exists")
    }
    portals[bind.portal] = nil
    try admitPortal()
    let portal = Portal(prepared.statement, text: prepared.statement?.text ?? Self.noText)
    for (index, bytes) in bind.parameters.enumerated() {
      portal.parameters.append(
        try ParameterReader.read(bytes, as: prepared.parameterTypes[index], bind.parameterFormats.format(at: index)))
    }
    portal.resultFormats = bind.resultFormats
    portal.columns = prepared.columns
    portals[bind.portal] = portal
    out.writeBindComplete()
  }

  func admitPortal() throws(PostgresError) {
    guard portals.count < Limits.postgresPortalsMax else {
      throw PostgresError(.configurationLimit, "this connection has \(portals.count) portals open already")
    }
  }

  func describe(_ subject: FrontendMessage.Subject, into out: inout ByteBuffer) throws(PostgresError) {
    switch subject {
    case .statement(let name):
      guard var prepared = statements[name] else { throw noStatement(name) }
      out.writeParameterDescription(prepared.parameterTypes)
      var known = prepared.columns
      if known == nil { known = try columns(of: prepared) }
      guard let columns = known else { return out.writeNoData() }
      prepared.columns = columns
      statements[name] = prepared
      out.writeRowDescription(columns, formats: [])
    case .portal(let name):
      guard let portal = portals[name] else { throw noPortal(name) }
      switch portal.statement {
      case .show(let name): out.writeRowDescription(try columnsOfShow(name), formats: portal.resultFormats)
      case .copyOut, .fetch(_, _, isMove: true): out.writeNoData()
      case .fetch(let cursor, _, _):
        guard let target = portals[cursor], let rows = try start(target) else { throw noCursor(cursor) }
        out.writeRowDescription(rows.columns, formats: portal.resultFormats)
      default:
        guard let rows = try start(portal) else { return out.writeNoData() }
        out.writeRowDescription(rows.columns, formats: portal.resultFormats)
      }
    }
  }

  func noPortal(_ name: String) -> PostgresError { PostgresError(.invalidCursorName, "portal \"\(name)\" does not exist") }

  /// The columns of a statement before its parameters are known: without any, the first row tells what nothing else does; with some,
  /// a column that is a parameter has its type, and what is not known is text, which any value but bytes can be.
  private func columns(of prepared: Prepared) throws(PostgresError) -> [ResultColumn]? {
    switch prepared.statement {
    case .query(let text):
      var open = try open(text)
      if !prepared.parameterTypes.isEmpty {
        open.known = zip(open.known, open.parameters).map { known, parameter in
          known ?? parameter.map { TypeName(type: prepared.parameterTypes[$0 - 1]).resultType } ?? .text
        }
      }
      defer { running.end() }
      return try rows(of: open, text).columns
    case .show(let name): return try columnsOfShow(name)
    case .fetch(let cursor, _, isMove: false):
      guard let target = portals[cursor] else { return nil }
      return try start(target)?.columns
    default: return nil
    }
  }

  /// Opens a portal's query if it is not open yet; nil for one without rows.
  func start(_ portal: Portal) throws(PostgresError) -> RowStream? {
    if let rows = portal.rows { return rows }
    let text: QueryText
    switch portal.statement {
    case .query(let query), .copyOut(let query, _): text = query
    default: return nil
    }
    var open: OpenQuery
    if let opened = portal.open { open = opened } else { open = try self.open(text) }
    try startClock(open.cut, text)
    defer { running.end() }
    open.query.bind(portal.parameters)
    if let columns = portal.columns, columns.count == open.names.count { open.known = columns.map(\.type) }
    portal.open = open
    let rows = try rows(of: open, text)
    portal.rows = rows
    return rows
  }

  func execute(_ name: String, rowsMax: Int, into out: inout ByteBuffer) throws(PostgresError) {
    guard let portal = portals[name] else { throw noPortal(name) }
    guard let statement = portal.statement else { return out.writeEmptyQueryResponse() }
    try permit(statement)
    switch statement {
    case .query(let text):
      if portal.isDone { return out.writeCommandComplete("\(text.tag) 0") }
      guard let rows = try start(portal), let cut = portal.open?.cut else { return }
      try startClock(cut, text)
      activity = Activity(
        rows: rows, cut: cut, form: .rows(portal.resultFormats), purpose: .portal, tag: text.tag, rowsMax: rowsMax,
        isExtended: true, portal: portal, text: text)
    case .copyOut(let text, let format):
      guard let rows = try start(portal), let cut = portal.open?.cut else { return }
      try startClock(cut, text)
      startCopy(rows, format, into: &out)
      activity = Activity(
        rows: rows, cut: cut, form: .copy(format), purpose: .copy, tag: "COPY", rowsMax: 0, isExtended: true,
        portal: portal, text: text)
    case .fetch(let cursor, let count, let isMove):
      guard let target = portals[cursor] else { throw noCursor(cursor) }
      try fetch(target, count: count, isMove ? .skipped : .rows(portal.resultFormats), isExtended: true, into: &out)
    case .show(let name): writeShown(name, into: &out)
    case .declare(let cursor, let text): try declare(cursor, text, parameters: portal.parameters, into: &out)
    default: try runUtility(statement, into: &out)
    }
  }

  func close(_ subject: FrontendMessage.Subject, into out: inout ByteBuffer) {
    switch subject {
    case .statement(let name): forget(name)
    case .portal(let name): portals[name] = nil
    }
    out.writeCloseComplete()
  }

  func forget(_ name: String) {
    if let old = statements.removeValue(forKey: name) { statementBytes -= old.bytes }
  }
}

extension PostgresStatement {
  /// The SQL of one that gives rows of its own.
  var text: QueryText? {
    switch self {
    case .query(let text), .copyOut(let text, _), .declare(_, let text): text
    default: nil
    }
  }
}
