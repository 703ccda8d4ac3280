internal import CoreMetrics
internal import Model
internal import Pages

/// Where one follower stands.
enum FollowerPlace {
  /// What it has is to be compared; nil is nothing.
  case unknown(ReplicaStanding?)
  /// It was asked for the hashes of its pages.
  case asked(ReplicaStanding)
  case answered(ReplicaStanding, hashes: [UInt64])
  /// It has this, or will have when it has taken what it was sent.
  case following(ReplicaStanding)

  var standing: ReplicaStanding? {
    switch self {
    case .unknown(let standing): standing
    case .asked(let standing), .answered(let standing, _), .following(let standing): standing
    }
  }
}

extension SegmentCapture {
  enum Step {
    case pages(PageSet)
    case wantsPageHashes
    case nothing
    /// The pages that differ are too many for one set: the rest of the segment is rather copied as a file, once it has a successor.
    case needsRoll
    /// There is more to do, and others may want a turn.
    case again
    case ended(End)
  }

  /// What a follower gets next.
  ///
  /// - Parameter mayRoll: what it gets has a bound, which a roll keeps it within.
  /// - Throws: what the disk says; the capture stands.
  func step(_ place: inout FollowerPlace, of follower: ObjectIdentifier, mayRoll: Bool) throws(StorageError) -> Step {
    work.lock()
    defer { endWork() }
    if let end { return .ended(end) }
    if case .following(let standing) = place, let set = sets.next(after: standing) { return hand(set, &place, to: follower) }
    if let successor, !mayFinish(place) { return .ended(.rolled(successor)) }
    if case .asked = place { return .nothing }
    if !isReady || nextTarget() != nil {
      let isKept = try store.readers.withConnection(to: file) { connection throws(StorageError) in
        if !isReady {
          if checkBatches(connection) { return true }
          guard try hashNextPages(connection.connection) else { return false }
        }
        return try isReady ? catchUp(connection.connection) : true
      }
      guard isKept else { return .ended(end ?? .replaced) }
      if !isReady { return .again }
    }
    return try advance(&place, follower, mayRoll)
  }

  /// Whether a follower can be given the rest of a segment that has a successor: only where it goes on from what it has.
  private func mayFinish(_ place: FollowerPlace) -> Bool {
    switch place {
    case .following: true
    case .unknown(let standing): standing.map { $0.position.segmentBase.rawValue == segmentBase } ?? false
    case .asked, .answered: false
    }
  }

  private func advance(
    _ place: inout FollowerPlace, _ follower: ObjectIdentifier, _ mayRoll: Bool
  ) throws(StorageError) -> Step {
    let current = ReplicaStanding(position: position, sum: sums.total, pageCount: sums.pageCount)
    switch place {
    case .following(let standing),
      .unknown(let standing?) where standing.position.segmentBase.rawValue == segmentBase:
      if let set = sets.next(after: standing) { return hand(set, &place, to: follower) }
      if standing == current {
        place = .following(standing)
        cursors[follower] = position.commitSequence
        trim()
        guard let successor, isComplete else { return .nothing }
        return .ended(.rolled(successor))
      }
      cursors[follower] = nil
      if let successor { return .ended(.rolled(successor)) }
      place = .asked(standing)
      return .wantsPageHashes
    case .unknown: return try repair(PageSums(pageSize: pageSize), at: .zero, &place, follower, mayRoll)
    case .answered(let standing, let hashes):
      return try repair(PageSums(pageSize: pageSize, hashes: hashes), at: standing.position, &place, follower, mayRoll)
    case .asked: return .nothing
    }
  }

  private func repair(
    _ theirs: PageSums, at position: CommitPosition, _ place: inout FollowerPlace, _ follower: ObjectIdentifier, _ mayRoll: Bool
  ) throws(StorageError) -> Step {
    let numbers = pagesToSend(to: theirs)
    // A replica that has it as it should be is not made like this one.
    if let damage, theirs.pageCount > 0 { throw .damaged(damage) }
    if mayRoll, numbers.count * pageSize.bytes > store.options.replicaResyncBytesMax { return .needsRoll }
    let set = try store.readers.withConnection(to: file) { connection throws(StorageError) in
      try resync(numbers, of: theirs, at: position, connection.connection)
    }
    guard let set else { return .ended(end ?? .replaced) }
    store.metrics.replicaResyncs.increment()
    return hand(set, &place, to: follower)
  }

  private func hand(_ set: PageSet, _ place: inout FollowerPlace, to follower: ObjectIdentifier) -> Step {
    place = .following(set.header.stateAfter)
    cursors[follower] = set.header.after.commitSequence
    trim()
    return .pages(set)
  }

  /// Captures on the lane's thread what followers' threads have not come to, unless one of them is at it.
  ///
  /// - Returns: whether everything is captured.
  func helpOut() -> Bool {
    guard work.tryLock() else { return false }
    defer { endWork() }
    guard isReady, end == nil else { return false }
    do throws(StorageError) {
      let isKept = try store.readers.withConnection(to: file) { connection throws(StorageError) in
        try catchUp(connection.connection)
      }
      return isKept && isComplete
    } catch { return false }
  }
}
