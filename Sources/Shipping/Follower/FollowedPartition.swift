internal import Model
internal import NIOCore

/// One partition that is followed, on the client's event loop; it outlives connections.
///
// Safe because: every stored property is read and written on that event loop only.
final class FollowedPartition: @unchecked Sendable {
  let partition: TopicPartition
  let topicID: TopicID
  let applier: ReplicaApplier
  /// A thread has the sink.
  var isBusy = false
  /// Raised by the sink.
  var wakeUp: WakeUp?
  /// Kept when the sink is closed.
  var leaving: [EventLoopPromise<Void>] = []
  var isLeaving = false

  // On the present connection
  /// Counts streams: what a thread brings of a former one is dropped.
  private(set) var attempt = 0
  var stream: StreamID?
  var wantsToBegin = false
  var incoming: [Incoming] = []
  /// The leader, or the copy itself, wants them compared.
  var hashesWanted: Int64?
  var mayHash = false
  /// Pieces that are under way, in the order in which they come.
  var files = CircularBuffer<FileRequest>()
  var looksForFiles = false
  var arrivingBytes = 0

  // How it goes
  var state = PartitionShipping.State.starting
  var retry: RetryDelay
  /// Resyncs in a row after which the copy differed still.
  var divergences = 0
  var forgetsStanding = false
  var durable: CommitPosition?
  var highWatermark: Offset?
  var lag = ReplicaLag.none
  var bytes: Int64 = 0

  init(_ partition: TopicPartition, topicID: TopicID, sink: any ReplicaSink, timing: PeerTiming) {
    self.partition = partition
    self.topicID = topicID
    applier = ReplicaApplier(sink)
    retry = RetryDelay(timing.retryAfter)
  }

  /// Nothing of the stream there was goes on.
  ///
  /// - Returns: bytes that had come and are dropped.
  @discardableResult
  func reset() -> Int {
    let dropped = incoming.reduce(0) { $0 + $1.byteCount }
    attempt += 1
    stream = nil
    wantsToBegin = false
    incoming = []
    hashesWanted = nil
    mayHash = false
    files.removeAll()
    looksForFiles = false
    arrivingBytes = 0
    return dropped
  }

  /// What the sink says of files is what it lacks: nothing of them is on its way to it.
  var isWithoutFiles: Bool {
    files.isEmpty && !incoming.contains { if case .file = $0 { true } else { false } }
  }

  /// What there is to do with the sink; taken from here.
  func takeWork() -> FollowerWork {
    var work = FollowerWork()
    if wantsToBegin {
      work.begins = true
      work.forgetsStanding = forgetsStanding
      wantsToBegin = false
      return work
    }
    guard stream != nil else { return work }
    work.incoming = incoming
    incoming = []
    if mayHash, let base = hashesWanted {
      work.hashesOf = base
      hashesWanted = nil
    }
    work.looksForFiles = looksForFiles && isWithoutFiles
    if work.looksForFiles { looksForFiles = false }
    return work
  }
}
