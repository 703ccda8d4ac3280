internal import Logging
public import Model
internal import NIOCore
internal import Synchronization

/// A handle on one partition's log: what any thread may know of it.
///
/// Its files belong to its storage lane, which alone changes what is here, and only after COMMIT and sync.
public final class PartitionLog: Sendable {
  public let topicPartition: TopicPartition
  public let topicID: TopicID
  let directory: String
  /// A shard of the coordinator: it has commits instead of records, one file that never rolls, and no reader but the coordinator.
  let isCoordinator: Bool
  let laneIndex: Int
  private let epoch: Atomic<Int32>
  /// Of this life of the node; newer than that of any batch in the log after an unclean start.
  var leaderEpoch: LeaderEpoch { LeaderEpoch(epoch.load(ordering: .relaxed)) }
  /// The high watermark as the last life of the node left it; nil for a partition of this one.
  let checkpointed: Offset?
  let store: StoreShared
  let backgroundWork = BackgroundWork()

  /// What readers see.
  struct Shared {
    var offsets: LogOffsets?
    var configuration: TopicConfiguration
    /// Oldest first, the active one last; empty until the partition is loaded.
    var segments: [SegmentFile] = []
    var active = ActiveExtent(endOffset: 0)
    var epochs: [EpochStart] = []
    var tail = LogTail()
    /// Why nothing can be appended: fenced, or deleted.
    var failure: String?
    var isDeleted = false
    /// Another node leads the partition now, or none of ours has it; `isDeleted` is set too: whoever holds on to this log looks for another.
    var isReleased = false
    /// Page sets of a leader elsewhere are its only writes: no lane opens it.
    var isReplica = false
    /// This node leads, and a file of the log was found damaged.
    var isDamaged = false
    /// Of a replica: a leader had the same pages, in this life.
    var isHistoryConfirmed = false
    /// What an earlier life knew to be replicated counts no more: the cluster goes on with a replica that had less.
    var isLossAccepted = false
    /// Up to where readers of this node have seen the log.
    var seen: Offset?
    /// Nil where the log is this node's alone.
    var replicas: ReplicaSet?
    var isLoaded: Bool { !segments.isEmpty }
  }
  let shared: Mutex<Shared>

  init(
    _ topicPartition: TopicPartition, topicID: TopicID, directory: String, laneIndex: Int, leaderEpoch: LeaderEpoch,
    configuration: TopicConfiguration, offsets: LogOffsets?, checkpointed: Offset? = nil, store: StoreShared
  ) {
    self.checkpointed = checkpointed
    self.topicPartition = topicPartition
    self.topicID = topicID
    self.directory = directory
    isCoordinator = topicPartition.topic == CoordinatorTopic.name
    self.laneIndex = laneIndex
    epoch = Atomic(leaderEpoch.rawValue)
    self.store = store
    shared = Mutex(Shared(offsets: offsets, configuration: configuration))
  }

  /// Where the log begins and ends; nil until it is loaded (or known from an orderly close), and while it has failed to load.
  public var offsets: LogOffsets? { shared.withLock { $0.offsets } }

  /// Why the partition takes nothing at the moment; nil while it is well. What is durable is read on.
  public var failure: String? { shared.withLock { $0.failure } }

  /// The partition is gone, with all it had.
  public var isDeleted: Bool { shared.withLock { $0.isDeleted } }

  /// This node has let go of the partition, whose files stay.
  public var isReleased: Bool { shared.withLock { $0.isReleased } }

  /// What whoever holds on to a log hears that is gone.
  func gone(_ shared: Shared) -> StorageError {
    shared.isReleased ? .notLeader(topicPartition) : .unknownPartition(topicPartition)
  }

  /// Below it everything was replicated once: an earlier life, or this one, showed it to readers.
  var knownHighWatermark: Offset? {
    let (seen, isLossAccepted) = shared.withLock {
      ($0.seen ?? ($0.isLossAccepted ? $0.offsets?.highWatermark : nil), $0.isLossAccepted)
    }
    if isLossAccepted { return seen }
    return seen.map { max($0, checkpointed ?? $0) } ?? checkpointed
  }

