internal import Model

extension ExportOutput {
  /// An output that begins, and what of the history it wants.
  public struct Beginning {
    public let output: ExportOutput
    /// To be asked of the history.
    public let slices: [PartitionSlice]
    /// What became of an export before it, in a sentence for people; nil where there is nothing to say.
    public let note: String?
    /// There is nothing left to do: an export that was interrupted at its very end has just got its names.
    public let isDone: Bool
  }

  /// Begins an output anew, or goes on with one that was interrupted.
  ///
  /// - Throws: `.refused` where it does not fit what was asked for before.
  public static func begin(_ plan: OutputPlan, resuming: Bool) throws(ExportError) -> Beginning {
    try plan.format.check(plan.columns)
    if plan.path == "-" || isPipe(plan) {
      if resuming { throw .refused("what goes into a pipe cannot be gone on with") }
      return Beginning(output: ExportOutput(plan, keeper: .none), slices: [], note: nil, isDone: false)
    }
    try makeDirectory(plan)
    let file = try StateFile(path: journalPath(plan), busy: "another export is writing '\(plan.path)'")
    let journal = ExportJournal(file.content)
    if journal == nil && !file.content.isEmpty { throw .refused("'\(file.path)' is no journal of an export") }
    guard resuming, let journal else {
      try emptyDirectory(plan, resuming: resuming, journal: file)
      // First of all: what it says must not be believed of the files that are begun now.
      if !file.content.isEmpty { try file.replace([]) }
      for begun in journal?.open ?? [] { OutputFile.remove(OutputFile.temporaryPath(for: begun.path)) }
      for ready in journal?.ready ?? [] { OutputFile.remove(ready.temporaryPath) }
      return Beginning(
        output: ExportOutput(plan, keeper: .journal(file)), slices: [],
        note: resuming ? "nothing of it was noted down before: beginning anew" : nil, isDone: false)
    }
    guard journal.request == plan.request else {
      throw .refused(
        "the interrupted export of '\(plan.path)' was asked for in other words (\(journal.request.joined(separator: " "))); "
          + "ask the same, or leave out --resume to begin anew")
    }
    let output = ExportOutput(plan, keeper: .journal(file))
    try output.resume(journal)
    return Beginning(
      output: output, slices: journal.slices, note: "going on behind \(journal.records) records", isDone: false)
  }

  /// Begins an output of what is new since the state was written.
  public static func begin(_ plan: OutputPlan, incremental statePath: String) throws(ExportError) -> Beginning {
    try plan.format.check(plan.columns)
    if plan.path == "-" || isPipe(plan) { throw .refused("an incremental export goes into files, not into a pipe") }
    let file = try StateFile(path: statePath, busy: "another export has '\(statePath)'")
    guard var state = IncrementalState(file.content) else { throw .refused("'\(statePath)' is no state of an export") }
    try makeDirectory(plan)
    let recovered = state.pending
    for ready in recovered { try ready.publish() }
    if !recovered.isEmpty {
      state.pending = []
      try file.replace(state.encoded)
    }
    let output = ExportOutput(plan, keeper: .state(file, state))
    let note =
      recovered.isEmpty ? nil : "an export before this one was interrupted when all was written: its files have their names now"
    if recovered.contains(where: { $0.path == plan.path }) {
      return Beginning(output: output, slices: [], note: note, isDone: true)
    }
    if plan.split == nil && FilePresence.exists(plan.path) {
      throw .refused("'\(plan.path)' is there already, with what was exported before; name another file")
    }
    return Beginning(output: output, slices: state.slices, note: note, isDone: false)
  }

  private static func isPipe(_ plan: OutputPlan) -> Bool {
    plan.split == nil && FilePresence.exists(plan.path) && !FilePresence.isRegular(plan.path)
      && !FilePresence.isDirectory(plan.path)
  }

  private static func makeDirectory(_ plan: OutputPlan) throws(ExportError) {
    if plan.split != nil { return try FilePresence.makeDirectories(plan.path) }
    if FilePresence.isDirectory(plan.path) {
      throw .output(
        path: plan.path, message: "it is a directory (an output in several files is asked for by --split-by or --split-bytes)")
    }
  }

  static func journalPath(_ plan: OutputPlan) -> String {
    if plan.split != nil { return "\(plan.path)/.quire-export" }
    let (directory, name) = OutputFile.split(plan.path)
    return "\(directory)/.\(name).quire-export"
  }

  /// Sees to it that a directory has no file in it. What an interrupted export has begun has no name yet, and goes.
  private static func emptyDirectory(_ plan: OutputPlan, resuming: Bool, journal: StateFile) throws(ExportError) {
    guard plan.split != nil else { return }
    let files = FilePresence.files(under: plan.path)
    guard let strange = files.named.min() else {
      for begun in files.hidden where OutputFile.isTemporary(begun) { OutputFile.remove("\(plan.path)/\(begun)") }
      return
    }
    if journal.content.isEmpty { journal.remove() }
    let advice =
      resuming ? "there is nothing to go on with; name a new directory" : "name a new directory, or go on with --resume"
    throw .refused("'\(plan.path)' is not empty ('\(strange)'): \(advice)")
  }
}

extension IncrementalState {
  /// - Returns: how many offsets are gone that were never exported.
  /// - Throws: where a partition is shorter than it was: it is another one by the same name.
  func check(_ parts: [ExportPart]) throws(ExportError) -> Int64 {
    var missed: Int64 = 0
    for part in parts {
      guard let next = next[Place(topic: part.topic, partition: part.partition)] else { continue }
      guard part.offsets.upperBound >= next else {
        throw .refused(
          "partition \(part.partition) of '\(part.topic)' ends at offset \(part.offsets.upperBound), and \(next) were exported "
            + "before: it was made anew; begin with a new state")
      }
      missed += max(0, part.offsets.lowerBound - next)
    }
    return missed
  }

  /// Each export has files of its own, whose columns are those of now.
  ///
  /// - Returns: what has changed, for people.
  /// - Throws: where files of one folder would have a column in two types.
  func check(_ fields: [ExportField], isSplit: Bool) throws(ExportError) -> String? {
    guard let before = self.fields, !before.isSame(as: fields) else { return nil }
    for field in fields where isSplit {
      guard let same = before.first(where: { $0.name.lowercased() == field.name.lowercased() }), same.type != field.type else {
        continue
      }
      throw .refused(
        "the column \(field.name) is \(field.type.rawValue), and \(same.type.rawValue) in the files that were exported before: "
          + "choose other columns, or begin with a new directory and a new state")
    }
    return
      "the topic's columns have changed since the last export: then \(before.words); in its files from now on \(fields.words)"
  }

  mutating func advance(_ part: ExportPart) {
    next[Place(topic: part.topic, partition: part.partition)] = part.offsets.upperBound
  }
}
