internal import Glibc
internal import Model
internal import Query

/// Statements and dot commands, line by line, as prompts, scripts and `.read` have them. Used by one thread, which blocks.
final class Dialogue {
  /// What goes wrong, with the text that is meant.
  struct Failure: Error {
    var message: String
    var sql: String?
    /// A byte of it.
    var position: Int?
    /// Of the first line of the statement, from 1.
    var line: Int?
  }

  /// Leaves the dialogue.
  struct Quit: Error {}

  let source: HistoryOptions.Source
  let running: RunningWork
  let tables: TableNames
  var question: Question
  var isTimed = false
  /// A person reads the answers on a terminal.
  let isPaged: Bool
  /// Files that read files.
  var depth = 0

  init(_ source: HistoryOptions.Source, _ question: Question, running: RunningWork, isPaged: Bool) {
    self.source = source
    self.question = question
    self.running = running
    self.isPaged = isPaged
    tables = TableNames(source, running)
  }

  /// Takes one line: a dot command where no statement is under way, else a part of one.
  func take(_ line: [UInt8], into splitter: inout StatementSplitter) throws {
    if !splitter.isWithin, line.first == UInt8(ascii: ".") {
      splitter.skipLine()
      return try DotCommand.run(String(decoding: line, as: UTF8.self), self)
    }
    for statement in splitter.take(line) { try run(statement) }
    let (byteCount, first) = splitter.unfinished
    guard byteCount <= Limits.querySQLBytes else {
      _ = splitter.finish()
      throw Failure(
        message: "the statement has more than \(Limits.querySQLBytes) bytes, and no semicolon yet", line: max(1, first))
    }
  }

  func run(_ statement: StatementSplitter.Statement) throws {
    var asked = question
    asked.sql = statement.sql
    // Those that are set and not named here belong to other statements.
    asked.parameters = question.parameters.filter { statement.parameters.contains($0.key) }
    let started = ContinuousClock.now
    do {
      try ask(asked)
    } catch var failure as Failure {
      failure.line = statement.line
      throw failure
    }
    if isTimed { say("time: \(Self.seconds(ContinuousClock.now - started))") }
  }

  /// Asks and prints the answer.
  ///
  /// - Throws: `Failure`; `CancellationError` after Ctrl-C; `OutputClosed` where standard output was closed.
  func ask(_ asked: Question) throws {
    let output = PagedOutput(isPaged: isPaged)
    defer { output.close() }
    do {
      let source = source
      try running.wait { try await source.ask(asked) { try output.write($0) } }
      try output.finish()
    } catch is OutputClosed where output.hasPager {
      // Left the pager before the end: enough was seen.
    } catch {
      try? output.finish()
      throw Self.failure(error, of: asked.sql)
    }
  }

  /// The lines of a small answer that is not shown.
  func lines(_ sql: String, _ parameters: [String: SQLParameter] = [:], _ format: OutputFormat) throws -> [String] {
    do { return try tables.lines(sql, parameters, format) } catch { throw Self.failure(error, of: sql) }
  }

  static func failure(_ error: any Error, of sql: String) -> any Error {
    switch error {
    case let error as QueryError:
      return error.kind == .cancelled
        ? CancellationError() : Failure(message: error.message, sql: sql, position: error.position)
    case let error as CommandFailure: return Failure(message: error.message, sql: sql, position: error.position)
    default: return error
    }
  }

  private static func seconds(_ duration: Duration) -> String {
    let milliseconds = duration.components.seconds * 1000 + duration.components.attoseconds / 1_000_000_000_000_000
    let rest = String(milliseconds % 1000)
    return "\(milliseconds / 1000).\(String(repeating: "0", count: 3 - rest.count))\(rest) s"
  }
}

extension Dialogue.Failure {
  /// The message, and the line of the statement with a mark below the place, as a terminal shows them.
  var explained: String {
    guard let sql, let position, position <= sql.utf8.count else { return "error: \(message)" }
    let bytes = Array(sql.utf8)
    let start = bytes[..<position].lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
    let end = bytes[position...].firstIndex(of: 0x0A) ?? bytes.count
    let before = String(decoding: bytes[start..<position], as: UTF8.self)
    // Long lines are shown around the place.
    let shownBefore = before.suffix(60)
    let shownAfter = String(decoding: bytes[position..<end], as: UTF8.self).prefix(60)
    let indent = shownBefore.map { $0 == "\t" ? "\t" : " " }.joined()
    return "error: \(message)\n  \(shownBefore)\(shownAfter)\n  \(indent)^"
  }
}
