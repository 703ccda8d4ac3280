internal import ArgumentParser
internal import Model
internal import NIOCore

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
    parsing: .unconditional, help: ArgumentHelp("Begin here: \(StartPosition.forms).", valueName: "position"))
  var from: String?

  @Option(parsing: .unconditional, help: ArgumentHelp("End before this.", valueName: "position"))
  var to: String?

  @OptionGroup var history: HistoryOptions

  enum Format: String, ExpressibleByArgument, CaseIterable, Sendable { case jsonl }

  func validate() throws {
    for (name, text) in [("--from", from), ("--to", to)] {
      if let text, StartPosition.parse(text, now: wallClockMilliseconds()) == nil {
        throw ValidationError("'\(text)' is no position: \(StartPosition.forms) (\(name))")
      }
    }
    for topic in topics { if let complaint = TopicName.complaint(about: topic) { throw ValidationError(complaint) } }
  }

  func run() async throws {
    let source = try history.source()
    try await Interruption.cancelling { [topics, format, output, from, to] in
      let target = try ExportTarget(path: output)
      var progress = Progress(verb: "exported", sharesTerminal: output == "-")
      defer { progress.clear() }
      do {
        switch source {
        case .server(let server):
          var members: [(key: String, value: JSON)] = [
            ("topics", .array(topics.map(JSON.string))), ("format", .string(format.rawValue)),
          ]
          if let from { members.append(("from", .string(from))) }
          if let to { members.append(("to", .string(to))) }
          try await HTTPDoor(server: server).post("/v1/export", .object(members)) { bytes in
            try bytes.withUnsafeReadableBytes { bytes in
              try target.write(bytes)
              progress.add(records: bytes.count { $0 == 0x0A }, bytes: bytes.count)
            }
          }
        case .directory(let path):
          try await OfflineHistory.export(topics, from: from, to: to, dataDirectory: path) { bytes in
            try target.write(bytes)
            progress.add(records: bytes.count { $0 == 0x0A }, bytes: bytes.count)
          }
        }
        try target.finish()
      } catch {
        target.discard()
        throw error
      }
      progress.clear()
      say("\(progress.summary) to \(output == "-" ? "standard output" : "'\(output)'")")
    }
  }
}
