internal import SQLite

/// A statement that goes on: rows of one topic as they come in, each record looked at exactly once.
///
/// Round by round it takes a cut and scans what of each partition lies between the cut before and this one; partitions that are new are
/// read from their start. Used by one thread, which blocks; `control` ends it from any other.
public final class FollowedQuery {
  private let catalog: any HistoryCatalog
  private let shown: FollowedCatalog
  private let statement: Statement
  private let session: SQLSession
  private let topic: String
  private let watch: any HistoryWatch
  private var rows = 0
  /// All rows up to here were written; it goes from row to row.
  public private(set) var position: FollowPosition
  private var control: ScanControl { session.control }

  /// How long it waits at most without a word to `idle`.
  public static let idleTime = Duration.seconds(15)

  /// - Parameters:
  ///   - limits: of one round. `time` is that between two rows which are written, not that of waiting for records.
  /// - Throws: `.sql`, `.parameter` and `.notPermitted`, also for what cannot be followed; `.history`; `.unavailable`.
  public init(
    _ sql: String, parameters: [String: SQLParameter], from start: FollowStart, catalog: any HistoryCatalog, limits: SQLLimits,
    control: ScanControl
  ) throws(QueryError) {
    self.catalog = catalog
    shown = FollowedCatalog(catalog)
    session = try SQLSession(catalog: shown, limits: limits, control: control)
    session.memory.restart()
    control.restart(time: limits.time)
    session.context.failure = nil
    session.context.refusal = nil
    var program = try Self.program(of: sql, session)
    if program.refusal == nil, !program.isInScanOrder {
      // SQLite would look up one alternative after the other; where a client breaks off between two, nobody could tell what is missing.
      session.context.needsOnePass = true
      program = try Self.program(of: sql, session)
    }
    statement = try session.prepare(sql)
    guard program.refusal == nil, program.isInScanOrder, !session.context.wantsOrderOrLimit, session.cuts.topics.count == 1,
      let topic = session.cuts.topics.first
    else {
      let reason =
        program.refusal
        ?? (session.context.wantsOrderOrLimit
          ? "it has an order or a limit"
          : program.isInScanOrder ? "it reads no topic" : "its rows come in another order than they lie")
      throw QueryError(
        .notPermitted,
        "the statement cannot be followed: \(reason); what can is SELECT … FROM one topic, with or without WHERE")
    }
    self.topic = topic
    try SQLSession.bind(parameters, to: statement)
    guard let watch = catalog.watch(topic) else {
      throw QueryError(.unavailable, "only a running node tells of new records")
    }
    self.watch = watch
    let cut: any HistorySource
    do throws(HistoryError) { cut = try catalog.cut(of: [topic]) } catch { throw Self.explain(error) }
    if case .bound(.partitionOffset(let partition, _)) = start,
      !cut.partitions.contains(where: { $0.partition == partition })
    {
      throw QueryError(.parameter, "topic \(topic) has no partition \(partition) to follow")
    }
    do throws(HistoryError) {
      position = try Self.begin(start, cut, topic, control)
    } catch { throw Self.explain(error) }
    control.onCancel { watch.wake() }
  }

  deinit {
    control.onCancel(nil)
    // Before its session, which closes the connection.
    statement.finalize()
  }

  private static func program(of sql: String, _ session: SQLSession) throws(QueryError) -> FollowedProgram {
    let explained: Statement
    do throws(QueryError) { explained = try session.prepare("EXPLAIN \(sql)") } catch {
      // What is wrong with the statement itself is said as always.
      _ = try session.prepare(sql)
      throw QueryError(.notPermitted, "the statement cannot be followed: it is no plain SELECT")
    }
    var instructions: [(name: String, operand: Int64)] = []
    while try session.step(explained) {
      let name = explained.borrowedText(at: 1)
      instructions.append((String(decoding: name, as: UTF8.self), explained.integer(at: 2)))
    }
    return FollowedProgram(instructions)
  }

  /// Where each partition of the cut begins.
  private static func begin(
    _ start: FollowStart, _ source: any HistorySource, _ topic: String, _ control: ScanControl
  ) throws(HistoryError) -> FollowPosition {
    guard let topicID = source.partitions.first?.topicID else { throw gone(topic) }
    if case .position(let position) = start {
      guard position.topicID == topicID else {
        throw HistoryError(.unavailable, "the topic \(topic) is another one than that position is of")
      }
      return position
    }
    guard case .bound(let bound) = start else { preconditionFailure("a start that is neither") }
    var next: [Int32: Int64] = [:]
    for (index, extent) in source.partitions.enumerated() {
      // Says what is wrong with a partition that cannot be read.
      _ = try source.openBatches(of: index)
      switch bound {
      case .beginning: next[extent.partition] = extent.logStartOffset
      case .end: next[extent.partition] = extent.highWatermark
      case .offset(let offset): next[extent.partition] = max(offset, extent.logStartOffset)
      case .partitionOffset(let partition, let offset):
        next[extent.partition] = partition == extent.partition ? max(offset, extent.logStartOffset) : .max
      case .timestamp(let time):
        let selection =
          extent.highWatermark > extent.logStartOffset
          ? BatchSelection(
            offsets: extent.logStartOffset...(extent.highWatermark - 1), timestamps: time...Int64.max, isDescending: false)
          : nil
        let scan = RecordScan(source, partition: index, selection: selection, control: control)
        next[extent.partition] = try scan.next() ? scan.offset : extent.highWatermark
      }
    }
    return FollowPosition(topicID: topicID, next: next)
  }

