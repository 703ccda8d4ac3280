internal import CoreMetrics
internal import Model

// Group commit: one transaction for each partition and one sync for each WAL, for many appends.

extension StorageLane {
  /// Appends, commits, syncs, publishes and answers as many of `group` as belong in one transaction per partition.
  ///
  /// - Returns: how many were answered; the rest must wait for the next turn, in their order.
  func commit(_ group: [AppendRequest]) -> Int {
    var touched: [PartitionWriter] = []
    let now = store.now()
    var taken = 0
    for request in group {
      guard place(request, &touched, now) else { break }
      taken += 1
    }
    var committed: [PartitionWriter] = []
    for writer in touched where writer.groupFailure == nil {
      do throws(StorageError) {
        try writer.commitAppends()
        writer.noteCommit()
        committed.append(writer)
      } catch { writer.failGroup(error) }
    }
    sync(committed)
    var moved: [PartitionLog] = []
    for writer in committed where writer.groupFailure == nil {
      writer.publishAppends(&tails)
      if !writer.log.isCoordinator { moved.append(writer.log) }
    }
    let answered = Array(group[..<taken])
    for request in answered {
      if let failure = writers[ObjectIdentifier(request.partition)]?.groupFailure {
        request.outcome = .rejected(failure.errorCode, message: "\(failure)")
      }
      request.releaseRecords()
    }
    for writer in touched { writer.groupFailure = nil }
    count(answered)
    handBack(replicatedCount == 0 ? answered : replicated(answered, committed))
    if !moved.isEmpty { store.highWatermarksMoved(of: moved) }
    checkpointFullest(touched)
    return taken
  }

  /// Puts one append into its partition's transaction, or gives it its outcome.
  ///
  /// - Returns: false if it needs a transaction of its own: a new segment, or one more open database than there may be.
  private func place(_ request: AppendRequest, _ touched: inout [PartitionWriter], _ now: Int64) -> Bool {
    do throws(StorageError) {
      if touched.count >= store.databases.writersPerLaneMax - 1, loadedWriter(of: request.partition)?.isInTransaction != true {
        return false
      }
      let writer = try writer(of: request.partition)
      if writer.groupFailure != nil { return true }
      if writer.needsRoll(for: request.byteCount, now: now) {
        if writer.isInTransaction { return false }
        try writer.rollForAppend(of: request.byteCount, now: now)
      }
      let wasInTransaction = writer.isInTransaction
      do throws(StorageError) { request.outcome = try writer.append(request, now: now) } catch { writer.failGroup(error) }
      if !wasInTransaction, writer.isInTransaction || writer.groupFailure != nil { touched.append(writer) }
    } catch {
      request.outcome = .rejected(error.errorCode, message: "\(error)")
    }
    return true
  }

  /// Makes the commits durable, each partition by a sync of its own WAL, several at once.
  private func sync(_ committed: [PartitionWriter]) {
    let syncing = committed.filter { $0.syncsAppends }
    guard !syncing.isEmpty else { return }
    let start = monotonicNanoseconds()
    let results = syncer.sync(syncing.map { $0.segmentWriter })
    store.metrics.syncSeconds.recordNanoseconds(monotonicNanoseconds() - start)
    store.metrics.walSyncs.increment(by: syncing.count)
    for (writer, result) in zip(syncing, results) where result != 0 {
      let reason = "its WAL could not be synced: \(systemMessage(result))"
      writer.fence(reason)
      writer.failGroup(.fenced(reason))
    }
  }

  /// Counts what was appended, or was there already; not what was refused.
  private func count(_ answered: [AppendRequest]) {
    let answered = answered.filter { if case .appended = $0.outcome, $0.changes == nil { true } else { false } }
    guard !answered.isEmpty else { return }
    let bytes = answered.reduce(0) { $0 + $1.byteCount }
    store.metrics.groupCommits.increment()
    store.metrics.groupCommitBytes.record(bytes)
    store.metrics.groupCommitAppends.record(answered.count)
    store.metrics.appendedBytes.increment(by: bytes)
    store.metrics.appendedBatches.increment(by: answered.reduce(0) { $0 + $1.batches.count })
  }

  func handBack(_ requests: [AppendRequest]) {
    guard let first = requests.first else { return }
    if requests.allSatisfy({ $0.receiver === first.receiver }) { return first.receiver.appendsCompleted(requests) }
    var groups: [(receiver: any AppendReceiver, requests: [AppendRequest])] = []
    var places: [ObjectIdentifier: Int] = [:]
    for request in requests {
      let id = ObjectIdentifier(request.receiver)
      if let place = places[id] {
        groups[place].requests.append(request)
      } else {
        places[id] = groups.count
        groups.append((request.receiver, [request]))
      }
    }
    for group in groups { group.receiver.appendsCompleted(group.requests) }
  }

  /// One partition a turn, the fullest first: with many partitions all WALs fill at the same time.
  private func checkpointFullest(_ touched: [PartitionWriter]) {
    let full = touched.filter { $0.isOpen && $0.uncheckpointedBytes >= store.options.checkpointBytes && !$0.isHeldBack }
    full.max { $0.uncheckpointedBytes < $1.uncheckpointedBytes }?.checkpoint()
  }
}
