import Glibc
import HistorySupport
import Model
import NIOCore
import Query
import Records
import TestSupport
import Testing

@testable import Export

private func all(_ reader: any RecordReader) throws(ImportError) -> [ImportedRecord] {
  var records: [ImportedRecord] = []
  while let record = try reader.next() { records.append(record) }
  return records
}

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

@Suite("Import")
struct ImportTests {
  /// What `everyKind` holds.
  private static let kinds: [ImportedRecord] = [
    ImportedRecord(partition: 2, timestamp: 5, key: bytes("k"), value: bytes(#"{"b": 1.0, "a":"\u00e9"}"#)),
    ImportedRecord(
      partition: 2, timestamp: 6, key: [0xC3, 0x28], value: [0x61, 0x00, 0x62],
      headers: [.init(name: "a", value: bytes("1")), .init(name: "a", value: nil), .init(name: "b", value: [0xFF])]),
    ImportedRecord(partition: 2, timestamp: -1, key: nil, value: nil),
    ImportedRecord(partition: 2, timestamp: 7, key: [], value: []),
    ImportedRecord(partition: 2, timestamp: 1, key: nil, value: bytes("grün \"x\"\t")),
  ]

  @Test("what an export writes comes back byte for byte", arguments: ExportFormat.allCases)
  func roundTrip(format: ExportFormat) throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/out"
      let plan = OutputPlan(format: format, columns: .all, path: path, split: nil, request: [])
      let output = try ExportOutput.begin(plan, resuming: false).output
      try HistoryExport(source: everyKind(), selection: ExportSelection(topics: nil)).run(control: ScanControl(), into: output)
      try output.finish()
      #expect(try all(RecordImport.open(path, format: format)) == Self.kinds)
    }
  }

  @Test("CSV of other tools is taken: any order of columns, CRLF, all fields quoted, none of the encodings, a byte order mark")
  func foreignCSV() throws {
    let text = "\u{FEFF}\"value\",\"timestamp\",\"key\"\r\n\"a\r\nb\",\"7\",\"\"\r\n,,\"q\"\"\"\r\nlast,8,"
    #expect(
      try all(CSVRecordReader(bytes: bytes(text))) == [
        ImportedRecord(timestamp: 7, key: [], value: bytes("a\r\nb")), ImportedRecord(key: bytes("q\"")),
        ImportedRecord(timestamp: 8, value: bytes("last")),
      ])
    #expect(try all(CSVRecordReader(bytes: [])) == [])
  }

  @Test(
    "an error names its line",
    arguments: [
      ("value\na\n\"b", "line 3: the quote"), ("value,key\na\n", "line 2: 1 fields"),
      ("value\n\"a\nb\"\n\"c\"d\n", "line 4: something"),
      ("val\n", "line 1: the header line"), ("key\n", "line 1: the header line has no"),
      ("value,timestamp\na,b\n", "line 2: 'timestamp'"),
      ("value,value_encoding\na,null\n", "line 2: 'value_encoding'"), ("value,headers\na,x\n", "line 2: 'headers'"),
    ])
  func places(text: String, expected: String) throws {
    #expect { try all(CSVRecordReader(bytes: bytes(text))) } throws: { "\($0)".contains(expected) }
  }

  @Test("JSON Lines name their lines too, and empty ones are passed over")
  func lines() throws {
    let text = "{\"value\":\"a\"}\n\n{\"value\":\"b\",\"key\":null}\r\n{\"value\":1}"
    let reader = JSONLinesReader(bytes: bytes(text))
    #expect(try reader.next() == ImportedRecord(value: bytes("a")))
    #expect(try reader.next() == ImportedRecord(value: bytes("b")))
    #expect { try reader.next() } throws: { "\($0)".contains("line 4") }
  }
}

@Suite("Parquet")
struct ParquetTests {
  private func file(_ history: MemoryHistory, columns: ExportColumns = .all) throws -> [UInt8] {
    try exportedBytes(history, as: .parquet, columns: columns)
  }

