internal import Export
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
    let catalog = DirectoryCatalog(try open(dataDirectory))
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
    let history = SnapshotHistory(try open(dataDirectory).snapshot(of: selection.topics ?? []))
    let control = ScanControl()
    try await stoppable(control) {
      try HistoryExport(source: history, selection: selection).run(control: control, into: sink)
    }
  }

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
