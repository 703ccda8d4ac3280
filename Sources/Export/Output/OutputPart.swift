internal import Synchronization

/// One file of an output while it is written.
final class OutputPart {
  let place: String
  var lastUse = 0
  private let format: ExportFormat
  private let file: OutputFile
  private let writer: any RecordWriter
  private let count = ByteCount()
  private var records: Int64 = 0
  private var recordBytes: Int64 = 0

  /// Bytes handed to the file; the writer may do that on a thread of its own.
  private final class ByteCount: Sendable {
    let value = Atomic<Int64>(0)
    var bytes: Int64 { value.load(ordering: .relaxed) }
    func add(_ count: Int64) { value.add(count, ordering: .relaxed) }
  }

  init(_ plan: OutputPlan, _ schema: ExportSchema, path: String, place: String) throws(ExportError) {
    self.place = place
    format = plan.format
    file = try OutputFile(path: path)
    writer = try Self.makeWriter(plan, schema, file, count)
  }

  init(_ plan: OutputPlan, _ schema: ExportSchema, resuming noted: ExportJournal.OpenFile) throws(ExportError) {
    place = noted.place
    format = plan.format
    file = try OutputFile(path: noted.path, plan.format.isStream ? .behind(noted.bytes) : .asItIs)
    writer = try Self.makeWriter(plan, schema, file, count)
    count.add(noted.bytes)
    records = noted.records
    recordBytes = noted.recordBytes
    try writer.resume(noted.state, bytes: noted.bytes)
  }

  private static func makeWriter(
    _ plan: OutputPlan, _ schema: ExportSchema, _ file: OutputFile, _ count: ByteCount
  ) throws(ExportError) -> any RecordWriter {
    if plan.format.isStream {
      // Where lines of a file are counted in bytes they have to be there.
      let isParallel = plan.format == .parquet || plan.split?.bytes == nil
      return plan.format.makeWriter(schema, isParallel: isParallel) { chunk throws(ExportError) in
        try file.write(chunk)
        count.add(Int64(chunk.count))
      }
    }
    guard let path = file.temporaryPath else {
      throw .refused("a database cannot be written into a pipe: name a file (--output)")
    }
    return try SQLiteRecordWriter(schema, path: path)
  }

  var isKept: Bool {
    get { file.isKept }
    set { file.isKept = newValue }
  }
  var bufferedBytes: Int { writer.bufferedBytes }
  var ready: ExportJournal.Ready? {
    file.temporaryPath.map { ExportJournal.Ready(temporaryPath: $0, path: file.path) }
  }

  func write(_ record: ExportRecord) throws(ExportError) {
    try writer.write(record)
    records += 1
    recordBytes += Int64((record.key?.count ?? 0) + (record.value?.count ?? 0) + record.values.bytes.count + 32)
  }

  /// Whether the file has as many bytes as it is to have; found out exactly only when it may.
  func isFull(_ limit: Int64) throws(ExportError) -> Bool {
    if !format.isStream { return recordBytes >= limit }
    guard count.bytes + Int64(writer.bufferedBytes) >= limit else { return false }
    _ = try writer.checkpoint()
    return count.bytes >= limit - limit / 8
  }

  /// Makes durable what was written.
  func checkpoint() throws(ExportError) -> ExportJournal.OpenFile {
    let state = try writer.checkpoint()
    try file.sync()
    return ExportJournal.OpenFile(
      path: file.path, place: place, bytes: count.bytes, records: records, recordBytes: recordBytes, state: state)
  }

  func finish() throws(ExportError) {
    try writer.finish()
    try file.seal()
  }

  func publish() throws(ExportError) { try file.publish() }
}
