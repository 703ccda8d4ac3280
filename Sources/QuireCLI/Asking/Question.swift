internal import Export
internal import NIOCore
internal import Query

/// One statement and how its answer is wanted.
struct Question: Sendable {
  var sql: String
  var parameters: [String: SQLParameter] = [:]
  var format = OutputFormat.table
  var limits = QuestionLimits()
  /// Where following begins, as `--from` has it; nil for a statement that ends.
  var followFrom: String?
}

/// Bounds that a person sets; nil leaves each to the node, or to nobody where a data directory is read.
struct QuestionLimits: Sendable, Equatable {
  var timeMilliseconds: Int?
  var outputBytes: Int?
  var temporaryBytes: Int?
  var memoryBytes: Int?

  /// What a node is told.
  var json: JSON {
    .object(
      [
        ("time_ms", timeMilliseconds), ("output_bytes", outputBytes), ("temporary_bytes", temporaryBytes),
        ("memory_bytes", memoryBytes),
      ].compactMap { name, value in value.map { (name, .number(Int64($0))) } })
  }

  /// For a statement that is run here. A person waits for the answer and can stop it: time and length have no bound of their own.
  var overFiles: SQLLimits {
    var limits = SQLLimits(time: timeMilliseconds.map { .milliseconds($0) }, outputBytes: outputBytes)
    if let temporaryBytes { limits.temporaryBytes = temporaryBytes }
    if let memoryBytes { limits.memoryBytes = memoryBytes }
    return limits
  }
}

extension HistoryOptions.Source {
  /// Asks, and hands the answer to `take` as it comes; what `take` throws ends the question.
  ///
  /// - Throws: `CommandFailure` and `QueryError`; `take` may have had a part of the answer then.
  func ask(_ question: Question, take: (UnsafeRawBufferPointer) throws -> Void) async throws {
    switch self {
    case .server(let server):
      var members: [(String, JSON)] = [
        ("sql", .string(question.sql)),
        ("parameters", .object(question.parameters.sorted { $0.key < $1.key }.map { ($0.key, $0.value.json) })),
        ("format", .string(question.format.rawValue)),
        ("limits", question.limits.json),
      ]
      if let from = question.followFrom { members += [("follow", .bool(true)), ("from", .string(from))] }
      try await HTTPDoor(server: server).post("/v1/query", .object(members)) { bytes in
        try bytes.withUnsafeReadableBytes { try take($0) }
      }
    case .directory(let path):
      try await OfflineHistory.query(question, dataDirectory: path, take: take)
    }
  }
}

extension SQLParameter {
  var json: JSON {
    switch self {
    case .null: .null
    case .integer(let value): .number(value)
    case .real(let value): .number("\(value)")
    case .text(let text): .string(text)
    // Nothing typed on a command line is a BLOB.
    case .blob(let bytes): .string(String(decoding: bytes, as: UTF8.self))
    }
  }
}
