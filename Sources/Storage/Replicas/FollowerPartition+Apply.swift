internal import CoreMetrics
internal import Glibc
internal import Logging
public import Model
public import Pages
internal import SQLite
internal import Synchronization

extension FollowerPartition {
  /// Applies the pages of one commit, or of several merged ones. They are visible to SQLite's readers at once, to the log's after `sync`.
  ///
  /// A full state becomes the active segment, durable on return: with a larger base the one before it is closed.
  ///
  /// - Throws: nothing of the set is here.
  public func apply(_ set: PageSet) throws(ReplicaError) {
    try lockedThrowing { () throws(ReplicaError) in
      if isClosed { throw .storage(.closed) }
      if set.header.isFullState { return try begin(with: set) }
      guard let active else { throw .diverged(.positionMismatch(database: .zero, set: set.header.before)) }
      let isKnown = set.header.after == active.position
      guard set.header.after.segmentBase == active.position.segmentBase else {
        throw .diverged(.positionMismatch(database: active.position, set: set.header.before))
      }
      let isResync = set.header.flags.contains(.resync)
      do throws(ReplicaError) {
        if isResync, highWatermark > 0, !mayLoseRecords { try applyUndoably(set) } else { try active.apply(set) }
      } catch {
        // Sent once more: it is here already.
        if case .diverged = error, isKnown, let sums = try? active.sums(), sums.total == set.header.sumAfter { return }
        if case .storage(let cause) = error, cause.isSyncFailure { distrustActive("its WAL could not be begun anew: \(cause)") }
        if case .diverged = error { hasDiverged = true }
        throw error
      }
      // The same commit, with other pages.
      if isResync, set.header.before == set.header.after, set.header.sumBefore != set.header.sumAfter { hasDiverged = true }
      count(set)
      if set.header.flags.contains(.resync) { noteResync("pages", to: set.header.after) }
    }
  }

  /// Applies pages that replace some of what is here, unless the log that they make has not all that was acknowledged: then it is as it was, in another
  /// commit, and nobody has been shown anything else but by SQLite itself.
  private func applyUndoably(_ set: PageSet) throws(ReplicaError) {
    guard let active else { return }
    let before: FollowerSegment.Pages
    do throws(StorageError) { before = try active.pages(replacedBy: set) } catch { throw .storage(error) }
    try active.apply(set)
    // Rows that cannot be read are found out when they are taken.
    guard let (epochs, end) = try? active.peek(), let refusal = refusal(of: epochs, endOffset: end) else { return }
    do throws(StorageError) { try active.undo(before) } catch {
      distrustActive("a leader's pages could not be undone: \(error)")
      throw .storage(error)
    }
    throw refusal
  }

  func count(_ set: PageSet) {
    store.metrics.replicaSets.increment()
    store.metrics.replicaBytes.increment(by: set.encodedByteCount)
  }

  /// What was here is replaced by what the leader has: one that was merely behind has caught up.
  func noteResync(_ what: String, to position: CommitPosition) {
    // What was read ahead may be of the pages that were.
    store.readAhead.drop(log)
    if hasDiverged { noteHeal(what, to: position) }
    hasDiverged = false
  }

  func noteHeal(_ what: String, to position: CommitPosition) {
    store.metrics.replicaHeals.increment()
    store.logger.warning(
      "a replica differed from its leader and was brought back",
      metadata: [
        "partition": "\(log.topicPartition)", "by": "\(what)", "file": "\(active?.file.path ?? log.directory)",
        "position": "\(position)",
      ])
  }

  // Sync

  /// Makes everything that was applied durable, one sync for all of it, and shows readers what the rows say now.
  ///
  /// - Returns: what may be acknowledged to the leader; nil while there is nothing.
  /// - Throws: after a failed sync the active segment is gone for writing: `standing` is nil, and a full state has to come.
  public func sync() throws(StorageError) -> CommitPosition? {
    try lockedThrowing { () throws(StorageError) in
      if isClosed { throw .closed }
      guard active != nil else { return nil }
      try syncActive()
      tend()
      tickIfOwed()
      return active?.position
    }
  }

  func syncActive() throws(StorageError) {
    guard let active else { return }
    do throws(StorageError) { try active.sync() } catch {
      distrustActive("its WAL could not be synced: \(error)")
      throw error
    }
    if active.isAhead { try look() }
    durableEnd = active.extent.endOffset
  }

  /// Takes what the rows say: where the log begins and ends, and which segments it has.
  private func look() throws(StorageError) {
    guard let active else { return }
    let end = active.extent.endOffset
    let segments = active.state.segments
    do throws(StorageError) { try active.look(of: log) } catch {
      switch error {
      case .damaged: distrustActive("\(error)")
      case .sqlite(let cause) where cause.isCorruption: noteDamagedPages("\(error)")
      default: break
      }
      throw error
    }
    let common = common(with: active.state.epochs, endOffset: active.extent.endOffset)
    if common < min(end, highWatermark) { acceptLoss(below: common) }
    if active.state.segments != segments || active.state.epochs != epochs { takeSegments(of: active.state, predecessor: nil) }
    publish()
  }

  /// Pages of the active segment are not what was written there: what is there counts, until the leader has sent those that differ.
  func noteDamagedPages(_ reason: String) {
    guard let active else { return }
    active.forgetSums()
    hasDiverged = true
    noteChanged(begins: true)
    store.metrics.damageFound.increment()
    store.logger.error(
      "a replica's pages are damaged, and come anew",
      metadata: ["partition": "\(log.topicPartition)", "file": "\(active.file.path)", "reason": "\(reason)"])
  }

  /// A failed sync is final, and so are rows that nobody wrote: a whole new segment has to come. What is here is read on, up to where it
  /// was durable at least.
  func distrustActive(_ reason: String) {
    guard let active else { return }
    do throws(StorageError) { try FenceMark(name: active.file.name, endOffset: durableEnd).write(log.directory) } catch {
      complain("a replica's fence could not be marked on disk", error)
    }
    distrusted = active.file
    hasDiverged = true
    letGoOfActive()
    noteChanged(begins: true)
    store.logger.error(
      "a replica's active segment has to come anew", metadata: ["partition": "\(log.topicPartition)", "reason": "\(reason)"])
  }
}
