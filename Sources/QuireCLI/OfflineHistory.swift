internal import Export
internal import Query
internal import Storage

/// Reading a data directory without its node: read-only, and safe beside one that runs.
enum OfflineHistory {
  /// Runs one statement over the directory and prints its rows.
  static func query(
    _ sql: String, _ parameters: [String: SQLParameter], _ format: OutputFormat, dataDirectory: String
  ) async throws {
    let catalog = DirectoryCatalog(try open(dataDirectory))
    let control = ScanControl()
    try await stoppable(control) {
      let output = OutputStream.standardOutput()
      // A person waits for the answer and can stop it: no limits on time and length as behind a node's HTTP door.
      let session = try SQLSession(catalog: catalog, limits: SQLLimits(time: nil, outputBytes: nil), control: control)
      let writer = format.makeWriter { bytes in
        try bytes.withUnsafeBytes { try output.write($0) }
        try output.flush()
      }
      do throws(QueryError) {
        _ = try session.run(sql, parameters: parameters, into: writer)
      } catch {
        if case .output = error.kind, let cause = error.cause { throw cause }
        throw error
      }
      try output.flush()
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
