import Export
import Glibc
import HistorySupport
import Model
import Query
import TestSupport
import Testing

@Suite("Output files")
struct OutputFileTests {
  @Test("a file has its name only once it is complete")
  func atomicity() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/out.jsonl"
      do {
        let begun = try OutputFile(path: path)
        try begun.write(Array("half".utf8))
        #expect(!fileExists(path))
        #expect(try directoryEntries(directory) == [".out.jsonl.quire-partial"])
        #expect { try OutputFile(path: path) } throws: { "\($0)".contains("another export") }
      }
      #expect(try directoryEntries(directory) == [])
      let whole = try OutputFile(path: path)
      try whole.write(Array("whole".utf8))
      try whole.complete()
      #expect(try directoryEntries(directory) == ["out.jsonl"])
      _ = try OutputFile(path: path)
      #expect(fileExists(path))
    }
  }

  @Test("a path that cannot be written is said")
  func refusals() throws {
    try withTemporaryDirectory { directory in
      #expect { try OutputFile(path: directory) } throws: { "\($0)".contains("it is a directory") }
      #expect { try OutputFile(path: "\(directory)/no/such") } throws: { "\($0)".contains("No such file") }
    }
    let null = try OutputFile(path: "/dev/null")
    try null.write([1])
    try null.complete()
    #expect(fileExists("/dev/null"))
  }
}

/// Passes records on, and fails before one of them, as a process does that is stopped.
final class Interrupted: RecordSink {
  let sink: ExportOutput
  var remaining: Int

  init(_ sink: ExportOutput, after count: Int) {
    self.sink = sink
    remaining = count
  }
  func begin(_ parts: [ExportPart], _ fields: [ExportField]) throws(ExportError) { try sink.begin(parts, fields) }
  func take(_ record: ExportRecord) throws(ExportError) {
    if remaining == 0 { throw .cancelled }
    remaining -= 1
    try sink.take(record)
  }
  func end(_ part: ExportPart) throws(ExportError) { try sink.end(part) }
}

private func fileBytes(_ path: String) throws -> [UInt8] {
  let file = try #require(fopen(path, "r"), "\(path)")
  defer { fclose(file) }
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 1 << 16)
  while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
  return bytes
}

private func write(_ bytes: [UInt8], to path: String) throws {
  let file = try #require(fopen(path, "w"))
  defer { fclose(file) }
  #expect(fwrite(bytes, 1, bytes.count, file) == bytes.count)
}

/// All files below a directory that a user sees.
private func tree(_ path: String) throws -> [String] {
  try directoryEntries(path).filter { $0.first != "." }.sorted().flatMap { name -> [String] in
    let inner = "\(path)/\(name)"
    guard let below = try? tree(inner) else { return [name] }
    return below.map { "\(name)/\($0)" }
  }
}

@Suite("Outputs")
struct OutputTests {
  private func plan(
    _ path: String, _ format: ExportFormat = .jsonl, split: OutputSplit? = nil, checkpointBytes: Int64 = 2000
  ) -> OutputPlan {
    var plan = OutputPlan(format: format, columns: .all, path: path, split: split, request: ["t"])
    plan.checkpointBytes = checkpointBytes
    return plan
  }

  private func run(_ history: MemoryHistory, _ beginning: ExportOutput.Beginning, stopAfter count: Int = .max) throws {
    let selection = ExportSelection(topics: nil, slices: beginning.slices)
    try HistoryExport(source: history, selection: selection)
      .run(control: ScanControl(), into: Interrupted(beginning.output, after: count))
    try beginning.output.finish()
  }

  @Test(
    "an interrupted export shows nothing, and one that goes on with it ends as if nothing had been",
    arguments: [ExportFormat.jsonl, .csv, .parquet, .sqlite])
  func resume(format: ExportFormat) throws {
    let history = try numbered(3, batches: 40)
    try withTemporaryDirectory { directory in
      let whole = "\(directory)/whole"
      try run(history, try ExportOutput.begin(plan(whole, format), resuming: false))
      let path = "\(directory)/out"
      #expect(throws: ExportError.self) {
        try run(history, try ExportOutput.begin(plan(path, format), resuming: false), stopAfter: 30)
      }
      for stop in [300, 1, 500, 77, Int.max] {
        #expect(!fileExists(path))
        let beginning = try ExportOutput.begin(plan(path, format), resuming: true)
        if stop == .max {
          try run(history, beginning)
        } else {
          #expect(throws: ExportError.self) { try run(history, beginning, stopAfter: stop) }
        }
      }
      // A database and a Parquet file are cut differently by checkpoints that come at other records; their rows are the same.
      if format == .jsonl || format == .csv { #expect(try fileBytes(path) == fileBytes(whole)) }
      #expect(try records(path, format) == records(whole, format))
      #expect(try records(path, format).count == 1200)
      #expect(try directoryEntries(directory).sorted() == ["out", "whole"])
    }
  }

