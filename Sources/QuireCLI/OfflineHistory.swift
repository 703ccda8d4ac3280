internal import Dispatch
internal import Export
internal import Glibc
internal import Model
internal import Query
internal import Storage
internal import Synchronization

/// Reading a data directory without its node: read-only, and safe beside one that runs.
enum OfflineHistory {
  private static let hasSaid = Atomic<Bool>(false)

  /// Runs one statement over the directory and hands its rows to `take`.
  static func query(
    _ question: Question, dataDirectory: String, take: (UnsafeRawBufferPointer) throws -> Void
  ) async throws {
    let store = try open(dataDirectory)
    let catalog = ComplainingCatalog(catalog: DirectoryCatalog(store), store: store)
    let control = ScanControl()
    try await stoppable(control) {
      let session = try SQLSession(catalog: catalog, limits: question.limits.overFiles, control: control)
      try withoutActuallyEscaping(take) { take in
        let writer = question.format.makeWriter { bytes in try bytes.withUnsafeBytes { try take($0) } }
        do throws(QueryError) {
          _ = try session.run(question.sql, parameters: question.parameters, into: writer)
        } catch {
          if case .output = error.kind, let cause = error.cause { throw cause }
          throw error
        }
      }
    }
  }

  /// Hands the directory's records to `sink`.
  static func export(_ selection: ExportSelection, dataDirectory: String, into sink: some RecordSink) async throws {
    let store = try open(dataDirectory)
    for topic in selection.topics ?? store.topics { tellWhatIsMissing(of: topic, store) }
    let history = SnapshotHistory(try store.snapshot(of: selection.topics ?? []))
    let catalog = DirectoryCatalog(store)
    let control = ScanControl()
    try await stoppable(control) {
      try HistoryExport(source: history, selection: selection, columns: catalog.columns(of:))
        .run(control: control, helpers: helpers, into: sink)
    }
  }

  /// As many as there are processors beside the one of whoever writes; more than a few would only wait for him.
  private static var helpers: ExportHelpers? {
    let processors = sysconf(CInt(_SC_NPROCESSORS_ONLN))
    guard processors > 1 else { return nil }
    let queue = DispatchQueue(label: "export", attributes: .concurrent)
    return ExportHelpers(count: min(3, processors - 1)) { work in queue.async(execute: work) }
  }

  /// A directory of one node of several may have only some of a topic's partitions.
  fileprivate static func tellWhatIsMissing(of topic: String, _ store: OfflineStore) {
    guard let absent = store.absentPartitions(of: topic), told.withLock({ $0.insert(topic).inserted }) else { return }
    let numbers = absent.numbers.prefix(10).map(String.init).joined(separator: ", ") + (absent.numbers.count > 10 ? ", …" : "")
    let verb = absent.numbers.count == 1 ? "is" : "are"
    say("topic \(topic) is not here whole: of its \(absent.count) partitions \(numbers) \(verb) on other nodes")
  }

  private static let told = Mutex<Set<String>>([])

  private static func open(_ dataDirectory: String) throws -> OfflineStore {
    let store = try OfflineStore(dataDirectory: dataDirectory)
    // Once, however many statements are run.
    if hasSaid.exchange(true, ordering: .relaxed) { return store }
    say("reading \(dataDirectory) up to the high watermarks written down there; a running node may be further")
    return store
  }

  /// Runs work that blocks; Ctrl-C ends it through `control`.
  private static func stoppable(_ control: ScanControl, _ work: () throws -> Void) async throws {
    try await withTaskCancellationHandler {
      try work()
    } onCancel: {
      control.cancel()
    }
    try Task.checkCancellation()
  }
}

/// The topics of a directory; says of those that a statement names what is missing of them.
private struct ComplainingCatalog: HistoryCatalog {
  let catalog: DirectoryCatalog
  let store: OfflineStore

  var topics: [String] { catalog.topics }

  func prepare(_ topic: String) throws(HistoryError) -> TopicSize? {
    OfflineHistory.tellWhatIsMissing(of: topic, store)
    return catalog.prepare(topic)
  }

  func columns(of topic: String) -> [DeclaredColumn] { catalog.columns(of: topic) }
  func cut(of topics: [String]) throws(HistoryError) -> any HistorySource { try catalog.cut(of: topics) }
  func makeSystemTables(cut: @escaping () throws(HistoryError) -> [String: any HistorySource]) -> [SystemTable] {
    catalog.makeSystemTables(cut: cut)
  }
}