  /// The partition follows another node's.
  public var isReplica: Bool { shared.withLock { $0.isReplica } }

  /// The epoch that new batches get, unless the log knows a later one. On the lane, or before that opens the log.
  func setLeaderEpoch(_ leaderEpoch: LeaderEpoch) { epoch.store(leaderEpoch.rawValue, ordering: .relaxed) }

  /// From now on the lane may open the log, and begins this epoch with its first append.
  func becomeLeader(_ leaderEpoch: LeaderEpoch, replicas: ReplicaSet?) {
    setLeaderEpoch(leaderEpoch)
    shared.withLock {
      $0.seen = $0.offsets?.highWatermark ?? $0.seen
      $0.replicas = replicas
      $0.isReplica = false
      ($0.segments, $0.offsets, $0.failure) = ([], nil, nil)
    }
  }

  /// Other nodes must have what is appended before it counts as replicated.
  public var hasReplicas: Bool { shared.withLock { $0.replicas != nil } }

  public var configuration: TopicConfiguration { shared.withLock { $0.configuration } }

  /// Has the lane open the partition, if it is not loaded yet, and calls `completion` there or at once.
  public func load(_ completion: @escaping @Sendable (Result<LogOffsets, StorageError>) -> Void) {
    if let offsets { return completion(.success(offsets)) }
    loadSegments(completion)
  }

  /// As `load`, but for the segments too, which an orderly close does not tell.
  func loadSegments(_ completion: @escaping @Sendable (Result<LogOffsets, StorageError>) -> Void) {
    let known: Result<LogOffsets, StorageError>? = shared.withLock {
      if $0.isDeleted { return .failure(gone($0)) }
      return $0.isLoaded ? $0.offsets.map { .success($0) } : nil
    }
    if let known { return completion(known) }
    store.lane(of: self).submit { lane in
      do throws(StorageError) {
        _ = try lane.stateWriter(of: self)
        let offsets = self.offsets
        completion(offsets.map { .success($0) } ?? .failure(.closed))
      } catch { completion(.failure(error)) }
    } orElse: {
      completion(.failure(.closed))
    }
  }

  /// Waits for the lane to load the partition; not to be called on a lane or an event loop.
  @discardableResult
  public func loadNow() throws(StorageError) -> LogOffsets {
    let handover = Handover<Result<LogOffsets, StorageError>>()
    loadSegments { handover.give($0) }
    return try handover.take().get()
  }

  /// What is in memory from `offset` on, of the log's tail or read ahead; never blocks, on any thread.
  ///
  /// - Parameter maxBytes: bytes; the first batch is returned whole even if it is larger.
  public func readTail(from offset: Offset, maxBytes: Int) -> TailRead {
    let inTail: TailRead = shared.withLock {
      guard let offsets = $0.offsets, !$0.isDeleted else { return .notInMemory }
      if offset >= offsets.highWatermark { return .atEnd }
      guard offset >= offsets.logStartOffset,
        let records = $0.tail.read(from: offset.rawValue, below: offsets.highWatermark.rawValue, maxBytes: maxBytes)
      else {
        return .notInMemory
      }
      return .batches(records)
    }
    guard case .notInMemory = inTail, let records = readAhead(from: offset, maxBytes: maxBytes, isWaiting: false) else {
      return inTail
    }
    return .batches(records)
  }

  /// Whether `offset` is in a segment below the active one. False where the partition is not loaded.
  public func isInOlderSegment(_ offset: Offset) -> Bool {
    shared.withLock { shared in shared.segments.last.map { offset.rawValue < $0.baseOffset } ?? false }
  }

