internal import ArgumentParser
internal import Export
internal import Glibc
internal import Model
internal import NIOCore
internal import Query

struct ExportCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    abstract: "Write the history of topics to a file, complete and repeatable: the same range gives the same bytes.",
    discussion: "  quire export plays --format jsonl --output plays.jsonl --from 2025-03-09 --to 2025-03-10")

  @Argument(help: "The topics.")
  var topics: [String]

  @Option(help: ArgumentHelp("jsonl: a JSON object on a line for each record.", valueName: "format"))
  var format: Format

  @Option(help: ArgumentHelp("The file to write, or - for standard output.", valueName: "path"))
  var output: String

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Begin here: \(Position.forms).", valueName: "position"))
  var from: String?

  @Option(parsing: .unconditional, help: ArgumentHelp("End before this.", valueName: "position"))
  var to: String?

  @OptionGroup var history: HistoryOptions

  enum Format: String, ExpressibleByArgument, CaseIterable, Sendable { case jsonl }

  func validate() throws {
    _ = try range()
    for topic in topics { if let complaint = TopicName.complaint(about: topic) { throw ValidationError(complaint) } }
  }

  private func range() throws -> HistoryRange {
    let from = try from.map { try Position.parse($0, option: "--from") } ?? .beginning
    let to = try to.map { try Position.parse($0, option: "--to") } ?? .end
    do { return try HistoryRange(from: from, to: to) } catch { throw ValidationError("\(error)") }
  }

  func run() async throws {
    let source = try history.source()
    let range = try range()
    try await Interruption.cancelling { [topics, format, output, from, to] in
      let target = try OutputFile(path: output)
      var progress = Progress(verb: "exported", sharesTerminal: output == "-")
      defer { progress.clear() }
      switch source {
      case .server(let server):
        var members: [(key: String, value: JSON)] = [
          ("topics", .array(topics.map(JSON.string))), ("format", .string(format.rawValue)),
        ]
        if let from { members.append(("from", .string(from))) }
        if let to { members.append(("to", .string(to))) }
        try await HTTPDoor(server: server).post("/v1/export", .object(members)) { bytes in
          let chunk = Array(buffer: bytes)
          try target.write(chunk)
          progress.add(records: chunk.lineCount, bytes: chunk.count)
        }
      case .directory(let path):
        try await OfflineHistory.export(topics, range, dataDirectory: path) { chunk throws(ExportError) in
          try target.write(chunk)
          progress.add(records: chunk.lineCount, bytes: chunk.count)
        }
      }
      try target.complete()
      progress.clear()
      say("\(progress.summary) to \(output == "-" ? "standard output" : "'\(output)'")")
    }
  }
}

extension [UInt8] {
  /// How many LF are in it.
  fileprivate var lineCount: Int {
    withUnsafeBytes { bytes in
      var count = 0
      var from = 0
      while from < bytes.count, let found = memchr(bytes.baseAddress! + from, 0x0A, bytes.count - from) {
        count += 1
        from = bytes.baseAddress!.distance(to: UnsafeRawPointer(found)) + 1
      }
      return count
    }
  }
}
