public import SQLite

/// What Quire adds to a connection that another program has opened: functions of SQL, and tables made from catalogs.
///
/// Lives as long as what is registered. Used by the threads that use the connection, one at a time, as SQLite sees to.
public final class HostedSQL {
  let context: ScanContext

  /// - Parameter shouldStop: asked while a scan takes long, within a statement of the connection: true ends the statement.
  public init(shouldStop: @escaping @Sendable () -> Bool) {
    context = ScanContext(control: ScanControl(shouldStop: shouldStop), isHosted: true)
  }

  /// Registers the functions that every door has besides SQLite's.
  public func registerFunctions(on connection: Connection) throws(SQLiteError) {
    try SQLFunctions.registerEvents(on: connection, context: context)
  }

  /// The tables of a catalog, each statement seeing it as it is when it begins.
  ///
  /// - Parameter look: makes the catalog anew; asked once for each statement, and now and then for plans.
  public func tables(_ look: @escaping () throws(HistoryError) -> any HistoryCatalog) -> HostedTables {
    HostedTables(context, look)
  }
}

/// The topics and system tables of one catalog on a connection of somebody else.
///
/// A connection lives longer than any cut should. So there is a view, of one moment, as long as a cursor is open over any of the tables:
/// a statement opens its cursors when it begins and closes them when it ends. Two statements that overlap share one.
public final class HostedTables {
  private let context: ScanContext
  private let look: () throws(HistoryError) -> any HistoryCatalog
  private weak var view: HostedView?
  /// For plans and names, which may be a moment old.
  private var latest: Look?
  private static let latestMilliseconds: Int64 = 1000

  /// What a look at the catalog found.
  private struct Look {
    let catalog: any HistoryCatalog
    let milliseconds: Int64
    /// As they are told here, without a state: the view has its own.
    let system: [SystemTable]
    let topics: TopicCatalog

    init(_ catalog: any HistoryCatalog) {
      self.catalog = catalog
      milliseconds = WallClock.milliseconds
      system = catalog.makeSystemTables { [:] }
      topics = TopicCatalog(catalog.topics, taken: SQLSession.takenNames.union(system.map { $0.name.lowercased() }))
    }
  }

  init(_ context: ScanContext, _ look: @escaping () throws(HistoryError) -> any HistoryCatalog) {
    self.context = context
    self.look = look
  }

  /// The names of all tables: those of the system, then topics by name.
  public func names() throws(HistoryError) -> [String] {
    let look = try recent()
    return look.system.map(\.name) + look.topics.tables.map(\.name).sorted()
  }

  /// The names of topics by themselves.
  public func topics() throws(HistoryError) -> [String] { try recent().catalog.topics }

  /// Makes the table of `name`, which may be that of a topic as well.
  public func make(_ name: String) throws(VirtualTableError) -> VirtualTable {
    do throws(HistoryError) {
      let look = try recent()
      if let system = look.system.first(where: { $0.name == name }) { return SystemVirtualTable(viewed(system), context) }
      let topic = look.topics.tables.first { $0.name == name }?.topic ?? name
      if let size = try look.catalog.prepare(topic) {
        return TopicTable(topic: topic, size: size, columns: look.catalog.columns(of: topic), cuts: self, context: context)
      }
    } catch { throw .failed(error.message) }
    throw .failed("there is no topic \(name)")
  }

  /// A system table whose rows are those of the view that is current when they are asked for.
  private func viewed(_ table: SystemTable) -> SystemTable {
    SystemTable(table.name, table.columns) { [self] (request) throws(HistoryError) in
      let view = try currentView()
      return HostedRows(view, try view.rows(of: table.name, request))
    }
  }

  private func currentView() throws(HistoryError) -> HostedView {
    if let view { return view }
    let made = HostedView(try look())
    view = made
    return made
  }

  private func recent() throws(HistoryError) -> Look {
    let age = latest.map { WallClock.milliseconds - $0.milliseconds }
    if let latest, let age, age >= 0, age < Self.latestMilliseconds { return latest }
    let look = Look(try look())
    latest = look
    return look
  }
}

extension HostedTables: TopicCutting {
  func cut(of topic: String) throws(HistoryError) -> TopicTable.Cut {
    let view = try currentView()
    var cut = try view.cut(of: topic)
    cut.source = HostedHistory(view: view, history: cut.source)
    return cut
  }

  func currentSize(of topic: String) -> TopicSize? { (try? recent().catalog.prepare(topic)) ?? nil }
}

/// What the statements of a connection see that are under way at one time.
final class HostedView {
  let catalog: any HistoryCatalog
  private let cuts: TopicCuts
  private var system: [String: SystemTable]?

  init(_ catalog: any HistoryCatalog) {
    self.catalog = catalog
    cuts = TopicCuts(catalog)
  }

  func cut(of topic: String) throws(HistoryError) -> TopicTable.Cut {
    guard try cuts.prepare(topic) != nil else { throw HistoryError(.unavailable, "the topic \(topic) is gone") }
    return try cuts.cut(of: topic)
  }

  func rows(of table: String, _ request: SystemRequest) throws(HistoryError) -> any SystemRows {
    let tables = system ?? Dictionary(uniqueKeysWithValues: catalog.makeSystemTables { [:] }.map { ($0.name, $0) })
    system = tables
    guard let found = tables[table] else { throw HistoryError(.unavailable, "there is no table \(table) any more") }
    return try found.rows(request)
  }
}

/// A cut that keeps the view it is part of.
// Safe because: the view is only kept, never looked at.
private struct HostedHistory: HistorySource, @unchecked Sendable {
  let view: HostedView
  let history: any HistorySource

  var partitions: [PartitionExtent] { history.partitions }
  func openBatches(of index: Int) throws(HistoryError) -> any BatchSequence { try history.openBatches(of: index) }
  func openIndexes(of index: Int) -> (any PartitionIndexes)? { history.openIndexes(of: index) }
}

/// Rows that keep the view they are part of.
private final class HostedRows: SystemRows {
  private let view: HostedView
  private let rows: any SystemRows

  init(_ view: HostedView, _ rows: any SystemRows) {
    self.view = view
    self.rows = rows
  }

  func next() throws(HistoryError) -> [SQLValue]? { try rows.next() }
}