  /// Whether there are records at `offset`, and the tail does not have them.
  func isOnDiskOnly(at offset: Offset) -> Bool {
    shared.withLock { shared in
      guard let offsets = shared.offsets, !shared.isDeleted, offset < offsets.highWatermark else { return false }
      return shared.tail.startOffset.map { offset.rawValue < $0 } ?? true
    }
  }

  /// What was read ahead for a reader that has come to `offset`, if that is still in the log.
  func readAhead(from offset: Offset, maxBytes: Int, isWaiting: Bool) -> FetchedRecords? {
    let isInLog = shared.withLock { shared in
      !shared.isDeleted && shared.offsets.map { offset >= $0.logStartOffset && offset < $0.highWatermark } ?? false
    }
    guard isInLog else { return nil }
    return isWaiting
      ? store.readAhead.takeWaiting(self, from: offset.rawValue, maxBytes: maxBytes)
      : store.readAhead.take(self, from: offset.rawValue, maxBytes: maxBytes)
  }

  /// Bytes of the batches in the log. Waits for the lane if the partition is not loaded: not on an event loop.
  public func sizeInBytes() throws(StorageError) -> Int64 {
    try loadNow()
    return shared.withLock { shared in
      shared.segments.reduce(shared.active.batchBytes) { $0 + ($1.currentRecord?.batchBytes ?? 0) }
    }
  }

  /// The leader epoch `offset` was written in; nil if it is older than what is remembered. Waits as `sizeInBytes`.
  public func epoch(of offset: Offset) throws(StorageError) -> LeaderEpoch? {
    try loadNow()
    return shared.withLock { shared in
      shared.epochs.last { $0.startOffset <= offset.rawValue }.map { LeaderEpoch($0.epoch) }
    }
  }

  /// The idempotent producers the partition remembers. Waits for the lane.
  public func producerStates() throws(StorageError) -> [ProducerDescription] {
    let handover = Handover<Result<[ProducerDescription], StorageError>>()
    store.lane(of: self).submit { lane in
      do throws(StorageError) {
        let producers = try lane.stateWriter(of: self).state.producers
        handover.give(
          .success(
            producers.sorted { $0.key < $1.key }.map { ProducerDescription($0.key, $0.value) }))
      } catch { handover.give(.failure(error)) }
    } orElse: {
      handover.give(.failure(.closed))
    }
    return try handover.take().get()
  }

  /// The largest epoch at or below `epoch` that has records, and the offset behind its last one (KIP-101, KIP-279).
  ///
  /// - Returns: nil if no such epoch is known. Waits as `sizeInBytes`.
  public func epochEnd(_ epoch: LeaderEpoch) throws(StorageError) -> (epoch: LeaderEpoch, endOffset: Offset)? {
    try loadNow()
    return shared.withLock {
      guard let offsets = $0.offsets else { return nil }
      if epoch == offsets.leaderEpoch { return (epoch, offsets.logEndOffset) }
      guard epoch < offsets.leaderEpoch else { return nil }
      guard let index = $0.epochs.lastIndex(where: { $0.epoch <= epoch.rawValue }) else {
        // Older than everything that is remembered: the log begins with the first epoch.
        return $0.epochs.first.map { (epoch, Offset($0.startOffset)) }
      }
      let end = index + 1 < $0.epochs.count ? Offset($0.epochs[index + 1].startOffset) : offsets.logEndOffset
      return (LeaderEpoch($0.epochs[index].epoch), end)
    }
  }
}

/// One idempotent producer as a partition knows it (DescribeProducers).
public struct ProducerDescription: Sendable, Hashable {
  public var producerID: Int64
  public var producerEpoch: Int16
  public var lastSequence: Int32
  /// Milliseconds by the node's clock.
  public var lastTimestamp: TimestampMilliseconds

  init(_ producerID: Int64, _ state: ProducerState) {
    self.producerID = producerID
    producerEpoch = state.epoch
    lastSequence = state.batches.last?.lastSequence ?? -1
    lastTimestamp = state.lastAppendMilliseconds
  }
}
