import Export
import HistorySupport
import Model
import NIOCore
import Query
import Records
import TestSupport
import Testing

private func exported(_ source: MemoryHistory, topics: [String]? = nil, range: HistoryRange = .all) throws -> [String] {
  var bytes: [UInt8] = []
  let export = try JSONLinesExport(source: source, topics: topics, range: range)
  let progress = try export.run(control: ScanControl()) { (chunk) throws(ExportError) in
    #expect(chunk.last == 0x0A)
    bytes += chunk
  }
  #expect(progress.bytes == Int64(bytes.count))
  let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
  #expect(progress.records == Int64(lines.count))
  return lines
}

private func numbered(_ partitions: Int, batches: Int, start: Int64 = 0) throws -> MemoryHistory {
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

@Suite("Export as JSON Lines")
struct JSONLinesExportTests {
  @Test("a record's line keeps every byte, and values stay the strings they are")
  func format() throws {
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
    #expect(throws: ExportError.self) { try JSONLinesExport(source: history, topics: ["a", "x"], range: .all) }
  }

  @Test("cancelling and a failing sink end it")
  func endings() throws {
    let history = try numbered(1, batches: 10)
    let control = ScanControl()
    control.cancel()
    let export = try JSONLinesExport(source: history, topics: nil, range: .all)
    #expect { try export.run(control: control) { (_) throws(ExportError) in } } throws: {
      if case .cancelled? = $0 as? ExportError { true } else { false }
    }
    #expect { try export.run(control: ScanControl()) { (_) throws(ExportError) in throw .outputClosed } } throws: {
      if case .outputClosed? = $0 as? ExportError { true } else { false }
    }
  }
}

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
        #expect(try directoryEntries(directory).count == 1)
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
