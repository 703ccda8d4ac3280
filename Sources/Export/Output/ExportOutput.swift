/// Where an export goes and in which form.
public struct OutputPlan: Sendable {
  public var format: ExportFormat
  public var columns: ColumnChoice
  /// A file, `-`, or the directory of an output that is split.
  public var path: String
  public var split: OutputSplit?
  /// What was asked for, in words: an interrupted export is gone on with only by one that asks for the same.
  public var request: [String]
  /// Bytes of records between two moments from which an interrupted export can go on.
  public var checkpointBytes: Int64

  public init(
    format: ExportFormat, columns: ColumnChoice, path: String, split: OutputSplit?, request: [String],
    checkpointBytes: Int64 = 64 << 20
  ) {
    self.checkpointBytes = checkpointBytes
    self.format = format
    self.columns = columns
    self.path = path
    self.split = split
    self.request = request
  }
}

/// Writes the records that it takes into one file or several.
///
/// No file has its name before it is complete and durable. Where a journal is kept, files get their names only after the journal says
/// so: then what a later process finds is either wholly there or gone on with.
public final class ExportOutput: RecordSink {
  private let plan: OutputPlan
  private var keeper: Keeper
  private var parts: [ExportPart] = []
  private var fields: [ExportField] = []
  private var current = 0
  private var next: Int64 = 0
  private var open: [String: OutputPart] = [:]
  private var ready: [OutputPart] = []
  private var uses = 0
  private var sinceCheckpoint: Int64 = 0
  private var reportBytes: Int64 = 0
  private var hasJournal = false
  /// Records from behind which an interrupted export can be gone on with; nil where nothing is noted down.
  public private(set) var notedRecords: Int64?
  /// Offsets that are gone from history since the last incremental export, and were never brought away.
  public private(set) var missed: Int64 = 0
  /// What people should know of the columns, in a sentence; nil where there is nothing to say.
  public private(set) var note: String?

  /// Records so far, and the bytes of their keys and values.
  public private(set) var records: Int64 = 0
  public private(set) var recordBytes: Int64 = 0
  /// Files that are complete.
  public private(set) var fileCount = 0
  /// Called now and then.
  public var report: (ExportOutput) -> Void = { _ in }

  /// Who remembers what is durable.
  enum Keeper {
    /// Nobody: a pipe.
    case none
    case journal(StateFile)
    case state(StateFile, IncrementalState)
  }

  /// Files that are written at the same time, by time, at most.
  static let openMax = 8
  /// Bytes held back by all of them.
  static let bufferedMax = 64 << 20

  init(_ plan: OutputPlan, keeper: Keeper) {
    self.plan = plan
    self.keeper = keeper
  }

  deinit {
    // Nothing was noted down, or all is done: there is nothing to go on with.
    if case .journal(let journal) = keeper, notedRecords == nil { journal.remove() }
  }

  /// Goes on where a journal says.
  func resume(_ journal: ExportJournal) throws(ExportError) {
    hasJournal = true
    notedRecords = journal.records
    for file in journal.ready { try file.publish() }
    current = journal.current
    next = journal.next
    records = journal.records
    recordBytes = journal.bytes
    fields = journal.fields
    parts = journal.parts.map { ExportPart(topic: $0.topic, partition: $0.partition, offsets: $0.offsets) }
    for file in journal.open { open[file.place] = try OutputPart(plan, schema, resuming: file) }
  }

  /// Offsets in all, and those that are behind us: as many records, unless some are gone or not asked for.
  public var offsets: (done: Int64, all: Int64) {
    var done: Int64 = 0
    var all: Int64 = 0
    for (index, part) in parts.enumerated() {
      let count = part.offsets.upperBound - part.offsets.lowerBound
      all += count
      if index < current { done += count } else if index == current { done += max(0, next - part.offsets.lowerBound) }
    }
    return (done, all)
  }

  private var schema: ExportSchema { ExportSchema(fixed: plan.columns.fixed, fields: fields) }

  public func begin(_ parts: [ExportPart], _ fields: [ExportField]) throws(ExportError) {
    if let split = plan.split, let field = fields.first(where: { split.folderNames.contains($0.name.lowercased()) }) {
      throw .refused("the column \(field.name) has the name of a folder (--split-by): choose other columns")
    }
    if case .state(let file, var state) = keeper {
      missed = try state.check(parts)
      note = try state.check(fields, isSplit: plan.split != nil)
      state.fields = fields
      keeper = .state(file, state)
    }
    if hasJournal {
      // What was written has the columns of then.
      guard self.fields.isSame(as: fields) else {
        throw .refused(
          "the topic's columns have changed since the export was interrupted (then \(self.fields.words); now \(fields.words)): "
            + "ask for columns that are the same, or leave out --resume to begin anew")
      }
      return
    }
    self.parts = parts
    self.fields = fields
    next = parts.first?.offsets.lowerBound ?? 0
    // One file is there also if it has no record; of an increment only if there is one.
    if plan.split == nil, !isIncremental { open[""] = try OutputPart(plan, schema, path: plan.path, place: "") }
  }