  @Test("runs and packed groups come back as they were, of any width and at any cut")
  func runs() throws {
    var random = SeededRandom(seed: 1)
    for width in [1, 2, 3, 7, 8, 9, 16, 20, 31] {
      for _ in 0..<40 {
        var values: [UInt32] = []
        for _ in 0..<Int.random(in: 0...12, using: &random) {
          let count = Int.random(in: 1...40, using: &random)
          let value = UInt32.random(in: 0..<1 << UInt32(width), using: &random)
          values +=
            Bool.random(using: &random)
            ? Array(repeating: value, count: count) : (0..<count).map { UInt32($0) & (1 << UInt32(width) - 1) }
        }
        var encoded: [UInt8] = []
        values.withUnsafeBufferPointer { ParquetBits.appendRuns($0, width: width, to: &encoded) }
        var decoder = try RunDecoder(PageBytes(encoded), 0..<encoded.count, width: width)
        for value in values { #expect(try decoder.next() == value) }
      }
    }
  }

  @Test("differences come back as they were, whatever the numbers")
  func deltas() throws {
    var random = SeededRandom(seed: 2)
    let lists: [[Int64]] = [
      [], [5], Array(0..<1000), [.min, .max, 0, .max, .min, -1, 1], (0..<129).map { $0 * $0 },
      (0..<500).map { _ in Int64.random(in: .min ... .max, using: &random) },
    ]
    for values in lists {
      var encoded: [UInt8] = []
      values.withUnsafeBufferPointer { ParquetBits.appendDeltas($0, to: &encoded) }
      var decoder = try DeltaDecoder(PageBytes(encoded), 0..<encoded.count)
      for value in values { #expect(try decoder.next() == value) }
      #expect(throws: ParquetError.self) { try decoder.next() }
      if values.count == 1000 { #expect(encoded.count < 60) }
    }
  }

  @Test("large values have pages of their own, and memory is bounded by row groups")
  func groups() throws {
    var history = MemoryHistory()
    let batches = try (0..<50).map { number in
      try MemoryHistory.Batch(
        [TestRecord(1, value: Array(repeating: UInt8(number), count: 1 << 20), headers: [RecordHeader(key: "h", value: nil)])],
        at: Int64(number))
    }
    history.add(PartitionExtent(topic: "t", partition: 0, logStartOffset: 0, highWatermark: 50), batches)
    let bytes = try file(history)
    let reader = try ParquetReader(bytes: bytes, pageBytesMax: 1 << 21)
    var count = 0
    while let record = try reader.next() {
      #expect(record.value?.count == 1 << 20 && record.value?.first == UInt8(count))
      count += 1
    }
    #expect(count == 50)
    let footer = try bytes.withRawBytes { (all) throws(ParquetError) in
      let length = Int(all.loadUnaligned(fromByteOffset: all.count - 8, as: UInt32.self))
      return try ParquetFooter(UnsafeRawBufferPointer(rebasing: all[(all.count - 8 - length)..<(all.count - 8)]))
    }
    #expect(footer.groups.map(\.rows) == [32, 18])
  }

  @Test("chosen columns make a smaller schema, which is read back")
  func columns() throws {
    let records = try all(ParquetReader(bytes: file(everyKind(), columns: [.value, .offset]), pageBytesMax: 1 << 20))
    #expect(records.map(\.value) == [bytes(#"{"b": 1.0, "a":"\u00e9"}"#), [0x61, 0, 0x62], nil, [], bytes("grün \"x\"\t")])
    #expect(records.allSatisfy { $0.partition == nil && $0.timestamp == nil && $0.key == nil && $0.headers.isEmpty })
    #expect { try all(ParquetReader(bytes: file(everyKind(), columns: .key), pageBytesMax: 1 << 20)) } throws: {
      "\($0)".contains("no column 'value'")
    }
  }

  @Test("a file that is cut off anywhere, or has any byte wrong, ends in an error or in other records, and no trap")
  func hostile() throws {
    let whole = try file(everyKind())
    for end in 0..<whole.count {
      #expect(throws: ImportError.self) { try all(ParquetReader(bytes: Array(whole[..<end]), pageBytesMax: 1 << 20)) }
    }
    var random = SeededRandom(seed: 3)
    for index in whole.indices {
      var damaged = whole
      damaged[index] ^= UInt8.random(in: 1...255, using: &random)
      _ = try? all(ParquetReader(bytes: damaged, pageBytesMax: 1 << 20))
    }
  }
}
