import Export
import HistorySupport
import Model
import NIOCore
import Query
import Records
import TestSupport
import Testing

/// What an export hands on, as the bytes of a format.
func exportedBytes(
  _ source: MemoryHistory, _ selection: ExportSelection = ExportSelection(topics: nil), as format: ExportFormat = .jsonl,
  columns: ExportColumns = .all
) throws -> [UInt8] {
  var bytes: [UInt8] = []
  let stream = ExportStream(format.makeWriter(ExportSchema(fixed: columns)) { (chunk) throws(ExportError) in bytes += chunk })
  try HistoryExport(source: source, selection: selection).run(control: ScanControl(), into: stream)
  try stream.finish()
  return bytes
}

private func exported(
  _ source: MemoryHistory, topics: [String]? = nil, range: HistoryRange = .all, condition: String? = nil
) throws -> [String] {
  let bytes = try exportedBytes(source, ExportSelection(topics: topics, range: range, condition: condition))
  return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
}

func numbered(_ partitions: Int, batches: Int, start: Int64 = 0) throws -> MemoryHistory {
  var history = MemoryHistory()
  for partition in 0..<partitions {
    let made = try (0..<batches).map { number in
      try MemoryHistory.Batch(
        (0..<10).map { TestRecord(Int64(number * 10 + $0) * 1000, "v\($0)") }, at: Int64(number * 10), compression: .zstd)
    }
    history.add(
      PartitionExtent(topic: "t", partition: Int32(partition), logStartOffset: start, highWatermark: Int64(batches * 10)), made)
  }
  return history
}