  private var isIncremental: Bool { if case .state = keeper { true } else { false } }

  public func take(_ record: ExportRecord) throws(ExportError) {
    let file = try file(for: record)
    try file.write(record)
    let bytes = Int64((record.key?.count ?? 0) + (record.value?.count ?? 0))
    records += 1
    recordBytes += bytes
    sinceCheckpoint += bytes + Int64(record.values.bytes.count) + 32
    next = record.offset + 1
    if let limit = plan.split?.bytes, try file.isFull(limit) { try complete(file) }
    if plan.split?.time != nil { try holdBackLess() }
    if sinceCheckpoint >= plan.checkpointBytes { try checkpoint() }
    if recordBytes >= reportBytes || records & 0xFFF == 0 {
      reportBytes = recordBytes + 1 << 20
      report(self)
    }
  }

  public func end(_ part: ExportPart) throws(ExportError) {
    guard let index = parts.firstIndex(where: { $0.topic == part.topic && $0.partition == part.partition }) else { return }
    // One that was behind us when we went on: what is open belongs to a later one.
    guard index >= current else { return }
    current = index + 1
    next = current < parts.count ? parts[current].offsets.lowerBound : 0
    if plan.split != nil { for file in open.values.sorted(by: { $0.place < $1.place }) { try complete(file) } }
    report(self)
  }

  // Files

  private func file(for record: ExportRecord) throws(ExportError) -> OutputPart {
    uses += 1
    let place = plan.split?.place(of: record) ?? ""
    if let file = open[place] {
      file.lastUse = uses
      return file
    }
    if open.count >= Self.openMax, let oldest = open.values.min(by: { $0.lastUse < $1.lastUse }) { try complete(oldest) }
    var path = plan.path
    if let split = plan.split {
      let directory = "\(plan.path)/\(place)"
      try FilePresence.makeDirectories(directory)
      path = "\(directory)/\(split.fileName(of: record, plan.format))"
    }
    let file = try OutputPart(plan, schema, path: path, place: place)
    file.lastUse = uses
    open[place] = file
    return file
  }

  private func holdBackLess() throws(ExportError) {
    if open.values.reduce(0, { $0 + $1.bufferedBytes }) <= Self.bufferedMax { return }
    _ = try open.values.max { $0.bufferedBytes < $1.bufferedBytes }?.checkpoint()
  }

  private func complete(_ file: OutputPart) throws(ExportError) {
    open[file.place] = nil
    try file.finish()
    fileCount += 1
    if case .none = keeper { try file.publish() } else { ready.append(file) }
  }

  // What is durable

  private func checkpoint() throws(ExportError) {
    sinceCheckpoint = 0
    guard case .journal(let journal) = keeper else { return }
    var files: [ExportJournal.OpenFile] = []
    for file in open.values.sorted(by: { $0.place < $1.place }) { files.append(try file.checkpoint()) }
    try journal.replace(entry(open: files).encoded)
    hasJournal = true
    notedRecords = records
    for file in open.values { file.isKept = true }
    try publishReady()
  }

  private func entry(open: [ExportJournal.OpenFile]) -> ExportJournal {
    ExportJournal(
      request: plan.request, fields: fields,
      parts: parts.map { ExportJournal.Part(topic: $0.topic, partition: $0.partition, offsets: $0.offsets) }, current: current,
      next: next, records: records, bytes: recordBytes, open: open, ready: ready.compactMap(\.ready))
  }

  private func publishReady() throws(ExportError) {
    for file in ready { file.isKept = true }
    for file in ready { try file.publish() }
    ready.removeAll()
  }

  /// Completes what is open and gives every file its name.
  public func finish() throws(ExportError) {
    for file in open.values.sorted(by: { $0.place < $1.place }) { try complete(file) }
    report(self)
    switch keeper {
    case .none: break
    case .journal(let journal):
      // One file alone is complete with its name; of several, none may be missing.
      if hasJournal || ready.count > 1 {
        try journal.replace(entry(open: []).encoded)
        notedRecords = records
      }
      try publishReady()
      notedRecords = nil
    case .state(let file, var state):
      for part in parts { state.advance(part) }
      state.pending = ready.compactMap(\.ready)
      try file.replace(state.encoded)
      try publishReady()
      state.pending = []
      try file.replace(state.encoded)
    }
  }
}
