import HistorySupport
import Model
import Query
import SQLite
import Synchronization
import TestSupport
import Testing

@testable import Export

private func column(
  _ name: String, _ type: DeclaredColumn.ColumnType, _ expression: String, isIndexed: Bool = false
) -> DeclaredColumn {
  DeclaredColumn(name: name, definition: .init(type: type, expression: expression), isIndexed: isIndexed, isFullText: false)
}

private let columns = [
  column("user", .text, "value ->> '$.user'", isIndexed: true), column("n", .integer, "value ->> '$.n'"),
  column("seconds", .real, "value ->> '$.n' * 1.5"), column("share", .numeric, "value ->> '$.n'"),
  column("isEven", .boolean, "(value ->> '$.n') % 2 = 0"), column("raw", .blob, "value"),
  column("tags", .json, "value -> '$.tags'"), column("at", .timestamptz, "value ->> '$.at'"),
]

/// Objects, an empty text, a record that is no JSON, and one without a value.
private func events(_ topic: String = "t") throws -> MemoryHistory {
  var history = MemoryHistory()
  let values: [[UInt8]?] = [
    Array(#"{"user":"ann, \"a\"","n":1,"tags":[1,"x"],"at":"2025-03-09T10:00:00.250+02:00"}"#.utf8),
    Array(#"{"user":"","n":-2}"#.utf8), Array(#"no JSON"#.utf8), nil, [0xFF, 0x00],
    Array(#"{"user":7,"n":4611686018427387904}"#.utf8),
  ]
  history.add(
    PartitionExtent(topic: topic, partition: 0, logStartOffset: 0, highWatermark: Int64(values.count)),
    [try MemoryHistory.Batch(values.map { TestRecord(5, value: $0) }, at: 0)])
  return history
}

private func bytes(
  _ source: some HistorySource, _ selection: ExportSelection = ExportSelection(topics: nil), as format: ExportFormat,
  columns: [String: [DeclaredColumn]], isParallel: Bool = false, helpers: ExportHelpers? = nil
) throws -> [UInt8] {
  var bytes: [UInt8] = []
  let export = try HistoryExport(source: source, selection: selection) { columns[$0] ?? [] }
  let stream = ExportStream(
    format.makeWriter(export.schema, isParallel: isParallel) { (chunk) throws(ExportError) in bytes += chunk })
  try export.run(control: ScanControl(), helpers: helpers, into: stream)
  try stream.finish()
  return bytes
}

private func text(
  _ source: some HistorySource, _ names: [String], as format: ExportFormat, _ columns: [String: [DeclaredColumn]],
  condition: String? = nil
) throws -> String {
  let selection = ExportSelection(topics: nil, condition: condition, columns: try ColumnChoice(names: names))
  return String(decoding: try bytes(source, selection, as: format, columns: columns), as: UTF8.self)
}

@Suite("Declared columns in exports")
struct DeclaredColumnTests {
  @Test("JSON Lines and CSV have the values that SQL has, in its own words")
  func sameAsSQL() throws {
    let history = try events()
    let names = columns.map(\.name)
    for (format, output) in [(ExportFormat.jsonl, OutputFormat.jsonl), (.csv, .csv)] {
      var expected: [UInt8] = []
      let session = try SQLSession(
        catalog: MemoryCatalog(history, columns: ["t": columns]), limits: SQLLimits(), control: ScanControl())
      let list = (["offset"] + names).map { "\"\($0)\"" }.joined(separator: ", ")
      _ = try session.run(
        "SELECT \(list) FROM t ORDER BY offset", parameters: [:], into: output.makeWriter { expected += $0 })
      let got = try text(history, ["offset"] + names, as: format, ["t": columns])
      #expect(got == String(decoding: expected, as: UTF8.self))
      #expect(got.split(separator: "\n").count > 5)
    }
    // Null and the empty text are not the same.
    let lines = try text(history, ["offset", "user"], as: .csv, ["t": columns]).split(separator: "\n")
    #expect(lines == ["offset,user", #"0,"ann, ""a""""#, #"1,"""#, "2,", "3,", "4,", "5,7"])
    #expect(try text(history, ["user"], as: .csv, ["t": columns]).split(separator: "\n").count == 7)
  }

  @Test("all columns come behind those that every topic has, whatever their order in the request")
  func order() throws {
    let all = String(decoding: try bytes(events(), as: .csv, columns: ["t": columns]), as: UTF8.self)
    #expect(
      all.hasPrefix(
        "topic,partition,offset,timestamp,timestamp_type,key,key_encoding,value,value_encoding,headers,"
          + "user,n,seconds,share,isEven,raw,tags,at\n"))
    #expect(try text(events(), ["N", "offset", "user"], as: .csv, ["t": columns]).hasPrefix("offset,user,n\n"))
    #expect(try text(events(), ["user"], as: .jsonl, ["t": columns]).hasPrefix(#"{"user":"ann, \"a\""}"# + "\n"))
  }

  @Test("columns of several topics are united, and null where a topic has none; two types of one name are refused")
  func union() throws {
    var history = try events("a")
    let other = try events("b")
    history.add(other.partitions[0], other.batches[0])
    let ours = [column("user", .text, "value ->> '$.user'"), column("x", .integer, "1")]
    let theirs = [column("y", .text, "'why'"), column("USER", .text, "'their ' || offset")]
    let lines = try text(history, ["topic", "user", "x", "y"], as: .csv, ["a": ours, "b": theirs], condition: "offset = 1")
    #expect(lines == "topic,user,x,y\na,\"\",1,\nb,their 1,,why\n")
    let conflict = [column("X", .text, "'x'")]
    #expect { try text(history, ["x"], as: .csv, ["a": ours, "b": conflict]) } throws: {
      "\($0)".contains("INTEGER in topic 'a' and TEXT in topic 'b'")
    }
    #expect(try text(history, ["topic", "user"], as: .csv, ["a": ours, "b": conflict]).hasPrefix("topic,user\n"))
    #expect { try text(history, ["nothing"], as: .csv, ["a": ours]) } throws: {
      "\($0)".contains("no column 'nothing'") && "\($0)".contains("headers, user, x")
    }
    #expect { try text(history, ["key_bytes"], as: .csv, ["a": [column("key_bytes", .text, "1")]]) } throws: {
      "\($0)".contains("name of a column that exports have")
    }
  }

  @Test("a condition may name declared columns, and asks their index")
  func condition() throws {
    struct Indexed: HistorySource {
      let base: MemoryHistory
      let asked: Asked
      final class Asked: Sendable { let count = Atomic<Int>(0) }
      var partitions: [PartitionExtent] { base.partitions }
      func openBatches(of index: Int) throws(HistoryError) -> any BatchSequence { try base.openBatches(of: index) }
      func openIndexes(of index: Int) -> (any PartitionIndexes)? {
        asked.count.add(1, ordering: .relaxed)
        return nil
      }
    }
    #expect(
      try text(events(), ["offset"], as: .csv, ["t": columns], condition: "n < 2 AND user IS NOT NULL") == "offset\n0\n1\n")
    let source = Indexed(base: try numbered(1, batches: 200), asked: Indexed.Asked())
    let indexed = [column("v", .text, "value", isIndexed: true)]
    let found = try text(source, ["v"], as: .csv, ["t": indexed], condition: "v LIKE '%3'")
    #expect(source.asked.count.load(ordering: .relaxed) == 0)
    #expect(try text(source, ["v"], as: .csv, ["t": indexed], condition: "v = 'v3'") == found && found.count == 2 + 200 * 3)
    #expect(source.asked.count.load(ordering: .relaxed) > 0)
  }

  @Test("a Parquet file has a column's values as its type exactly, or is refused with the record's place")
  func parquet() throws {
    let fitting = ExportSelection(topics: nil, condition: "offset < 5")
    let written = try bytes(events(), fitting, as: .parquet, columns: ["t": columns])
    let footer = try written.withRawBytes { (all) throws(ParquetError) in
      let length = Int(all.loadUnaligned(fromByteOffset: all.count - 8, as: UInt32.self))
      return try ParquetFooter(UnsafeRawBufferPointer(rebasing: all[(all.count - 8 - length)..<(all.count - 8)]))
    }
    #expect(footer.leaves.suffix(8).map(\.path) == columns.map { [$0.name] })
    #expect(footer.leaves.suffix(8).map(\.type) == [6, 2, 5, 5, 0, 6, 6, 2])
    let reader = try ParquetReader(bytes: written, pageBytesMax: 1 << 20)
    var count = 0
    while try reader.next() != nil { count += 1 }
    #expect(count == 5 && reader.leftOut == columns.map(\.name))

    for (type, expression, found) in [
      (DeclaredColumn.ColumnType.integer, "'twelve'", "the TEXT 'twelve'"), (.integer, "1.5", "the REAL 1.5"),
      (.text, "x'ff'", "a BLOB"), (.boolean, "2", "the INTEGER 2"), (.numeric, "9007199254740993", "the INTEGER 9"),
      (.timestamptz, "'tomorrow'", "the TEXT 'tomorrow'"), (.blob, "7", "the INTEGER 7"),
    ] {
      let odd = [column("odd", type, "iif(offset = 3, \(expression), NULL)")]
      #expect { try bytes(events(), as: .parquet, columns: ["t": odd]) } throws: {
        "\($0)".contains("t-0, offset 3: column odd is of type \(type.rawValue), and the value is \(found)")
      }
    }
  }

  @Test("doubles and truths are written as they are, over pages and nulls", arguments: [1, 9, 70_000])
  func numbers(count: Int) throws {
    // What a reader of other makers sees is tested with those; here is that each has its place.
    var file = ParquetColumn(ParquetSchema.leaves(ExportSchema(fixed: [], fields: [field("f", .real)]))[0])
    for number in 0..<count {
      if number % 3 == 2 { file.appendNull() } else { file.append(Int64(bitPattern: (Double(number) - 4).bitPattern)) }
    }
    let bounds = try #require(file.bounds)
    #expect(bounds.low == plain(-4) && bounds.high == plain(Double(count == 70_000 ? 69_999 - 4 : count == 9 ? 7 - 4 : -4)))
    var zero = ParquetColumn(ParquetSchema.leaves(ExportSchema(fixed: [], fields: [field("f", .real)]))[0])
    zero.append(0)
    #expect(zero.bounds?.low == plain(-0.0) && zero.bounds?.high == plain(0.0))
  }

  private func field(_ name: String, _ type: DeclaredColumn.ColumnType) -> ExportField {
    ExportField(name: name, type: type, isIndexed: false, expressions: [:])
  }

  private func plain(_ value: Double) -> [UInt8] { withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) } }

  @Test("an SQLite file has typed columns, and an index where the topic has one")
  func database() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/out.db"
      _ = try write(events(), plan(path, .sqlite), columns)
      let connection = try Connection(path: path, mode: .readOnly)
      let types = try connection.prepare(
        "SELECT group_concat(name || ' ' || type) FROM pragma_table_info('records') WHERE cid > 7")
      #expect(try types.step())
      #expect(
        types.text(at: 0)
          == "user TEXT,n INTEGER,seconds REAL,share NUMERIC,isEven BOOLEAN,raw BLOB,tags TEXT,at TEXT")
      let values = try connection.prepare(
        "SELECT group_concat(typeof(user) || typeof(n) || typeof(seconds) || typeof(raw), ' ') FROM records ORDER BY offset")
      #expect(try values.step())
      #expect(
        values.text(at: 0)
          == "textintegerrealtext textintegerrealtext nullnullnulltext nullnullnullnull nullnullnullblob textintegerrealtext")
      let plan = try connection.prepare("EXPLAIN QUERY PLAN SELECT * FROM records WHERE user = 'ann'")
      #expect(try plan.step())
      #expect(plan.text(at: 3)?.contains("records_column_user") == true)
    }
  }

  private func plan(_ path: String, _ format: ExportFormat, split: OutputSplit? = nil) -> OutputPlan {
    OutputPlan(format: format, columns: .all, path: path, split: split, request: ["t"], checkpointBytes: 2000)
  }

  private func write(
    _ source: MemoryHistory, _ plan: OutputPlan, _ columns: [DeclaredColumn], stopAfter count: Int = .max,
    incremental: String? = nil, resuming: Bool = false
  ) throws -> String? {
    let beginning =
      try incremental.map { try ExportOutput.begin(plan, incremental: $0) } ?? ExportOutput.begin(plan, resuming: resuming)
    let export = try HistoryExport(source: source, selection: ExportSelection(topics: nil, slices: beginning.slices)) { _ in
      columns
    }
    let sink = Interrupted(beginning.output, after: count)
    try export.run(control: ScanControl(), into: sink)
    try beginning.output.finish()
    return beginning.output.note
  }

  @Test("what an export with declared columns writes is taken back, without them", arguments: ExportFormat.allCases)
  func roundTrip(format: ExportFormat) throws {
    let source = try events()
    try withTemporaryDirectory { directory in
      let fitting = columns.filter { $0.name != "share" }
      _ = try write(source, plan("\(directory)/with", format), fitting)
      _ = try write(source, plan("\(directory)/without", format), [])
      let reader = try RecordImport.open("\(directory)/with", format: format)
      let other = try RecordImport.open("\(directory)/without", format: format)
      while let record = try reader.next() { #expect(try other.next() == record) }
      #expect(try other.next() == nil)
      #expect(reader.leftOut == fitting.map(\.name) && other.leftOut == [])
    }
    // Elsewhere a strange column is an error as ever.
    for text in ["user,value,value_encoding\na,b,utf8\n", "value,value_encoding,user,key\na,utf8,b,c\n", "value,user\na,b\n"] {
      #expect(throws: ImportError.self) { try CSVRecordReader(bytes: Array(text.utf8)).next() }
    }
    #expect(throws: ImportError.self) { try JSONLinesReader(bytes: Array(#"{"value":"a","user":"b"}"#.utf8)).next() }
  }

  @Test("no file is gone on with that has other columns than those of now", arguments: [ExportFormat.csv, .parquet, .sqlite])
  func resume(format: ExportFormat) throws {
    let history = try numbered(1, batches: 60)
    let first = [column("v", .text, "value"), column("w", .integer, "offset")]
    try withTemporaryDirectory { directory in
      let path = "\(directory)/out"
      #expect(throws: ExportError.self) { try write(history, plan(path, format), first, stopAfter: 300) }
      let changed = [
        [first[0]], first + [column("z", .text, "1")], [first[0], column("w", .text, "offset")],
        [first[0], column("w", .integer, "offset + 1")],
      ]
      for columns in changed {
        #expect { try write(history, plan(path, format), columns, resuming: true) } throws: {
          "\($0)".contains("columns have changed since the export was interrupted (then v TEXT, w INTEGER; now v TEXT")
        }
      }
      #expect(!fileExists(path))
      // An index is no other column.
      let same = [first[0], column("w", .integer, "offset", isIndexed: true)]
      _ = try write(history, plan(path, format), same, resuming: true)
      let reader = try RecordImport.open(path, format: format)
      var count = 0
      while try reader.next() != nil { count += 1 }
      #expect(count == 600 && reader.leftOut == ["v", "w"])
    }
  }

  @Test("an increment has the columns of its own time in a file of its own, and says what has changed")
  func increments() throws {
    var history = try numbered(1, batches: 10)
    let text = [column("v", .text, "value")]
    let both = [column("v", .text, "value"), column("w", .integer, "offset")]
    let other = [column("v", .integer, "offset")]
    try withTemporaryDirectory { directory in
      func run(_ name: String, to end: Int64, _ columns: [DeclaredColumn], split: OutputSplit? = nil) throws -> String? {
        history.partitions[0].highWatermark = end
        return try write(
          history, plan("\(directory)/\(name)", .csv, split: split), columns, incremental: "\(directory)/state")
      }
      let notes = [
        try run("1", to: 10, text), try run("2", to: 20, both), try run("3", to: 30, both), try run("4", to: 40, other),
      ]
      #expect(notes.map { $0 == nil } == [true, false, true, false])
      #expect(notes[1]?.contains("then v TEXT; in its files from now on v TEXT, w INTEGER") == true)
      // In one folder they would be read as one table.
      #expect { try run("lake", to: 50, text, split: OutputSplit(time: .day, bytes: nil)) } throws: {
        "\($0)".contains("v is TEXT, and INTEGER in the files")
      }
      let without = try run("lake", to: 50, [], split: OutputSplit(time: .day, bytes: nil))
      #expect(without != nil)
      #expect { try run("lake", to: 60, [column("date", .text, "1")], split: OutputSplit(time: .day, bytes: nil)) } throws: {
        "\($0)".contains("name of a folder")
      }
    }
  }

  @Test("frames carry declared columns")
  func frames() throws {
    var frames: [UInt8] = []
    let export = try HistoryExport(source: events(), selection: ExportSelection(topics: nil)) { _ in columns }
    let writer = RecordFrameWriter { (chunk) throws(ExportError) in frames += chunk }
    try export.run(control: ScanControl(), into: writer)
    try writer.finish()
    var lines: [UInt8] = []
    let stream = ExportStream(ExportFormat.jsonl.makeWriter(export.schema) { (chunk) throws(ExportError) in lines += chunk })
    let taken = Taken(stream)
    let reader = RecordFrameReader(taken)
    try frames.withUnsafeBytes { try reader.append($0) }
    try stream.finish()
    #expect(reader.isFinished && taken.fields == export.schema.fields)
    #expect(try lines == bytes(events(), as: .jsonl, columns: ["t": columns]))
  }

  private final class Taken: RecordSink {
    let sink: ExportStream
    var fields: [ExportField] = []
    init(_ sink: ExportStream) { self.sink = sink }
    func begin(_ parts: [ExportPart], _ fields: [ExportField]) { self.fields = fields }
    func take(_ record: ExportRecord) throws(ExportError) { try sink.take(record) }
    func end(_ part: ExportPart) {}
  }
}
