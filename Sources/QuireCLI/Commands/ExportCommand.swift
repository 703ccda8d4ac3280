internal import ArgumentParser
internal import Export
internal import Model
internal import NIOCore
internal import Query

struct ExportCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    abstract: "Write the history of topics to files, complete and repeatable: the same range gives the same records.",
    discussion: """
      jsonl and csv have every field as text, and say where one is Base64; parquet is for pandas, DuckDB and data lakes; sqlite is a \
      table with indexes. Columns that are declared for a topic (`quire column`) follow those that every topic has, with their types. A file \
      has its name only when it is complete. `quire import` takes all of them back.

        quire export plays --format jsonl --output plays.jsonl --from 2025-03-09 --to 2025-03-10
        quire export plays --format csv --output - --columns offset,key,value --where "value ->> '$.user' = 'ann'"
        quire column add plays user TEXT "value ->> '$.user'" --indexed
        quire export plays --format parquet --output ann.parquet --columns offset,timestamp,user --where "user = 'ann'"
        quire export plays stops --format parquet --output lake --split-by day
        quire export plays --format parquet --output plays-$(date +%s).parquet --incremental plays.state
      """)

  @Argument(help: "The topics.")
  var topics: [String]

  @Option(help: ArgumentHelp("jsonl, csv, parquet or sqlite.", valueName: "format"))
  var format: FileFormat

  @Option(help: ArgumentHelp("The file to write, - for standard output, or a directory where it is split.", valueName: "path"))
  var output: String

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Begin here: \(Position.forms).", valueName: "position"))
  var from: String?

  @Option(parsing: .unconditional, help: ArgumentHelp("End before this.", valueName: "position"))
  var to: String?

  @Option(
    name: .customLong("where"),
    help: ArgumentHelp("Only records for which this is true: SQL over a topic's columns, declared ones too.", valueName: "sql"))
  var condition: String?

  @Option(
    help: ArgumentHelp(
      "Only these, separated by commas: \(ExportColumns.names.map(\.name).joined(separator: ", ")), and names of declared columns.",
      valueName: "names"))
  var columns: String?

  @Option(help: ArgumentHelp("Files by hour, day or month (UTC), in folders topic=…/date=….", valueName: "time"))
  var splitBy: Period?

  @Option(help: ArgumentHelp("Files of about this size (64MB, 1GB), in folders topic=….", valueName: "size"))
  var splitBytes: ByteSize?

  @Flag(help: "Go on with an export of the same output that was interrupted.")
  var resume = false

  @Option(
    help: ArgumentHelp(
      "Only what is new since the last export with this file, exactly once; it remembers how far that was.", valueName: "file"))
  var incremental: String?

  @Option(help: .hidden)
  var checkpointBytes: ByteSize?

  @OptionGroup var history: HistoryOptions

  enum Period: String, ExpressibleByArgument, CaseIterable, Sendable {
    case hour, day, month

    var time: OutputSplit.Time {
      switch self {
      case .hour: .hour
      case .day: .day
      case .month: .month
      }
    }
  }

  func validate() throws {
    _ = try range()
    for topic in topics { if let complaint = TopicName.complaint(about: topic) { throw ValidationError(complaint) } }
    _ = try chosenColumns()
    if format == .sqlite, output == "-" { throw ValidationError("sqlite is no stream: name a file (--output)") }
    if output == "-", split != nil { throw ValidationError("standard output is one stream: it cannot be split") }
    if incremental != nil {
      if resume { throw ValidationError("--incremental goes on by itself: it goes without --resume") }
      if to != nil { throw ValidationError("--incremental goes to the end: it goes without --to") }
    }
    if resume, [from, to].contains(where: { $0?.first == "-" }) {
      throw ValidationError("--resume needs times that still mean the same: a moment, not one before now")
    }
    if condition?.allSatisfy(\.isWhitespace) == true { throw ValidationError("--where is empty") }
  }

  private func range() throws -> HistoryRange {
    let from = try from.map { try Position.parse($0, option: "--from") } ?? .beginning
    let to = try to.map { try Position.parse($0, option: "--to") } ?? .end
    do { return try HistoryRange(from: from, to: to) } catch { throw ValidationError("\(error)") }
  }

  private func chosenColumns() throws -> ColumnChoice {
    guard let columns else { return .all }
    do throws(ExportError) { return try ColumnChoice(names: columns.split(separator: ",")) } catch {
      throw ValidationError("--columns: \(error)")
    }
  }

  private var split: OutputSplit? {
    splitBy == nil && splitBytes == nil ? nil : OutputSplit(time: splitBy?.time, bytes: splitBytes?.bytes)
  }

  private func plan() throws -> OutputPlan {
    let columns = try chosenColumns()
    let words: [(String, String?)] = [
      ("--format", format.rawValue), ("--from", from), ("--to", to), ("--where", condition),
      ("--columns", columns == .all ? nil : columns.list.joined(separator: ",")), ("--split-by", splitBy?.rawValue),
      ("--split-bytes", splitBytes.map { String($0.bytes) }),
    ]
    return OutputPlan(
      format: format.format, columns: columns, path: output, split: split,
      request: topics + words.flatMap { name, value in value.map { [name, $0] } ?? [] },
      checkpointBytes: checkpointBytes?.bytes ?? 64 << 20)
  }

  func run() async throws {
    let work = ExportWork(
      source: try history.source(), plan: try plan(), topics: topics, from: from, to: to, range: try range(),
      condition: condition,
      resumes: resume, statePath: incremental)
    try await Interruption.cancelling { try await work.run() }
  }
}