/// A topic with a record of each kind.
func everyKind() throws -> MemoryHistory {
  var history = MemoryHistory()
  let headers = [
    RecordHeader(key: "a", value: ByteBuffer(string: "1")), RecordHeader(key: "a", value: nil),
    RecordHeader(key: "b", value: ByteBuffer(bytes: [0xFF])),
  ]
  let first = try MemoryHistory.Batch(
    [
      TestRecord(5, #"{"b": 1.0, "a":"\u00e9"}"#, key: "k"),
      TestRecord(6, key: [0xC3, 0x28], value: [0x61, 0x00, 0x62], headers: headers),
      TestRecord(-1, value: nil), TestRecord(7, key: [], value: []),
    ], at: 40)
  let second = try MemoryHistory.Batch([TestRecord(1, "grün \"x\"\t")], at: 44, timestampType: .logAppendTime)
  history.add(PartitionExtent(topic: "plays", partition: 2, logStartOffset: 40, highWatermark: 45), [first, second])
  return history
}

@Suite("Export")
struct HistoryExportTests {
  @Test("a record's line keeps every byte, and values stay the strings they are")
  func format() throws {
    let history = try everyKind()
    #expect(
      try exported(history) == [
        #"{"topic":"plays","partition":2,"offset":40,"timestamp":5,"timestamp_type":"CreateTime","key":"k","key_encoding":"utf8","value":"{\"b\": 1.0, \"a\":\"\\u00e9\"}","value_encoding":"utf8","headers":[]}"#,
        #"{"topic":"plays","partition":2,"offset":41,"timestamp":6,"timestamp_type":"CreateTime","key":"wyg=","key_encoding":"base64","value":"a\u0000b","value_encoding":"utf8","headers":[["a","1"],["a",null],["b",{"base64":"/w=="}]]}"#,
        #"{"topic":"plays","partition":2,"offset":42,"timestamp":-1,"timestamp_type":"CreateTime","key":null,"key_encoding":"null","value":null,"value_encoding":"null","headers":[]}"#,
        #"{"topic":"plays","partition":2,"offset":43,"timestamp":7,"timestamp_type":"CreateTime","key":"","key_encoding":"utf8","value":"","value_encoding":"utf8","headers":[]}"#,
        #"{"topic":"plays","partition":2,"offset":44,"timestamp":1,"timestamp_type":"LogAppendTime","key":null,"key_encoding":"null","value":"grün \"x\"\t","value_encoding":"utf8","headers":[]}"#
          .replacing("\t", with: "\\t"),
      ])
  }

  @Test("every visible record is there once, partition after partition, by offset")
  func complete() throws {
    var history = try numbered(3, batches: 50, start: 7)
    history.partitions[1].highWatermark = 493
    let lines = try exported(history)
    let positions = lines.map { line in
      line.split(separator: ",")[1...2].map { Int($0.split(separator: ":")[1])! }
    }
    let expected = (7..<500).map { [0, $0] } + (7..<493).map { [1, $0] } + (7..<500).map { [2, $0] }
    #expect(positions == expected)
    #expect(try exported(history) == lines)
  }

  @Test("ranges select by offset, by partition and by time")
  func ranges() throws {
    let history = try numbered(2, batches: 10)
    func count(_ from: RangeBound, _ to: RangeBound) throws -> Int {
      try exported(history, range: HistoryRange(from: from, to: to)).count
    }
    #expect(try count(.offset(95), .end) == 10)
    #expect(try count(.offset(10), .offset(12)) == 4)
    #expect(try count(.partitionOffset(partition: 1, offset: 98), .end) == 2)
    #expect(try count(.timestamp(20_000), .timestamp(22_001)) == 6)
    #expect(try count(.end, .end) == 0)
  }

  @Test("two exports of adjoining ranges are one export")
  func adjoining() throws {
    let history = try numbered(1, batches: 10)
    let whole = try exported(history)
    let parts =
      try exported(history, range: HistoryRange(from: .beginning, to: .offset(33)))
      + exported(history, range: HistoryRange(from: .offset(33), to: .end))
    #expect(parts == whole)
  }

  @Test("topics come in the order asked for, each once; an unknown one is an error before anything is written")
  func topics() throws {
    var history = MemoryHistory()
    for topic in ["a", "b", "c"] {
      history.add(
        PartitionExtent(topic: topic, partition: 0, logStartOffset: 0, highWatermark: 1),
        [try MemoryHistory.Batch([TestRecord(0, topic)], at: 0)])
    }
    #expect(try exported(history, topics: ["c", "a", "c"]).map { $0.prefix(12) } == [#"{"topic":"c""#, #"{"topic":"a""#])
    #expect(throws: ExportError.self) { try HistoryExport(source: history, selection: ExportSelection(topics: ["a", "x"])) }
  }

  @Test("cancelling and a failing sink end it")
  func endings() throws {
    let history = try numbered(1, batches: 10)
    let control = ScanControl()
    control.cancel()
    let export = try HistoryExport(source: history, selection: ExportSelection(topics: nil))
    let idle = ExportStream(ExportFormat.jsonl.makeWriter(.all) { (_) throws(ExportError) in })
    #expect { try export.run(control: control, into: idle) } throws: {
      if case .cancelled? = $0 as? ExportError { true } else { false }
    }
    let closed = ExportStream(ExportFormat.parquet.makeWriter(.all) { (_) throws(ExportError) in throw .outputClosed })
    #expect {
      try export.run(control: ScanControl(), into: closed)
      try closed.finish()
    } throws: {
      if case .outputClosed? = $0 as? ExportError { true } else { false }
    }
  }

  @Test("a condition chooses records by SQL, which stay whole; what is no condition is an error")
  func conditions() throws {
    let history = try numbered(2, batches: 2000)
    let all = try exported(history)
    let some = try exported(history, condition: "offset % 5000 = 3 OR offset = 19999 -- the last")
    #expect(some == all.filter { line in [3, 5003, 10003, 15003, 19999].contains { line.contains("\"offset\":\($0),") } })
    let range = try HistoryRange(from: .offset(5000), to: .timestamp(15_003_001))
    #expect(try exported(history, range: range, condition: "value = 'v3'").count == 2 * 1001)
    #expect(try exported(history, condition: "false") == [])
    #expect { try exported(history, condition: "nonsense = 1") } throws: { "\($0)".contains("nonsense") }
    #expect { try exported(history, condition: "1); DELETE FROM t; --") } throws: { "\($0)".contains("condition") }
  }

  @Test("slices narrow their partitions and leave the others whole")
  func slices() throws {
    let history = try numbered(3, batches: 10)
    let selection = ExportSelection(
      topics: nil,
      slices: [
        PartitionSlice(topic: "t", partition: 1, offsets: 90..<Int64.max),
        PartitionSlice(topic: "t", partition: 2, offsets: 5..<5),
      ])
    let export = try HistoryExport(source: history, selection: selection)
    #expect(export.parts.map(\.offsets) == [0..<100, 90..<100, 100..<100])
    #expect(try exportedBytes(history, selection).count(where: { $0 == 0x0A }) == 110)
  }

  @Test("frames carry records over a connection, however it cuts them")
  func frames() throws {
    let history = try everyKind()
    var frames: [UInt8] = []
    let writer = RecordFrameWriter { (chunk) throws(ExportError) in frames += chunk }
    try HistoryExport(source: history, selection: ExportSelection(topics: nil)).run(control: ScanControl(), into: writer)
    try writer.finish()
    let direct = try exportedBytes(history)
    for size in [1, 7, 64, frames.count] {
      var lines: [UInt8] = []
      let stream = ExportStream(ExportFormat.jsonl.makeWriter(.all) { (chunk) throws(ExportError) in lines += chunk })
      let reader = RecordFrameReader(stream)
      try frames.withUnsafeBytes { bytes in
        for start in stride(from: 0, to: bytes.count, by: size) {
          #expect(!reader.isFinished)
          try reader.append(UnsafeRawBufferPointer(rebasing: bytes[start..<min(bytes.count, start + size)]))
        }
      }
      try stream.finish()
      #expect(reader.isFinished && lines == direct)
    }
  }

  @Test("CSV tells null, empty and Base64 apart, and quotes what it must")
  func csv() throws {
    let text = String(decoding: try exportedBytes(everyKind(), as: .csv), as: UTF8.self)
    #expect(
      text == """
        topic,partition,offset,timestamp,timestamp_type,key,key_encoding,value,value_encoding,headers
        plays,2,40,5,CreateTime,k,utf8,"{""b"": 1.0, ""a"":""\\u00e9""}",utf8,
        plays,2,41,6,CreateTime,wyg=,base64,a\u{0}b,utf8,"[[""a"",""1""],[""a"",null],[""b"",{""base64"":""/w==""}]]"
        plays,2,42,-1,CreateTime,,null,,null,
        plays,2,43,7,CreateTime,,utf8,,utf8,
        plays,2,44,1,LogAppendTime,,null,"grün ""x""\t",utf8,

        """)
    let some = try exportedBytes(everyKind(), as: .csv, columns: [.value, .offset])
    #expect(String(decoding: some, as: UTF8.self).hasPrefix("offset,value,value_encoding\n40,"))
    let none = try exportedBytes(everyKind(), ExportSelection(topics: nil, condition: "false"), as: .csv, columns: .offset)
    #expect(String(decoding: none, as: UTF8.self) == "offset\n")
  }
}
