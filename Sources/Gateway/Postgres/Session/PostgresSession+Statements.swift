import NIOCore
import Query

/// What statements do, other than those of the extended protocol's portals.
extension PostgresSession {
  /// Runs one statement of a simple query; one that gives rows is left as the activity.
  func run(_ statement: PostgresStatement, into out: inout ByteBuffer) throws(PostgresError) {
    switch statement {
    case .query(let text):
      let open = try withoutParameters(text)
      let rows = try rows(of: open, text)
      out.writeRowDescription(rows.columns, formats: [])
      activity = Activity(
        rows: rows, cut: open.cut, form: .rows([]), purpose: .simple, tag: text.tag, rowsMax: 0, portal: nil, text: text)
    case .copyOut(let text, let format):
      let open = try withoutParameters(text)
      let rows = try rows(of: open, text)
      startCopy(rows, format, into: &out)
      activity = Activity(
        rows: rows, cut: open.cut, form: .copy(format), purpose: .copy, tag: "COPY", rowsMax: 0, portal: nil, text: text)
    case .fetch(let cursor, let count, let isMove):
      guard let portal = portals[cursor] else { throw noCursor(cursor) }
      if !isMove, let rows = try start(portal) { out.writeRowDescription(rows.columns, formats: []) }
      try fetch(portal, count: count, isMove ? .skipped : .rows([]), isExtended: false, into: &out)
    default: try runUtility(statement, into: &out)
    }
  }

  /// Begins FETCH, or MOVE, on a cursor.
  ///
  /// - Parameter count: nil for all rows that are left.
  func fetch(
    _ portal: Portal, count: Int?, _ form: RowStream.Form, isExtended: Bool, into out: inout ByteBuffer
  ) throws(PostgresError) {
    let tag = if case .skipped = form { "MOVE" } else { "FETCH" }
    guard let rows = try start(portal), let cut = portal.open?.cut, count != 0 else {
      return out.writeCommandComplete("\(tag) 0")
    }
    try startClock(cut, portal.text)
    activity = Activity(
      rows: rows, cut: cut, form: form, purpose: .fetch, tag: tag, rowsMax: count ?? 0, isExtended: isExtended,
      portal: portal, text: portal.text)
  }

  func startCopy(_ rows: RowStream, _ format: CopyFormat, into out: inout ByteBuffer) {
    out.writeCopyOutResponse(columns: rows.columns.count)
    if format.hasHeader {
      var header = ByteBuffer()
      format.writeHeader(rows.columns, to: &header)
      out.writeMessage("d") { $0.writeImmutableBuffer(header) }
    }
  }

  private func withoutParameters(_ text: QueryText) throws(PostgresError) -> OpenQuery {
    if text.translated.parameterCount > 0 { throw PostgresError(.undefinedParameter, "there is no parameter $1") }
    return try open(text)
  }

  func noCursor(_ name: String) -> PostgresError { PostgresError(.invalidCursorName, "cursor \"\(name)\" does not exist") }

