import Dispatch
import Export
import HistorySupport
import Model
import Query
import Synchronization
import Testing

@Suite("Reading ahead")
struct ReadingAheadTests {
  private let threads = ExportHelpers(count: 2) { work in DispatchQueue.global().async(execute: work) }
  /// Nobody has time, or only later.
  private let busy = ExportHelpers(count: 2) { _ in }
  private let own = ExportHelpers(count: 1) { work in work() }

  private func lines(
    _ source: some HistorySource, _ helpers: ExportHelpers?, _ selection: ExportSelection = ExportSelection(topics: nil),
    as format: ExportFormat = .jsonl, isParallel: Bool = false
  ) throws -> [UInt8] {
    var bytes: [UInt8] = []
    let export = try HistoryExport(source: source, selection: selection)
    let stream = ExportStream(
      format.makeWriter(export.schema, isParallel: isParallel) { (chunk) throws(ExportError) in bytes += chunk })
    try export.run(control: ScanControl(), helpers: helpers, into: stream)
    try stream.finish()
    return bytes
  }

  @Test("the bytes are the same, whoever reads and however many make lines of it")
  func same() throws {
    let history = try numbered(3, batches: 900)
    for selection in [
      ExportSelection(topics: nil),
      ExportSelection(topics: nil, range: try HistoryRange(from: .offset(4095), to: .offset(8_193))),
      ExportSelection(topics: nil, condition: "offset % 7 = 0"),
    ] {
      for format in [ExportFormat.jsonl, .csv] {
        let alone = try lines(history, nil, selection, as: format)
        #expect(alone.count > 100_000)
        for helpers in [threads, busy, own] {
          #expect(try lines(history, helpers, selection, as: format) == alone)
          #expect(try lines(history, helpers, selection, as: format, isParallel: true) == alone)
        }
      }
    }
  }

  @Test("records that do not fit into memory are read when their turn comes", arguments: [nil, "offset <> 3"])
  func large(condition: String?) throws {
    var history = MemoryHistory()
    for partition in 0..<2 {
      let batches = try (0..<14).map { number in
        try MemoryHistory.Batch(
          [TestRecord(1, value: Array(repeating: UInt8(97 + number), count: 1 << 20))], at: Int64(number))
      }
      history.add(PartitionExtent(topic: "t", partition: Int32(partition), logStartOffset: 0, highWatermark: 14), batches)
    }
    let selection = ExportSelection(topics: nil, condition: condition)
    let alone = try lines(history, nil, selection)
    for helpers in [threads, own] { #expect(try lines(history, helpers, selection) == alone) }
  }

  @Test("an error comes at the record it is at, behind all before it, and leaves nobody reading")
  func errors() throws {
    var history = try numbered(2, batches: 1000)
    history.damagedBaseOffset = 8_000
    let running = Running()
    let counted = ExportHelpers(count: 2) { work in
      running.count.add(1, ordering: .sequentiallyConsistent)
      DispatchQueue.global().async {
        work()
        running.count.subtract(1, ordering: .sequentiallyConsistent)
      }
    }
    for helpers in [nil, counted] {
      var count = 0
      let sink = Counting { (_) throws(ExportError) in count += 1 }
      #expect {
        try HistoryExport(source: history, selection: ExportSelection(topics: nil)).run(
          control: ScanControl(), helpers: helpers, into: sink)
      } throws: { "\($0)".contains("8000") }
      #expect(count == 8_000)
    }
    history.damagedBaseOffset = nil
    let failing = Counting { (record) throws(ExportError) in if record.offset == 6000 { throw .outputClosed } }
    #expect {
      try HistoryExport(source: history, selection: ExportSelection(topics: nil)).run(
        control: ScanControl(), helpers: counted, into: failing)
    } throws: { if case .outputClosed? = $0 as? ExportError { true } else { false } }
    let control = ScanControl()
    let cancelling = Counting { (record) throws(ExportError) in if record.offset == 6000 { control.cancel() } }
    #expect {
      try HistoryExport(source: history, selection: ExportSelection(topics: nil)).run(
        control: control, helpers: counted, into: cancelling)
    } throws: { if case .cancelled? = $0 as? ExportError { true } else { false } }
  }

  private final class Running: Sendable { let count = Atomic<Int>(0) }

  private final class Counting: RecordSink {
    let body: (ExportRecord) throws(ExportError) -> Void
    init(_ body: @escaping (ExportRecord) throws(ExportError) -> Void) { self.body = body }
    func begin(_ parts: [ExportPart], _ fields: [ExportField]) {}
    func take(_ record: ExportRecord) throws(ExportError) { try body(record) }
    func end(_ part: ExportPart) {}
  }
}
