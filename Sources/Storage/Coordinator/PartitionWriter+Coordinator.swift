internal import Coordination
internal import Model
internal import SQLite

// A shard of the coordinator: its commits are what has offsets, one each.

extension PartitionWriter {
  /// Makes changes of groups and offsets part of the transaction, which begins with them.
  ///
  /// - Parameter changes: none to wait for what there is; that is refused to nobody.
  /// - Returns: the outcome they have if the commit succeeds.
  /// - Throws: the transaction cannot be committed any more (`failGroup`).
  func transact(_ changes: [GroupChanges], _ request: AppendRequest) throws(StorageError) -> AppendOutcome {
    precondition(log.isCoordinator, "changes of groups belong in a shard of the coordinator")
    let end = transaction?.extent.endOffset ?? extent.endOffset
    if changes.isEmpty { return Self.outcome(ending: end) }
    if let refusal = replicaRefusal(of: request) { return refusal }
    // Also where the disk has no room for records: those who read on need it, and mostly it takes no more of it.
    do throws(SQLiteError) {
      try beginTransaction()
      let offset = state.commitSequence
      transaction!.extent.endOffset = offset + 1
      if state.epochs.last?.epoch != leaderEpoch, transaction!.epoch == nil {
        transaction!.epoch = EpochStart(epoch: leaderEpoch, startOffset: offset)
      }
      try segmentWriter.apply(changes)
      return Self.outcome(ending: offset + 1)
    } catch { throw .sqlite(error) }
  }

  private static func outcome(ending end: Int64) -> AppendOutcome {
    .appended(baseOffset: Offset(end - 1), logAppendTime: -1, logStartOffset: .zero)
  }
}