  private static func gone(_ topic: String) -> HistoryError { HistoryError(.unavailable, "the topic \(topic) was deleted") }

  /// Writes rows until it is cancelled or fails; returns in neither case.
  ///
  /// - Parameters:
  ///   - willWrite: called in front of each row; `position` is then that behind the row.
  ///   - idle: called now and then while there is nothing new.
  public func run(
    into writer: some RowWriter, willWrite: (FollowPosition) -> Void = { _ in }, idle: () throws -> Void = {}
  ) throws(QueryError) -> Never {
    writer.output.bytesMax = session.limits.outputBytes
    try write {
      try writer.begin(columns: (0..<self.statement.columnCount).map { self.statement.columnName(at: $0) })
      try writer.pause()
    }
    control.progress.noteFollowing()
    var lastWritten = (bytes: writer.output.bytesWritten, at: ContinuousClock.now)
    while true {
      session.memory.restart()
      control.restart(time: session.limits.time)
      session.context.failure = nil
      if let ends = try take() {
        try session.memory.spend { () throws(QueryError) in try round(into: writer, ends, willWrite) }
        try write { try writer.pause() }
      }
      control.restart(time: nil)
      watch.wait(atMost: Self.idleTime)
      if control.isCancelled { throw QueryError(.cancelled, "the query was cancelled") }
      // Records that come in all the time may have no row that is asked for.
      let now = ContinuousClock.now
      let written = writer.output.bytesWritten
      if written != lastWritten.bytes { lastWritten = (written, now) }
      if now - lastWritten.at >= Self.idleTime {
        try write { try idle() }
        lastWritten = (writer.output.bytesWritten, now)
      }
    }
  }

  /// Takes the next cut.
  ///
  /// - Returns: the ends of its partitions; nil if nothing is new.
  private func take() throws(QueryError) -> [Int32: Int64]? {
    do throws(HistoryError) {
      guard try catalog.prepare(topic) != nil else { throw Self.gone(topic) }
      let source = try catalog.cut(of: [topic])
      guard let topicID = source.partitions.first?.topicID, topicID == position.topicID else { throw Self.gone(topic) }
      var ends: [Int32: Int64] = [:]
      var isNew = false
      let isOnePartition = position.next.values.contains(.max)
      for (index, extent) in source.partitions.enumerated() {
        // A partition that was made since is new from its first record on.
        let next = position.next[extent.partition] ?? (isOnePartition ? .max : extent.logStartOffset)
        position.next[extent.partition] = next
        if next == .max { continue }
        if next < extent.logStartOffset {
          throw HistoryError(
            .unavailable,
            "records of partition \(extent.partition) were deleted before they were read: offsets \(next) to \(extent.logStartOffset - 1)"
          )
        }
        if extent.highWatermark <= next { continue }
        _ = try source.openBatches(of: index)
        ends[extent.partition] = extent.highWatermark
        isNew = true
      }
      if !isNew { return nil }
      shown.show(RestrictedHistory(source, from: position.next))
      return ends
    } catch { throw Self.explain(error) }
  }

  private func round(
    into writer: some RowWriter, _ ends: [Int32: Int64], _ willWrite: (FollowPosition) -> Void
  ) throws(QueryError) {
    statement.reset()
    session.cuts.forget()
    defer {
      // Lets go of the segments of this cut.
      statement.reset()
      session.cuts.forget()
    }
    var reached: Int32?
    while try session.step(statement) {
      if let place = session.context.cursor?.place {
        if reached != place.partition {
          for (partition, end) in ends where partition < place.partition { position.next[partition] = end }
          reached = place.partition
        }
        position.next[place.partition] = place.offset + 1
      }
      willWrite(position)
      rows += 1
      try write {
        try writer.write(ResultRow(statement))
        try writer.output.flushIfFull()
      }
      // A reader that is slow is not the statement's fault.
      control.restart(time: session.limits.time)
      control.progress.note(rows: rows, outputBytes: writer.output.bytesWritten)
    }
    for (partition, end) in ends { position.next[partition] = end }
  }

  private func write(_ body: () throws -> Void) throws(QueryError) {
    do { try body() } catch let error as QueryError { throw error } catch {
      throw QueryError(.output, "the rows could not be written: \(error)", cause: error)
    }
  }

  private static func explain(_ error: HistoryError) -> QueryError {
    switch error.reason {
    case .cancelled: QueryError(.cancelled, "the query was cancelled")
    case .tooSlow: QueryError(.limit(.time), "the query took longer than its limit")
    case .tooLarge: QueryError(.limit(.valueBytes), error.message)
    case .damaged, .unavailable: QueryError(.history, error.message)
    }
  }
}
