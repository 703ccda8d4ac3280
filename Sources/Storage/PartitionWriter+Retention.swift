internal import CoreMetrics
internal import Logging
internal import Model
internal import SQLite
internal import Synchronization

extension PartitionWriter {
  /// Lets go of what is too old or too much: idle producers, then whole segments, oldest first.
  ///
  /// - Parameter now: milliseconds since 1970.
  func enforceRetention(now: Int64) throws(StorageError) {
    if let fenceReason { throw .fenced(fenceReason) }
    try expireProducers(now: now)
    let configuration = configuration
    // What may go goes first: a roll needs room, and on a full disk there is none until then.
    try removeExpired(configuration, now: now)
    guard isRollDue(configuration, now: now) else { return }
    do throws(StorageError) { try roll(now: now) } catch {
      guard error.isDiskFull, fenceReason == nil, store.reserve.release() else { throw error }
      try roll(now: now)
    }
    try removeExpired(configuration, now: now)
  }

  private func removeExpired(_ configuration: TopicConfiguration, now: Int64) throws(StorageError) {
    var total = state.segments.reduce(extent.batchBytes) { $0 + $1.batchBytes }
    var count = 0
    for record in state.segments {
      let isExpired = isOlder(than: configuration.retentionMilliseconds, newest(of: record), now)
      let isTooMuch = configuration.retentionBytes >= 0 && total - record.batchBytes >= configuration.retentionBytes
      guard isExpired || isTooMuch || record.endOffset <= state.logStartOffset, record.endOffset <= highWatermark else { break }
      total -= record.batchBytes
      count += 1
    }
    guard count > 0 else { return }
    try moveLogStart(to: max(state.logStartOffset, state.segments[count - 1].endOffset))
  }

  /// When a segment's youngest record is from; where no record says, when its file was written last, as in Kafka.
  private func newest(of record: SegmentRecord) -> Int64? {
    if record.maxTimestamp >= 0 { return record.maxTimestamp }
    let name = SegmentName(baseOffset: record.baseOffset, generation: record.generation)
    return FileSystem.modificationMilliseconds(of: "\(log.directory)/\(name.fileName)")
  }

  private func isOlder(than retention: Int64, _ timestamp: Int64?, _ now: Int64) -> Bool {
    guard retention >= 0, let timestamp else { return false }
    return now.subtractingReportingOverflow(timestamp).partialValue > retention && timestamp < now
  }

  /// An idle segment rolls too: only what is not active can be let go of.
  private func isRollDue(_ configuration: TopicConfiguration, now: Int64) -> Bool {
    guard extent.endOffset > state.baseOffset else { return false }
    if let first = extent.firstAppendMilliseconds, now - first >= configuration.segmentMilliseconds { return true }
    let newest = extent.maxTimestamp >= 0 ? extent.maxTimestamp : extent.firstAppendMilliseconds
    return isOlder(than: configuration.retentionMilliseconds, newest, now) || state.logStartOffset == extent.endOffset
  }

  /// Raises the log start by a commit in the active segment, and lets go of the segments that lie wholly below it.
  ///
  /// - Precondition: `offset` is at or below the high watermark.
  func moveLogStart(to offset: Int64) throws(StorageError) {
    let gone = state.segments.filter { $0.endOffset <= offset }
    guard offset > state.logStartOffset || !gone.isEmpty else { return }
    try commitChange(freesRoom: true) { segment, state throws(SQLiteError) in
      state.logStartOffset = max(state.logStartOffset, offset)
      state.segments.removeFirst(gone.count)
      if let last = gone.last {
        try segment.connection.execute("DELETE FROM segment WHERE base_offset <= \(last.baseOffset)")
      }
    }
    guard !gone.isEmpty else { return }
    let bases = Set(gone.map(\.baseOffset))
    let files = log.shared.withLock { shared in
      let files = shared.segments.filter { bases.contains($0.baseOffset) }
      shared.segments.removeAll { bases.contains($0.baseOffset) }
      return files
    }
    removals += files
    removals = removals.filter { !remove($0) }
    if !removals.isEmpty { lane.watch(self) }
  }

  /// Unlinks a segment nobody needs any more, once nobody reads or pins it.
  func remove(_ file: SegmentFile) -> Bool {
    guard file.claimRemoval() else { return false }
    store.readers.drop(file)
    if let index = closing.firstIndex(where: { $0.file === file }) {
      closing[index].capture?.finish(.replaced)
      closeWriter(of: closing[index], removesWAL: false)
      closing.remove(at: index)
    }
    do throws(StorageError) {
      try SegmentBuilder.removeDatabase(file.path)
      try FileSystem.syncDirectory(file.directory)
      store.metrics.segmentsRemoved.increment()
    } catch {
      // The active segment does not name it any more: the next start removes what is left of it.
      store.logger.warning("a segment could not be removed", metadata: ["file": "\(file.path)", "error": "\(error)"])
    }
    return true
  }

  private func expireProducers(now: Int64) throws(StorageError) {
    let expired = state.producers.filter { now - $0.value.lastAppendMilliseconds > options.producerExpirationMilliseconds }.keys
    guard !expired.isEmpty else { return }
    try commitChange { segment, state throws(SQLiteError) in
      try segment.deleteProducers(expired)
      for id in expired { state.producers[id] = nil }
    }
    store.metrics.producersExpired.increment(by: expired.count)
  }

  /// DeleteRecords.
  ///
  /// - Parameter offset: the new log start; -1 for the high watermark.
  /// - Returns: the log start offset.
  func deleteRecords(before offset: Int64) throws(StorageError) -> Int64 {
    if let fenceReason { throw .fenced(fenceReason) }
    let target = offset == -1 ? highWatermark : offset
    guard target >= 0, target <= highWatermark else {
      throw .offsetOutOfRange(Offset(offset), start: Offset(state.logStartOffset), end: Offset(highWatermark))
    }
    if target > state.logStartOffset { try moveLogStart(to: target) }
    return state.logStartOffset
  }
}