  private func records(_ path: String, _ format: ExportFormat) throws -> [ImportedRecord] {
    let reader = try RecordImport.open(path, format: format)
    var records: [ImportedRecord] = []
    while let record = try reader.next() { records.append(record) }
    return records
  }

  @Test("only the same question goes on with an export; another one begins anew")
  func otherQuestion() throws {
    let history = try numbered(1, batches: 100)
    try withTemporaryDirectory { directory in
      let path = "\(directory)/out"
      #expect(throws: ExportError.self) {
        try run(history, try ExportOutput.begin(plan(path), resuming: false), stopAfter: 500)
      }
      var other = plan(path)
      other.request = ["u"]
      #expect { try ExportOutput.begin(other, resuming: true) } throws: { "\($0)".contains("in other words") }
      #expect(try ExportOutput.begin(plan(path), resuming: true).note?.contains("going on behind") == true)
      try run(history, try ExportOutput.begin(other, resuming: false))
      #expect(try directoryEntries(directory) == ["out"])
      #expect(try fileBytes(path).count(where: { $0 == 0x0A }) == 1000)
    }
  }

  @Test("a split output that was killed before anything was noted down is begun anew, and leaves nothing of what was begun")
  func killedEarly() throws {
    let history = try numbered(2, batches: 10)
    try withTemporaryDirectory { directory in
      let path = "\(directory)/lake"
      var plan = plan(path)
      plan.split = OutputSplit(time: .day, bytes: nil)
      let folder = "\(path)/topic=t/date=1999-01-01"
      for part in ["/lake", "/lake/topic=t", "/lake/topic=t/date=1999-01-01", "/lake/topic=empty"] {
        #expect(mkdir(directory + part, 0o755) == 0)
      }
      for name in [".0-0.jsonl.quire-partial", ".0-0.db.quire-partial", ".0-0.db.quire-partial-journal", ".mine"] {
        try write([1], to: "\(folder)/\(name)")
      }
      do {
        let beginning = try ExportOutput.begin(plan, resuming: true)
        #expect(beginning.note?.contains("beginning anew") == true)
        try run(history, beginning)
      }
      #expect(try directoryEntries(folder) == [".mine"])
      #expect(try directoryEntries(path).sorted() == ["topic=empty", "topic=t"])
      #expect { try ExportOutput.begin(plan, resuming: true) } throws: { "\($0)".contains("nothing to go on with") }
      #expect { try ExportOutput.begin(plan, resuming: false) } throws: { "\($0)".contains("or go on with --resume") }
    }
  }

  @Test("a split output has each record once, in the folder of its day, in files of a size")
  func split() throws {
    var history = MemoryHistory()
    let day: Int64 = 86_400_000
    for partition in 0..<2 {
      // Every tenth record comes two days late, and one has no time.
      var records: [TestRecord] = []
      for number in 0..<600 {
        let late = number % 10 == 9 ? 2 * day : 0
        records.append(TestRecord(number == 77 ? -1 : Int64(number / 200) * day - late, "v\(number)"))
      }
      history.add(
        PartitionExtent(topic: "t", partition: Int32(partition), logStartOffset: 0, highWatermark: 600),
        [try MemoryHistory.Batch(records, at: 0)])
    }
    try withTemporaryDirectory { directory in
      let path = "\(directory)/lake"
      let split = OutputSplit(time: .day, bytes: 4000)
      #expect(throws: ExportError.self) {
        try run(history, try ExportOutput.begin(plan(path, split: split), resuming: false), stopAfter: 700)
      }
      // Who forgets to go on loses nothing by it.
      #expect(throws: ExportError.self) { try ExportOutput.begin(plan(path, split: split), resuming: false) }
      try run(history, try ExportOutput.begin(plan(path, split: split), resuming: true))
      let files = try tree(path)
      #expect(
        Set(files.map { $0.split(separator: "/")[1] }) == [
          "date=1969-12-30", "date=1969-12-31", "date=1970-01-01", "date=1970-01-02", "date=1970-01-03",
          "date=__HIVE_DEFAULT_PARTITION__",
        ])
      #expect(files.contains("topic=t/date=1970-01-02/00001-00000000000000000200.jsonl"))
      var values: [String] = []
      for file in files {
        let bytes = try fileBytes("\(path)/\(file)")
        #expect(bytes.count < 5000)
        for record in try records("\(path)/\(file)", .jsonl) {
          values.append("\(record.partition!) " + String(decoding: record.value!, as: UTF8.self))
        }
      }
      var expected: [String] = []
      for partition in 0..<2 { for number in 0..<600 { expected.append("\(partition) v\(number)") } }
      #expect(values.sorted() == expected.sorted())
      #expect { try ExportOutput.begin(plan(path, split: split), resuming: false) } throws: { "\($0)".contains("not empty") }
    }
  }

  @Test(
    "an export in files of a size that is gone on with in a later partition has each record once, in files as large as they are to be"
  )
  func splitLater() throws {
    let history = try numbered(2, batches: 60)
    try withTemporaryDirectory { directory in
      let split = OutputSplit(time: nil, bytes: 10_000)
      let whole = "\(directory)/whole"
      try run(history, try ExportOutput.begin(plan(whole, split: split), resuming: false))
      let path = "\(directory)/out"
      // Beyond the first partition's 600 records.
      #expect(throws: ExportError.self) {
        try run(history, try ExportOutput.begin(plan(path, split: split), resuming: false), stopAfter: 900)
      }
      for stop in [40, Int.max] {
        let beginning = try ExportOutput.begin(plan(path, split: split), resuming: true)
        #expect(beginning.note?.contains("going on behind") == true)
        if stop == .max {
          try run(history, beginning)
        } else {
          #expect(throws: ExportError.self) { try run(history, beginning, stopAfter: stop) }
        }
      }
      #expect(try tree(path) == tree(whole))
      for file in try tree(whole) { #expect(try fileBytes("\(path)/\(file)") == fileBytes("\(whole)/\(file)")) }
    }
  }

  @Test("incremental exports bring each record once, wherever one of them is killed")
  func incremental() throws {
    var history = try numbered(2, batches: 10)
    try withTemporaryDirectory { directory in
      let state = "\(directory)/state"
      func export(_ name: String, stopAfter count: Int = .max) throws {
        let beginning = try ExportOutput.begin(plan("\(directory)/\(name)"), incremental: state)
        if beginning.isDone { return }
        try run(history, beginning, stopAfter: count)
      }
      func lines(_ name: String) throws -> Int { try fileBytes("\(directory)/\(name)").count(where: { $0 == 0x0A }) }
      history.partitions[0].highWatermark = 40
      #expect(throws: ExportError.self) { try export("killed", stopAfter: 50) }
      #expect(try fileBytes(state) == [] && !fileExists("\(directory)/killed"))
      try export("first")
      #expect(try lines("first") == 140)
      try export("nothing new")
      #expect(!fileExists("\(directory)/nothing new"))
      #expect { try export("first") } throws: { "\($0)".contains("there already") }
      let before = try fileBytes(state)
      history.partitions[0].highWatermark = 100
      try export("second")
      #expect(try lines("second") == 60)
      let after = try fileBytes(state)
      // As a kill leaves it between the state and the name.
      rename("\(directory)/second", "\(directory)/.second.quire-partial")
      let pending = String(decoding: after, as: UTF8.self).replacing(
        #""pending":[]"#, with: #""pending":[["\#(directory)/.second.quire-partial","\#(directory)/second"]]"#)
      try write(Array(pending.utf8), to: state)
      try export("second")
      #expect(try lines("second") == 60 && fileBytes(state) == after && before != after)
      // A partition that is shorter than it was is another one.
      history.partitions[0].highWatermark = 30
      #expect { try export("third") } throws: { "\($0)".contains("made anew") }
      #expect(try directoryEntries(directory).sorted() == ["first", "second", "state"])
    }
  }

  @Test("one export at a time has an output, and a state")
  func exclusion() throws {
    try withTemporaryDirectory { directory in
      let first = try ExportOutput.begin(plan("\(directory)/out"), resuming: false)
      #expect { try ExportOutput.begin(plan("\(directory)/out"), resuming: true) } throws: {
        "\($0)".contains("another export")
      }
      withExtendedLifetime(first) {}
      let second = try ExportOutput.begin(plan("\(directory)/a"), incremental: "\(directory)/state")
      #expect { try ExportOutput.begin(plan("\(directory)/b"), incremental: "\(directory)/state") } throws: {
        "\($0)".contains("another export")
      }
      withExtendedLifetime(second) {}
    }
  }
}
