internal import Logging
public import Model
internal import Synchronization

extension LogStore {
  /// The partition becomes, or goes on as, a follower of a leader elsewhere: what is here of its log is readable up to the high watermark, and
  /// appends are refused (`.notLeader`). Blocks: not on an event loop.
  ///
  /// What is here counts as far as its files say; nothing is committed. A partition that this node led until now is handed over.
  ///
  /// - Throws: `.occupied` where the directory holds another topic's log; nothing was changed.
  public func openReplica(
    of topicPartition: TopicPartition, topicID: TopicID, configuration: TopicConfiguration
  ) throws(StorageError) -> FollowerPartition {
    roleChanges.begin(topicPartition)
    defer { roleChanges.end(topicPartition) }
    if isClosed.withLock({ $0 }) { throw .closed }
    var log = attached(topicPartition)
    if let known = log, known.topicID != topicID { throw .refused(.inconsistentTopicID) }
    let (damaged, isDamaged) = Self.damage(of: log)
    if let known = log, !known.isReplica {
      // Whoever holds on to it learns that it is gone, and finds the new one.
      try letGo(of: known)
      log = nil
    }
    // What readers of this life, or of the one before, have seen.
    let seen = log?.offsets?.highWatermark
    if let known = log, let follower = shared.follower(of: known) { follower.close() }
    let directory = shared.directory(of: topicPartition)
    try FileSystem.makeDirectory(directory)
    if case .topic(let owner) = PartitionOwner(of: directory), owner != topicID {
      throw .occupied(directory, "holds the log of another topic (id \(owner))")
    }
    let replica: PartitionLog
    if let log {
      replica = log
    } else {
      replica = try attachReplica(topicPartition, topicID: topicID, configuration: configuration)
    }
    let follower = FollowerPartition(replica, highWatermark: (seen ?? replica.checkpointed)?.rawValue ?? 0)
    try follower.recover()
    follower.distrust(damaged, isDamaged: isDamaged)
    guard shared.remember(follower) else {
      follower.close()
      throw .closed
    }
    return follower
  }

  /// What is known to be damaged of a log that this node leads.
  private static func damage(of log: PartitionLog?) -> (files: [SegmentName], isDamaged: Bool) {
    guard let log, !log.isReplica else { return ([], false) }
    let (segments, isDamaged) = log.shared.withLock { ($0.segments, $0.isDamaged) }
    return (segments.filter { $0.currentPhase == .sealed && $0.isDamaged }.map(\.name), isDamaged)
  }

  private func attachReplica(
    _ name: TopicPartition, topicID: TopicID, configuration: TopicConfiguration
  ) throws(StorageError) -> PartitionLog {
    try attachPartition(name, topicID: topicID, leaderEpoch: .zero, configuration: configuration, isReplica: true)
    return attached(name)!
  }

  /// Has whoever works for a partition let go of it; its files stay.
  func letGo(of log: PartitionLog) throws(StorageError) {
    if log.isReplica {
      shared.follower(of: log)?.close()
      log.shared.withLock { ($0.isDeleted, $0.isReleased) = (true, true) }
    }
    let handover = Handover<Bool>()
    shared.lane(of: log).submit { lane in
      lane.release(log)
      handover.give(true)
    } orElse: {
      handover.give(false)
    }
    guard handover.take() else { throw .closed }
    log.backgroundWork.end()
    remembered.withLock { remembered in
      // From now on its files are not what the last life left.
      remembered.known[log.key] = nil
      if var offsets = log.offsets {
        offsets.highWatermark = max(offsets.highWatermark, log.knownHighWatermark ?? .zero)
        remembered.checkpoints[log.key] = offsets
      }
    }
    partitions.withLock { $0[log.topicPartition] = nil }
    shared.highWatermarksMoved(of: [log])
  }
}

extension FollowerPartition {
  /// Finds out what an earlier life left, and opens what can be gone on with.
  ///
  /// - Throws: nothing is open. What the directory holds and cannot be read is left alone, and a full state has to come.
  func recover() throws(StorageError) {
    let directory = log.directory
    for file in try FileSystem.list(directory) where file.contains(".tmp") && !file.hasSuffix(Self.copyEnding) {
      try FileSystem.remove("\(directory)/\(file)")
    }
    let files = try FileSystem.list(directory)
    for file in files where file.hasSuffix("-wal") || file.hasSuffix("-shm") {
      let database = "\(directory)/\(file.dropLast(4))"
      if !FileSystem.exists(database) { try FileSystem.remove("\(directory)/\(file)") }
    }
    let names = files.compactMap { SegmentName(fileName: $0) }.sorted()
    guard let newest = names.last else { return }
    let file = SegmentFile(directory: directory, name: newest, phase: .active, record: nil)
    if FenceMark.read(directory)?.name == newest {
      distrusted = file
      hasDiverged = true
      store.logger.notice("a replica's active segment has to come anew", metadata: ["file": "\(file.path)"])
      return
    }
    do throws(StorageError) {
      let segment = try FollowerSegment(file, of: log, sums: nil)
      active = segment
      durableEnd = segment.extent.endOffset
      isRecovering = true
      epochs = segment.state.epochs
      takeSegments(of: segment.state, predecessor: nil)
      isRecovering = false
      let wanted = Set(older.map(\.name) + older.map(\.file.name) + [newest])
      for name in names where !wanted.contains(name) {
        removals.append((SegmentFile(directory: directory, name: name, phase: .sealed, record: nil), segment.extent.endOffset))
      }
      publish()
    } catch {
      distrusted = file
      hasDiverged = true
      complain("what is here of a replica cannot be gone on with", error)
    }
  }
}