/// One export, from a node or a data directory into files.
private struct ExportWork: Sendable {
  var source: HistoryOptions.Source
  var plan: OutputPlan
  var topics: [String]
  var from: String?
  var to: String?
  var range: HistoryRange
  var condition: String?
  var resumes: Bool
  var statePath: String?

  func run() async throws {
    let beginning = try begin()
    if let note = beginning.note { say(note) }
    if beginning.isDone { return }
    let output = beginning.output
    let already = output.records
    let bar = ProgressBar(verb: "exported", sharesTerminal: plan.path == "-")
    defer { bar.clear() }
    output.report = { output in
      bar.show(records: output.records - already, bytes: output.recordBytes, done: output.offsets.done, all: output.offsets.all)
    }
    do { try await copy(beginning.slices, into: output) } catch {
      bar.clear()
      if let noted = output.notedRecords { say("the same command with --resume goes on behind \(noted) records") }
      throw error
    }
    bar.clear()
    if let note = output.note { say(note) }
    say("\(bar.summary(records: output.records - already, bytes: output.recordBytes)) to \(destination(output))")
  }

  private func copy(_ slices: [PartitionSlice], into output: ExportOutput) async throws {
    switch source {
    case .server(let server):
      let frames = RecordFrameReader(output)
      try await HTTPDoor(server: server).post("/v1/export", request(slices)) { piece in
        try piece.withUnsafeReadableBytes { try frames.append($0) }
      }
      guard frames.isFinished else { throw CommandFailure("the node's answer ended too early") }
    case .directory(let path):
      let selection = ExportSelection(
        topics: topics, range: range, slices: slices, condition: condition, columns: plan.columns)
      try await OfflineHistory.export(selection, dataDirectory: path, into: output)
    }
    try output.finish()
    if output.missed > 0 {
      say(
        "\(output.missed) offsets were gone from the history before they were exported: export more often, or keep records longer"
      )
    }
  }

  private func begin() throws -> ExportOutput.Beginning {
    if let statePath { return try ExportOutput.begin(plan, incremental: statePath) }
    return try ExportOutput.begin(plan, resuming: resumes)
  }

  private func destination(_ output: ExportOutput) -> String {
    if plan.path == "-" { return "standard output" }
    if output.fileCount == 0 { return "no file: there is nothing new" }
    return plan.split == nil
      ? "'\(plan.path)'" : "\(output.fileCount) \(output.fileCount == 1 ? "file" : "files") in '\(plan.path)'"
  }

  private func request(_ slices: [PartitionSlice]) -> JSON {
    var members: [(key: String, value: JSON)] = [("topics", .array(topics.map(JSON.string))), ("format", .string("records"))]
    if let from { members.append(("from", .string(from))) }
    if let to { members.append(("to", .string(to))) }
    if let condition { members.append(("where", .string(condition))) }
    if plan.columns != .all { members.append(("columns", .array(plan.columns.list.map(JSON.string)))) }
    if !slices.isEmpty {
      let list = slices.map { slice in
        JSON.object([
          ("topic", .string(slice.topic)), ("partition", .number(slice.partition)), ("from", .number(slice.offsets.lowerBound)),
          ("to", .number(slice.offsets.upperBound)),
        ])
      }
      members.append(("partitions", .array(list)))
    }
    return .object(members)
  }
}

/// The formats of files, by the names that the export room has for them.
enum FileFormat: String, ExpressibleByArgument, CaseIterable, Sendable {
  case jsonl, csv, parquet, sqlite

  var format: ExportFormat {
    switch self {
    case .jsonl: .jsonl
    case .csv: .csv
    case .parquet: .parquet
    case .sqlite: .sqlite
    }
  }
}

/// A count of bytes as people write it: `500MB`, `1GB`, `4096`.
struct ByteSize: ExpressibleByArgument, Sendable {
  var bytes: Int64

  init?(argument: String) {
    let units: [(String, Int64)] = [("kb", 1000), ("mb", 1_000_000), ("gb", 1_000_000_000), ("b", 1), ("", 1)]
    let text = argument.lowercased()
    for (unit, factor) in units where text.hasSuffix(unit) {
      guard let count = Int64(text.dropLast(unit.count)), count > 0, count < 1 << 40 else { continue }
      bytes = count * factor
      return
    }
    return nil
  }
}
