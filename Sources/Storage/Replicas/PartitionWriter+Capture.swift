internal import Logging
internal import Model
internal import Pages
internal import SQLite

// What the lane does for followers: it says what was committed, and keeps frames in the -wal until they are captured.

extension PartitionWriter {
  /// The capture that a follower with `standing` goes on with: of a segment that it has not finished, or of the active one.
  ///
  /// - Precondition: the segment is open, and no transaction is.
  func capture(for standing: ReplicaStanding?) throws(StorageError) -> SegmentCapture {
    if let base = standing?.position.segmentBase.rawValue,
      let known = closing.first(where: { $0.file.baseOffset == base })?.capture, known.end == nil
    {
      return known
    }
    if let capture, capture.end == nil { return capture }
    let made = try makeCapture()
    capture = made
    return made
  }

  /// Rolls so that the active segment is a small one, unless that was done, or there is nothing in it.
  func roll(behind full: SegmentCapture) throws(StorageError) {
    guard capture === full, extent.endOffset > state.baseOffset, !log.isCoordinator else { return }
    try roll(now: store.now())
  }

  private func makeCapture() throws(StorageError) -> SegmentCapture {
    precondition(transaction == nil, "a capture begins between commits")
    let segment = segmentWriter
    let position = CommitPosition(
      leaderEpoch: LeaderEpoch(state.leaderEpoch), segmentBase: Offset(state.baseOffset), commitSequence: state.commitSequence)
    let (bytes, pageCount, root) = try storage { () throws(SQLiteError) in
      let connection = segment.connection
      return (
        try connection.integer("PRAGMA page_size") ?? 0, try connection.integer("PRAGMA page_count") ?? 0,
        try connection.integer("SELECT rootpage FROM sqlite_schema WHERE name = '\(SegmentPosition.table)'") ?? 0
      )
    }
    guard let pageSize = PageSize(bytes: Int(bytes)), pageCount > 0, root > 0, root <= pageCount else {
      throw .damaged(StorageDamage(file: segment.path, baseOffset: nil, offset: nil, reason: "its schema names no position"))
    }
    let capture = SegmentCapture(
      active, store, position: position, pageSize: pageSize, pageCount: Int(pageCount),
      statePage: PageNumber(UInt32(root)), isFolded: segment.isFullyCheckpointed, fenceCount: fenceCount,
      batchesEnd: extent.endOffset)
    store.remember(capture)
    return capture
  }

  /// Says that the transaction was committed, which is not taken into `state` before it is durable.
  func noteCommit() {
    capture?.noteCommit(
      CommitPosition(
        leaderEpoch: LeaderEpoch(leaderEpoch), segmentBase: Offset(state.baseOffset),
        commitSequence: state.commitSequence + 1))
  }

  /// Whether the -wal is not to be folded yet because of followers.
  var isHeldBack: Bool { capture != nil && awaitsCapture() || replicas != nil && awaitsReplicas }

  /// Whether followers have not got what is in the -wal; not beyond the bound of a WAL.
  private func awaitsCapture() -> Bool {
    guard let capture, let segment, capture.isBehind, segment.walBytes <= options.walBytesMax else { return false }
    // Under load somebody who captures while the lane commits is always a little behind.
    if uncheckpointedBytes >= 2 * options.checkpointBytes, transaction == nil { return !capture.helpOut() }
    return true
  }

  /// The -wal is about to be folded: what was not captured of it is not to be had any more.
  func giveUpCapture() {
    guard let capture, !capture.isComplete else { return }
    if capture.hasFollowers {
      if capture.helpOut() { return }
      store.logger.warning(
        "a follower is too slow for the WAL, and gets pages by their hashes",
        metadata: ["partition": "\(log.topicPartition)", "wal-bytes": "\(segment?.walBytes ?? 0)"])
    }
    endCapture(.replaced)
  }

  /// All of the -wal is in the file: its pages' hashes are kept, where they are known.
  func keepSums() {
    guard let capture, let segment, segment.isFullyCheckpointed, transaction == nil else { return }
    capture.keepSums(
      at: CommitPosition(
        leaderEpoch: LeaderEpoch(state.leaderEpoch), segmentBase: Offset(state.baseOffset), commitSequence: state.commitSequence
      ))
  }

  func endCapture(_ end: SegmentCapture.End) {
    capture?.finish(end)
    capture = nil
  }

  /// Goes on with the active segment, which has just become that, where there were followers of the one before it.
  func rollCapture(of predecessor: ClosingSegment) {
    guard let old = capture else { return }
    capture = nil
    guard old.hasFollowers, old.end == nil else { return old.finish(.replaced) }
    do throws(StorageError) {
      let next = try makeCapture()
      capture = next
      // Two segments back is too far: what is there is copied as a file.
      for older in closing where older !== predecessor { older.capture?.finish(.replaced) }
      predecessor.capture = old
      old.roll(to: next)
    } catch {
      store.logger.warning(
        "followers begin again", metadata: ["partition": "\(log.topicPartition)", "error": "\(error)"])
      old.finish(.replaced)
    }
  }
}

extension PartitionWriter.ClosingSegment {
  /// Its followers have still to get what is in its -wal.
  var awaitsCapture: Bool { capture?.isBehind ?? false }
}
