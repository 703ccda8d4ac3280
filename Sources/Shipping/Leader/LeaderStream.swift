internal import Model
internal import NIOCore

/// One partition that a follower follows, on its connection's event loop.
///
// Safe because: every stored property is read and written on that event loop only.
final class LeaderStream: @unchecked Sendable {
  let id: StreamID
  let partition: TopicPartition
  let topicID: TopicID
  let wakeUp: WakeUp
  /// Nil until it is open.
  var source: (any ReplicaSource)?
  /// A thread has the source.
  var isBusy = true
  var isClosing = false

  // What the source is to be told
  var hashes: PageHashes?
  var arrivingHashes: PageHashes?

  // What it may have
  /// Since when there may be something to read; nil if not.
  var notifiedSince: NIODeadline?
  /// The same of what a thread is reading: what is notified meanwhile may be behind what it finds.
  var readingSince: NIODeadline?
  var isQueuedToRead = false
  /// The next set begins or repairs a copy, and needs the connection's turn for large sets.
  var isResyncNext: Bool
  /// Pieces of files that nobody has read yet, and how many were asked for and are not sent.
  var fileRequests = CircularBuffer<FileRequest>()
  var filesUnderWay = 0

  // What is to be sent
  var outgoing = CircularBuffer<Outgoing>()
  /// Bytes of page sets in it, but for a large one.
  var outgoingBytes = 0
  var hasTurn = false
  /// What the large set leads to that is being sent, or is not acknowledged yet.
  var resync: CommitPosition?
  var isResyncSent = false

  // How far it is
  var unacknowledged = UnacknowledgedSets()
  var backlog = ReplicaLag.none
  var durable: CommitPosition?
  var highWatermark: Offset?
  var toldLag = ReplicaLag.none
  var sentBytes: Int64 = 0

  init(_ request: FollowRequest, wakeUp: WakeUp) {
    id = request.stream
    partition = request.partition
    topicID = request.topicID
    durable = request.standing?.position
    isResyncNext = request.standing == nil
    self.wakeUp = wakeUp
  }

  func lag(at now: NIODeadline) -> ReplicaLag {
    unacknowledged.lag(at: now, backlog: backlog, waitingSince: readingSince ?? notifiedSince)
  }

  /// Takes some of the hashes of a database; they are complete when their last ones are there.
  ///
  /// - Returns: how many more are kept than before.
  func take(_ piece: HashPiece) throws(PeerRefusal) -> Int {
    let kept = arrivingHashes?.hashes.count ?? 0
    if piece.start == 0 {
      arrivingHashes = PageHashes(segmentBase: piece.segmentBase, hashes: piece.hashes)
    } else {
      guard arrivingHashes?.segmentBase == piece.segmentBase, kept == piece.start else {
        throw .malformed("page hashes that are not the next ones")
      }
      arrivingHashes?.hashes += piece.hashes
    }
    let count = piece.start + piece.hashes.count
    if count == piece.totalCount {
      hashes = arrivingHashes
      arrivingHashes = nil
      return -kept
    }
    return count - kept
  }
}
