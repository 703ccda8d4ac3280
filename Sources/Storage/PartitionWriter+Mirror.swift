internal import Model
internal import Records
internal import SQLite
internal import Synchronization

// The log of a mirror: offsets are the source's, and the log's end says how far it was copied.

extension PartitionWriter {
  /// Puts batches at the offsets they have. Those that end at or before the log's end are there already.
  ///
  /// - Returns: also `.rejected` with `offsetOutOfRange` where the rest does not go on at the end.
  /// - Throws: as `append`.
  func mirror(_ request: AppendRequest, logStartOffset: Int64?, now: Int64) throws(StorageError) -> AppendOutcome {
    guard configuration.isMirror else {
      return .rejected(.invalidRequest, message: "the topic is no mirror: `quire.mirror.source` is not set")
    }
    let end = (transaction?.extent ?? extent).endOffset
    let outcome = AppendOutcome.appended(
      baseOffset: Offset(end), logAppendTime: -1, logStartOffset: Offset(max(state.logStartOffset, logStartOffset ?? 0)))
    let batches = request.batches.drop { $0.header.nextOffset <= end }
    guard let first = batches.first, let last = batches.last else { return outcome }
    guard first.header.baseOffset == end else {
      return .rejected(
        .offsetOutOfRange, message: "the log ends at \(end), and the next batch begins at \(first.header.baseOffset)")
    }
    if let logStartOffset, !(0...last.header.nextOffset ~= logStartOffset) {
      return .rejected(.offsetOutOfRange, message: "the log cannot start at \(logStartOffset), behind its end")
    }
    try checkReserve()
    do throws(SQLiteError) {
      try beginTransaction()
      for batch in batches { try insert(batch, of: request.records, now: now, remembersProducer: false) }
      if let logStartOffset { transaction!.logStartOffset = max(logStartOffset, transaction!.logStartOffset ?? 0) }
      return outcome
    } catch { throw .sqlite(error) }
  }

  /// Has a mirror's log that holds no records begin at `offset`.
  ///
  /// - Throws: `.refused` if it holds some, or ends behind `offset`, or no log can begin there; nothing was changed.
  func beginMirror(at offset: Int64, now: Int64) throws(StorageError) {
    guard configuration.isMirror else { throw .refused(.invalidRequest) }
    guard state.logStartOffset == extent.endOffset, offset >= extent.endOffset, offset < LogStretch.offsetMax else {
      throw .refused(.offsetOutOfRange)
    }
    if offset == extent.endOffset { return }
    try roll(now: now, beginningAt: offset)
    let files = log.shared.withLock { shared in
      defer { shared.segments.removeFirst(shared.segments.count - 1) }
      shared.tail.removeAll()
      return Array(shared.segments.dropLast())
    }
    lane.noteTail(of: log, bytes: 0)
    store.readAhead.drop(log)
    removals += files
    removals = removals.filter { !remove($0) }
    if !removals.isEmpty { lane.watch(self) }
  }
}
