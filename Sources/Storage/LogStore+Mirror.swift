public import Model

extension LogStore {
  /// Where a partition begins and ends behind everything that its lane took before; `completion` is called on the lane.
  ///
  /// From a topic's becoming a mirror on, the mirror alone moves that end, with two exceptions. A log whose sync failed, and whose disk
  /// did not take the note of it either (`FenceMark`), may after a crash end behind records that were never acknowledged. And once the
  /// topic is no mirror any more, it takes records of anybody.
  public func settledOffsets(
    of log: PartitionLog, completion: @escaping @Sendable (Result<LogOffsets, StorageError>) -> Void
  ) {
    onLane(of: log, completion) { _ in }
  }

  /// Has a mirror's log that holds no records begin at `offset`, durably; nothing happens if it does so already.
  ///
  /// - Parameter completion: called on the lane with where the log begins and ends then, or `.refused`: it has records, or ends behind it.
  public func beginMirror(
    of log: PartitionLog, at offset: Offset, completion: @escaping @Sendable (Result<LogOffsets, StorageError>) -> Void
  ) {
    onLane(of: log, completion) { writer throws(StorageError) in
      try writer.beginMirror(at: offset.rawValue, now: writer.store.now())
      // Whoever waits for records at the end that it had, or reads on there, learns that they begin elsewhere.
      writer.store.highWatermarksMoved(of: [log])
    }
  }

  private func onLane(
    of log: PartitionLog, _ completion: @escaping @Sendable (Result<LogOffsets, StorageError>) -> Void,
    _ work: @escaping @Sendable (PartitionWriter) throws(StorageError) -> Void
  ) {
    shared.lane(of: log).submit { lane in
      do throws(StorageError) {
        try work(try lane.writer(of: log))
        guard let offsets = log.offsets else { throw .closed }
        completion(.success(offsets))
      } catch { completion(.failure(error)) }
    } orElse: {
      completion(.failure(.closed))
    }
  }
}