  /// Statements without rows, or with those of a setting.
  func runUtility(_ statement: PostgresStatement, into out: inout ByteBuffer) throws(PostgresError) {
    switch statement {
    case .begin(let tag):
      if status == .inBlock {
        out.writeNotice(PostgresError(.activeTransaction, "there is already a transaction in progress"))
      }
      endTransaction()
      status = .inBlock
      out.writeCommandComplete(tag)
    case .commit, .rollback:
      if status == .idle {
        out.writeNotice(PostgresError(.noActiveTransaction, "there is no transaction in progress"))
      }
      let isCommitted = if case .commit = statement { status != .failed } else { false }
      status = .idle
      endTransaction()
      out.writeCommandComplete(isCommitted ? "COMMIT" : "ROLLBACK")
    case .savepoint(let tag, let recovers):
      if status == .idle { throw PostgresError(.noActiveTransaction, "\(tag) can only be used in transaction blocks") }
      if recovers { status = .inBlock }
      out.writeCommandComplete(tag)
    case .declare(let cursor, let text): try declare(cursor, text, parameters: nil, into: &out)
    case .closeCursor(let name):
      if let name {
        guard portals.removeValue(forKey: name) != nil else { throw noCursor(name) }
      } else {
        portals = [:]
      }
      out.writeCommandComplete(name == nil ? "CLOSE CURSOR ALL" : "CLOSE CURSOR")
    case .set(let name, let values):
      if try settings.set(name, values.isEmpty ? nil : values.joined(separator: ", ")) { report(name, into: &out) }
      out.writeCommandComplete("SET")
    case .reset(let name):
      if let name { try settings.set(name, nil) } else { settings.resetAll() }
      report(name ?? "application_name", into: &out)
      out.writeCommandComplete("RESET")
    case .show(let name): try show(name, into: &out)
    case .deallocate(let name):
      if let name {
        guard statements[name] != nil else { throw noStatement(name) }
        forget(name)
      } else {
        statements = [:]
        statementBytes = 0
      }
      out.writeCommandComplete(name == nil ? "DEALLOCATE ALL" : "DEALLOCATE")
    case .discard(let isAll):
      if isAll {
        if status != .idle { throw PostgresError(.activeTransaction, "DISCARD ALL cannot run inside a transaction block") }
        settings.resetAll()
        statements = [:]
        statementBytes = 0
        endTransaction()
      }
      out.writeCommandComplete(isAll ? "DISCARD ALL" : "DISCARD")
    case .nothing(let tag): out.writeCommandComplete(tag)
    case .query, .copyOut, .fetch: break
    }
  }

  /// - Parameter parameters: nil for a statement of the simple protocol, which has none.
  func declare(
    _ cursor: String, _ text: QueryText, parameters: [SQLParameter]?, into out: inout ByteBuffer
  ) throws(PostgresError) {
    guard status == .inBlock else {
      throw PostgresError(.noActiveTransaction, "DECLARE CURSOR can only be used in transaction blocks")
    }
    if portals[cursor] != nil { throw PostgresError(.duplicateCursor, "cursor \"\(cursor)\" already exists") }
    try admitPortal()
    let portal = Portal(.query(text), text: text)
    portal.open = parameters == nil ? try withoutParameters(text) : try open(text)
    portal.parameters = parameters ?? []
    running.end()
    portals[cursor] = portal
    out.writeCommandComplete("DECLARE CURSOR")
  }

  private func report(_ name: String, into out: inout ByteBuffer) {
    guard let spelled = PostgresSettings.reported.first(where: { $0.lowercased() == name.lowercased() }) else { return }
    out.writeParameterStatus(spelled, settings.value(name) ?? "")
  }

  // SHOW

  func columnsOfShow(_ name: String) throws(PostgresError) -> [ResultColumn] {
    if name == "all" { return ["name", "setting", "description"].map { ResultColumn(name: $0, type: .text) } }
    guard settings.value(name) != nil else {
      throw PostgresError(.undefinedObject, "unrecognized configuration parameter \"\(name)\"")
    }
    return [ResultColumn(name: name, type: .text)]
  }

  private func show(_ name: String, into out: inout ByteBuffer) throws(PostgresError) {
    out.writeRowDescription(try columnsOfShow(name), formats: [])
    writeShown(name, into: &out)
  }

  func writeShown(_ name: String, into out: inout ByteBuffer) {
    let rows = name == "all" ? settings.all.map { [$0.name, $0.value, ""] } : [[settings.value(name) ?? ""]]
    for row in rows {
      out.writeMessage("D") { body in
        body.writeInteger(UInt16(row.count))
        for value in row {
          body.writeInteger(Int32(value.utf8.count))
          body.writeString(value)
        }
      }
    }
    out.writeCommandComplete("SHOW")
  }
}
