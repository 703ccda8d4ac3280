import SQLite
import TestSupport

@testable import Query

/// Collects what a writer puts out.
final class Collected {
  var bytes: [UInt8] = []
  var chunks = 0
  var text: String { String(decoding: bytes, as: UTF8.self) }
  func sink(_ chunk: [UInt8]) {
    bytes += chunk
    chunks += 1
  }
}

struct Answer {
  var text: String
  var statistics: ScanStatistics
  /// Lines of JSON Lines or CSV.
  var lines: [String] { text.split(separator: "\n", omittingEmptySubsequences: true).map(String.init) }
}

extension HistorySource {
  /// Runs one statement in a session of its own.
  func ask(
    _ sql: String, parameters: [String: SQLParameter] = [:], format: OutputFormat = .jsonl, limits: SQLLimits = SQLLimits()
  ) throws(QueryError) -> Answer {
    try CutCatalog(source: self).ask(sql, parameters: parameters, format: format, limits: limits)
  }
}

extension HistoryCatalog {
  /// Runs one statement in a session of its own.
  func ask(
    _ sql: String, parameters: [String: SQLParameter] = [:], format: OutputFormat = .jsonl, limits: SQLLimits = SQLLimits()
  ) throws(QueryError) -> Answer {
    let collected = Collected()
    let session = try SQLSession(catalog: self, limits: limits, control: ScanControl())
    let writer = format.makeWriter(sink: collected.sink)
    let summary = try session.run(sql, parameters: parameters, into: writer)
    return Answer(text: collected.text, statistics: summary.scan)
  }
}

extension SeededRandom {
  mutating func pick<T>(_ list: [T]) -> T { list[Int.random(in: 0..<list.count, using: &self)] }
}
