internal import DequeModule
internal import Model
internal import Pages

/// Page sets of one segment in a row, for followers that are not far behind.
struct CapturedSets {
  private var sets = Deque<PageSet>()
  private(set) var byteCount = 0

  /// Bytes of sets that somebody has still to take.
  let waitingBytesMax: Int
  /// Bytes of sets that everybody has, for a follower whose connection broke.
  static let takenBytesMax = 256 << 10

  init(waitingBytesMax: Int) { self.waitingBytesMax = waitingBytesMax }

  mutating func append(_ set: PageSet) {
    sets.append(set)
    byteCount += set.encodedByteCount
  }

  /// The set that goes on from `standing`.
  func next(after standing: ReplicaStanding) -> PageSet? {
    var (low, high) = (0, sets.count)
    while low < high {
      let middle = (low + high) / 2
      if sets[middle].header.before.commitSequence < standing.position.commitSequence {
        low = middle + 1
      } else {
        high = middle
      }
    }
    guard low < sets.count, sets[low].header.stateBefore == standing else { return nil }
    return sets[low]
  }

  /// Bytes of the sets behind a commit.
  func bytes(behind sequence: Int64) -> Int {
    var bytes = 0
    for set in sets.reversed() {
      if set.header.after.commitSequence <= sequence { break }
      bytes += set.encodedByteCount
    }
    return bytes
  }

  /// Lets go of the oldest sets that are too much.
  ///
  /// - Parameter sequence: everybody has the commits up to this one.
  mutating func trim(takenUpTo sequence: Int64) {
    while let oldest = sets.first {
      let isTaken = oldest.header.after.commitSequence <= sequence
      guard byteCount > (isTaken ? min(Self.takenBytesMax, waitingBytesMax) : waitingBytesMax), isTaken || sets.count > 1 else {
        return
      }
      byteCount -= oldest.encodedByteCount
      sets.removeFirst()
    }
  }
}

extension PageSetHeader {
  /// What a follower has in front of the set, and behind it.
  var stateBefore: ReplicaStanding { ReplicaStanding(position: before, sum: sumBefore, pageCount: pageCountBefore) }
  var stateAfter: ReplicaStanding { ReplicaStanding(position: after, sum: sumAfter, pageCount: pageCountAfter) }
}
