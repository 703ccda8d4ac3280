import Model
import NIOCore
import Query

/// From SQL text to rows.
extension PostgresSession {
  /// A query that is open, and whose session it keeps.
  struct OpenQuery {
    var query: PreparedQuery
    var cut: PostgresCut
    var names: [String]
    /// What is known of the columns before a row is looked at.
    var known: [PostgresType?]
    /// The number of the parameter that a column is, where it is one.
    var parameters: [Int?]
  }

  /// The block's cut, or a new one.
  private func cut() throws(PostgresError) -> PostgresCut {
    if let blockCut { return blockCut }
    do throws(QueryError) {
      let cut = try PostgresCut(
        history,
        additions: PostgresCatalog.additions(
          history.catalog, settings: settings, identity: identity, cursors: portals.keys.filter { !$0.isEmpty },
          statements: statements.keys.filter { !$0.isEmpty }))
      if status == .inBlock { blockCut = cut }
      return cut
    } catch { throw PostgresError(error) }
  }

  func open(_ text: QueryText) throws(PostgresError) -> OpenQuery {
    let cut = try cut()
    // Also preparing takes time where it asks what there is.
    try startClock(cut, text)
    do throws(QueryError) {
      let query = try cut.session.prepareQuery(text.translated.sql)
      let (names, known, parameters) = describe(query, text, on: cut)
      return OpenQuery(query: query, cut: cut, names: names, known: known, parameters: parameters)
    } catch {
      if error.message == "no such column: user", let other = text.withUserFunction(PostgresCatalog.columnType) {
        return try open(other)
      }
      throw PostgresError(error, text: text.text, translated: text.translated)
    }
  }

  /// Begins to count the time of a statement, which can be cancelled from now on.
  ///
  /// - Throws: when too many run on the node.
  func startClock(_ cut: PostgresCut, _ text: QueryText) throws(PostgresError) {
    let limits = [history.limits.time, settings.statementTimeout].compactMap(\.self)
    cut.control.restart(time: limits.min())
    do throws(QueryError) {
      let sql = String(decoding: text.text, as: UTF8.self)
      if try !running.begin(cut.control, sql, in: history.queries) { cut.control.cancel() }
    } catch { throw PostgresError(error) }
  }

  func rows(of open: OpenQuery, _ text: QueryText) throws(PostgresError) -> RowStream {
    do throws(QueryError) {
      return try RowStream(open.query, names: open.names, known: open.known)
    } catch {
      throw PostgresError(error, text: text.text, translated: text.translated)
    }
  }

  // Columns

  /// Names and types of columns, from the select list where it tells and from the tables' declarations.
  private func describe(
    _ query: PreparedQuery, _ text: QueryText, on cut: PostgresCut
  ) -> (names: [String], known: [PostgresType?], parameters: [Int?]) {
    let columns = query.columns
    let items = Self.spread(text.translated.items ?? [], over: columns.count)
    var names = columns.map(\.name)
    var types = columns.map { PostgresType(declared: $0.declaredType) }
    for (index, item) in items.enumerated() {
      if let name = item?.name { names[index] = name }
      if let type = item?.type { types[index] = type }
    }
    let open = items.indices.filter { types[$0] == nil && items[$0]?.typedAs != nil }
    if !open.isEmpty, let probed = probe(text, on: cut), probed.count == columns.count {
      for index in open { types[index] = PostgresType(declared: probed[index].declaredType) }
    }
    return (names, types, items.map { $0?.parameter })
  }

  /// Items by column: a star takes what the others leave. All nil where that cannot be told.
  private static func spread(_ items: [SelectItem], over count: Int) -> [SelectItem?] {
    let stars = items.indices.filter { items[$0].isStar }
    if stars.isEmpty, items.count == count { return items }
    guard stars.count == 1, items.count - 1 <= count, let star = stars.first else { return Array(repeating: nil, count: count) }
    let missing = count - (items.count - 1)
    return items[..<star].map(Optional.some) + Array(repeating: nil, count: missing) + items[(star + 1)...].map(Optional.some)
  }

  /// Columns of the same statement with the arguments of `max(…)` and its like in their place: what is declared of them.
  private func probe(_ text: QueryText, on cut: PostgresCut) -> [PreparedQuery.Column]? {
    var bytes = text.text
    for item in (text.translated.items ?? []).reversed() {
      guard let argument = item.typedAs, item.type == nil else { continue }
      bytes.replaceSubrange(item.range, with: text.text[argument])
    }
    let probe = String(decoding: bytes, as: UTF8.self)
    guard let statements = try? PostgresScript.parse(probe, columnType: PostgresCatalog.columnType), statements.count == 1,
      case .query(let query)? = statements.first
    else { return nil }
    return try? cut.session.prepareQuery(query.translated.sql).columns
  }
}
