internal import Dispatch

/// How records become lines. Each line follows from its record alone.
protocol LineFormat: AnyObject {
  /// What stands in front of the first line.
  var head: [UInt8] { get }
  func append(_ record: ExportRecord, to out: inout [UInt8])
}

/// Writes records as lines.
///
/// In parallel, records are collected in chunks, threads make lines of several at a time, and their lines are handed on in the order of the
/// records: the bytes are the same.
final class LineWriter: RecordWriter {
  /// Bytes of records that become lines at once, about.
  private static let chunkBytes = 512 << 10
  /// Chunks that are waited for.
  private static let jobsMax = 3

  private let make: @Sendable () -> any LineFormat
  private let format: any LineFormat
  private let output: ChunkedOutput
  private let fieldCount: Int
  /// Nil: lines are made at once.
  private let queue: DispatchQueue?
  private var hasHead = false
  private var chunk: RecordBuffer?
  /// In the order of their records.
  private var jobs: [Job] = []

  /// A chunk on its way to lines.
  private final class Job: @unchecked Sendable {
    // Safe because: the thread that makes the lines has it until it signals, and the writer behind that.
    let records: RecordBuffer
    var lines: [UInt8] = []
    let isDone = DispatchSemaphore(value: 0)

    init(_ records: RecordBuffer) { self.records = records }
  }

  init(
    _ schema: ExportSchema, isParallel: Bool, _ sink: @escaping ([UInt8]) throws(ExportError) -> Void,
    format make: @escaping @Sendable () -> any LineFormat
  ) {
    self.make = make
    format = make()
    output = ChunkedOutput(sink)
    fieldCount = schema.fields.count
    queue = isParallel ? DispatchQueue(label: "lines", attributes: .concurrent) : nil
  }

  private func begin() {
    if hasHead { return }
    hasHead = true
    output.bytes += format.head
  }

  func write(_ record: ExportRecord) throws(ExportError) {
    if queue != nil { return try collect(record) }
    begin()
    format.append(record, to: &output.bytes)
    try output.handOnIfFull()
  }

  private func collect(_ record: ExportRecord) throws(ExportError) {
    if let full = chunk, full.part !== record.part || full.bytes.count >= Self.chunkBytes { try submit() }
    if chunk == nil {
      // Most of its bytes are those of the records, the rest is a frame around each.
      chunk = RecordBuffer(part: record.part, fieldCount: fieldCount)
    }
    chunk?.append(record)
  }

  /// Has lines made of what was collected.
  private func submit() throws(ExportError) {
    guard let records = chunk, let queue else { return }
    chunk = nil
    if jobs.count == Self.jobsMax { try handOnFirst() }
    let job = Job(records)
    jobs.append(job)
    queue.async { [make] in
      let format = make()
      var lines: [UInt8] = []
      lines.reserveCapacity(records.bytes.count * 2)
      records.forEachRecord { format.append($0, to: &lines) }
      job.lines = lines
      job.isDone.signal()
    }
  }

  private func handOnFirst() throws(ExportError) {
    let job = jobs.removeFirst()
    job.isDone.wait()
    begin()
    try output.handOn()
    if !job.lines.isEmpty { try output.handOn(job.lines) }
  }

  var bufferedBytes: Int { output.bytes.count + (chunk?.bytes.count ?? 0) + jobs.reduce(0) { $0 + $1.records.bytes.count } }

  func checkpoint() throws(ExportError) -> [UInt8] {
    begin()
    try submit()
    while !jobs.isEmpty { try handOnFirst() }
    try output.handOn()
    return []
  }

  func resume(_ state: [UInt8], bytes: Int64) { hasHead = bytes > 0 }

  func finish() throws(ExportError) { _ = try checkpoint() }
}
