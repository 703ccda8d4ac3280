import NIOCore
public import Query

extension HistoryDoors {
  /// The doors over a history: each statement and each export gets its own cut, taken when it begins.
  ///
  /// - Parameters:
  ///   - catalog: what there is; asked on a read thread.
  ///   - limits: of one statement; a request may ask for less.
  ///   - queries: where statements are noted while they run.
  ///   - now: milliseconds since 1970, for ranges that are relative to it.
  public static func over(
    catalog: any HistoryCatalog, limits: SQLLimits, queries: QueryRegistry,
    now: @escaping @Sendable () -> Int64, runOnReadThread: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void
  ) -> HistoryDoors {
    HistoryDoors(
      query: { request, output in
        let control = ScanControl()
        output.onAbandoned { control.cancel() }
        let ticket = try queries.begin(
          sql: request.sql, door: "http", control: control, isFollowing: request.follow != nil)
        defer { withExtendedLifetime(ticket) {} }
        if let start = request.follow {
          return try follow(request, from: start, catalog, request.limits.applied(to: limits), control, into: output)
        }
        let session = try SQLSession(catalog: catalog, limits: request.limits.applied(to: limits), control: control)
        let writer = request.format.output.makeWriter { bytes in
          control.extend(by: try output.write(ByteBuffer(bytes: bytes)))
        }
        _ = try session.run(request.sql, parameters: request.parameters.mapValues(\.parameter), into: writer)
      },
      export: { request, output in
        let control = ScanControl()
        output.onAbandoned { control.cancel() }
        try export(request, of: catalog, now: now(), control, helper: runOnReadThread, into: output)
      },
      runOnReadThread: runOnReadThread, queries: queries, now: now)
  }

  /// Writes rows as they come in; on a thread of its own.
  private static func follow(
    _ request: QueryRequest, from start: FollowStart, _ catalog: any HistoryCatalog, _ limits: SQLLimits,
    _ control: ScanControl, into output: StreamedOutput
  ) throws {
    var limits = limits
    // Of all that ever comes: only whoever asks for a bound has one.
    limits.outputBytes = request.limits.outputBytes
    let query = try FollowedQuery(
      request.sql, parameters: request.parameters.mapValues(\.parameter), from: start, catalog: catalog, limits: limits,
      control: control)
    // From now on it is the answer that can fail, and no longer the question.
    output.begin()
    let sink: ([UInt8]) throws -> Void = { bytes in control.extend(by: try output.write(ByteBuffer(bytes: bytes))) }
    if request.format == .events {
      let writer = EventWriter(sink: sink)
      try query.run(into: writer, willWrite: { writer.willWrite($0) }, idle: { try writer.idle() })
    }
    try query.run(into: request.format.output.makeWriter(sink: sink))
  }
}

extension QueryRequest.Limits {
  /// The node's limits where the request has none, or wants more.
  func applied(to limits: SQLLimits) -> SQLLimits {
    var limits = limits
    if let time = timeMilliseconds { limits.time = min(limits.time ?? .milliseconds(time), .milliseconds(time)) }
    if let bytes = outputBytes { limits.outputBytes = min(limits.outputBytes ?? bytes, bytes) }
    if let bytes = temporaryBytes { limits.temporaryBytes = min(limits.temporaryBytes, bytes) }
    if let bytes = memoryBytes { limits.memoryBytes = min(limits.memoryBytes, bytes) }
    return limits
  }
}

extension QueryRequest.Format {
  var output: OutputFormat {
    switch self {
    case .table: .table
    case .json: .json
    case .jsonl: .jsonl
    case .csv: .csv
    // Written by a writer of their own.
    case .events: .jsonl
    }
  }
}

extension ParameterValue {
  var parameter: SQLParameter {
    switch self {
    case .null: .null
    case .integer(let value): .integer(value)
    case .real(let value): .real(value)
    case .text(let value): .text(value)
    }
  }
}
