public import Logging
public import Model
internal import SQLite
internal import Synchronization

/// The partition logs of one node: one data directory, one process.
public final class LogStore: Sendable {
  public let node: NodeDatabase
  let shared: StoreShared
  private let lock: DirectoryLock
  let maintenance: StoreMaintenance
  let partitions = Mutex<[TopicPartition: PartitionLog]>([:])
  let remembered: Mutex<Remembered>
  /// Which partitions are becoming something else at the moment.
  let roleChanges = RoleChanges()
  let isClosed = Mutex(false)

  /// How the directory of a partition that is being removed begins: with a character no topic's name has (`a.deleted-1` is a legal name of
  /// a topic), and without the topic's name, which may be as long as a file's name can be.
  static let gravePrefix = "~deleted-"

  /// What is known of partitions that are not open.
  struct Remembered: Sendable {
    /// What the last life said of each, in order or not, and this one of those that it has let go of.
    var checkpoints: [NodeDatabase.PartitionKey: LogOffsets]
    /// What an orderly close wrote down; empty after any other end.
    var known: [NodeDatabase.PartitionKey: LogOffsets]
  }

  /// Whether the previous life of the node ended with `close`; true for a new data directory.
  public var closedCleanly: Bool { node.closedCleanly }

  /// How the store stands at one moment, for the metrics.
  public struct Levels: Sendable {
    /// Bytes in the WALs of the segments that are open for writing.
    public var walBytes: Int
    public var openDatabases: Int
    public var fencedPartitions: Int
  }

  public var levels: Levels {
    Levels(
      walBytes: SegmentWriter.openWALBytes.load(ordering: .relaxed), openDatabases: shared.databases.current,
      fencedPartitions: shared.fencedCount.load(ordering: .relaxed))
  }

  /// Takes the data directory, which is created if it is missing, and opens the node's database. Segments are not touched.
  ///
  /// - Parameter now: milliseconds since 1970.
  /// - Throws: `.directoryInUse`, `.migration` (a newer Quire wrote it), system errors; nothing stays open.
  public static func open(
    _ options: StoreOptions, logger: Logger, now: @escaping @Sendable () -> Int64
  ) throws(StorageError) -> LogStore {
    SQLiteLibrary.configure()
    let directory = options.dataDirectory
    try FileSystem.makeDirectory(directory)
    let lock = try DirectoryLock(directory)
    let reserve = DiskReserve(path: directory + "/reserve", bytes: options.reserveBytes)
    reserve.makeRoomToStart()
    try FileSystem.makeDirectory(directory + "/topics")
    try FileSystem.makeDirectory(CoordinatorFiles.directory(in: directory))
    try CoordinatorFiles.migrate(options, now: now())
    for name in try FileSystem.list(directory + "/topics") where name.hasPrefix(gravePrefix) {
      // What somebody put there, or the disk keeps, is in nobody's way.
      do throws(StorageError) { try FileSystem.removeDirectory("\(directory)/topics/\(name)") } catch {
        logger.warning(
          "the files of a deleted partition are still there", metadata: ["directory": "\(name)", "error": "\(error)"])
      }
    }
    let node = try NodeDatabaseDamage.open(directory + "/quire.db", options, now: now(), logger)
    var options = options
    if options.keepsNodeID { options.nodeID = node.nodeID }
    let checkpoints = try node.checkpoints()
    let known = node.closedCleanly ? checkpoints.filter { $0.value.logEndOffset.rawValue >= 0 } : [:]
    return LogStore(
      options, reserve: reserve, logger: logger, now: now, node: node, lock: lock, checkpoints: checkpoints, known: known)
  }

  private init(
    _ options: StoreOptions, reserve: DiskReserve, logger: Logger, now: @escaping @Sendable () -> Int64, node: NodeDatabase,
    lock: DirectoryLock, checkpoints: [NodeDatabase.PartitionKey: LogOffsets], known: [NodeDatabase.PartitionKey: LogOffsets]
  ) {
    remembered = Mutex(Remembered(checkpoints: checkpoints, known: known))
    self.node = node
    self.lock = lock
    shared = StoreShared(options, reserve: reserve, logger: logger, now: now)
    shared.startLanes()
    let maintenance = StoreMaintenance(shared, node: node, written: known)
    self.maintenance = maintenance
    shared.startScrub { [weak maintenance] in maintenance?.all ?? [] }
  }

  // Partitions

  /// A partition of a topic; shards of the coordinator are nobody's to append to or to read.
  public func partition(_ topicPartition: TopicPartition) -> PartitionLog? {
    attached(topicPartition).flatMap { $0.isCoordinator ? nil : $0 }
  }

  /// As `partition`, and the shards of the coordinator too.
  func attached(_ topicPartition: TopicPartition) -> PartitionLog? { partitions.withLock { $0[topicPartition] } }

  /// The partitions of topics.
  private var topicLogs: [PartitionLog] { partitions.withLock { $0.values.filter { !$0.isCoordinator } } }

  /// Registers a partition whose files exist; they are opened when it is first used.
  public func attachPartition(
    _ topicPartition: TopicPartition, topicID: TopicID, leaderEpoch: LeaderEpoch, configuration: TopicConfiguration
  ) throws(StorageError) {
    try attachPartition(
      topicPartition, topicID: topicID, leaderEpoch: leaderEpoch, configuration: configuration, isReplica: false)
  }

  func attachPartition(
    _ topicPartition: TopicPartition, topicID: TopicID, leaderEpoch: LeaderEpoch, configuration: TopicConfiguration,
    isReplica: Bool
  ) throws(StorageError) {
    let key = NodeDatabase.PartitionKey(topicID: topicID, partition: topicPartition.partition)
    let (checkpointed, known) = remembered.withLock { ($0.checkpoints[key]?.highWatermark, $0.known[key]) }
    // A replica is opened at once, and says itself what is here.
    var offsets = isReplica ? nil : known
    offsets?.leaderEpoch = leaderEpoch
    let log = PartitionLog(
      topicPartition, topicID: topicID, directory: shared.directory(of: topicPartition),
      laneIndex: lane(of: topicPartition), leaderEpoch: leaderEpoch, configuration: configuration, offsets: offsets,
      checkpointed: checkpointed, store: shared)
    if isReplica { log.shared.withLock { $0.isReplica = true } }
    partitions.withLock { $0[topicPartition] = log }
    maintenance.watch(log)
  }

  private func lane(of topicPartition: TopicPartition) -> Int {
    if topicPartition.topic == CoordinatorTopic.name { return shared.topicLaneCount }
    // Neighbouring partitions on different lanes; the same in every life.
    let name = topicPartition.topic.utf8.reduce(UInt32(2_166_136_261)) { ($0 ^ UInt32($1)) &* 16_777_619 }
    return Int(name &+ UInt32(bitPattern: topicPartition.partition)) % shared.topicLaneCount
  }

  /// New settings of a topic, from now on.
  public func setConfiguration(_ configuration: TopicConfiguration, for topic: String) {
    let logs = partitions.withLock { $0.values.filter { $0.topicPartition.topic == topic } }
    for log in logs { log.shared.withLock { $0.configuration = configuration } }
  }

  // Appends and reads

  /// Hands appends to the lanes of their partitions: one lock and at most one wake-up for each lane. Any thread.
  public func append(_ requests: [AppendRequest]) {
    if shared.options.discardsAppends { return discard(requests) }
    if shared.topicLaneCount == 1 { return shared.lanes[0].submit(requests) }
    var byLane = [[AppendRequest]](repeating: [], count: shared.lanes.count)
    for request in requests { byLane[request.partition.laneIndex].append(request) }
    for (lane, requests) in zip(shared.lanes, byLane) where !requests.isEmpty { lane.submit(requests) }
  }

  /// While it is false every append is refused with NOT_LEADER_OR_FOLLOWER: another node may lead. When it returns nothing is being
  /// appended any more. Blocks: not on an event loop.
  public func setTakesAppends(_ takesAppends: Bool) {
    shared.takesAppends.store(takesAppends, ordering: .releasing)
    if takesAppends { return }
    // A job runs before the appends that were taken in the same turn: behind the second one they are done.
    for _ in 0..<2 {
      let handovers = shared.lanes.map { lane in
        let handover = Handover<Bool>()
        lane.submit { _ in
          handover.give(true)
        } orElse: {
          handover.give(false)
        }
        return handover
      }
      for handover in handovers { _ = handover.take() }
    }
  }

  public var takesAppends: Bool { shared.takesAppends.load(ordering: .acquiring) }

  /// Reads from the disk on a read thread.
  public func read(_ request: ReadRequest) {
    shared.readThreads.submit {
      do throws(StorageError) {
        let records = try request.partition.read(from: request.offset, maxBytes: request.maxBytes)
        guard let offsets = request.partition.offsets else { throw .closed }
        request.completion(.records(records, offsets))
      } catch { request.completion(.failed(error)) }
    }
  }

  /// Runs short work that may wait for the disk: look-ups, cold fetches.
  public func runOnReadThread(_ work: @Sendable @escaping () -> Void) { shared.readThreads.submit(work) }

  /// Runs long work that reads a lot, on threads of its own and of low priority: SQL, export.
  public func runScanOnReadThread(_ work: @Sendable @escaping () -> Void) { shared.readThreads.submitScan(work) }

  /// Sets who is told, on the lane and once for each group, which partitions' high watermarks moved; and which were deleted: whoever
  /// waits for their records waits in vain. It must only hop.
  public func setHighWatermarkObserver(_ observer: @escaping @Sendable ([PartitionLog]) -> Void) {
    shared.setHighWatermarkObserver(observer)
  }

  /// For a thread that waits until something is new in a topic.
  public func watch(_ topic: String) -> TopicWatch { shared.watches.watch(topic) }

  // Housekeeping

  /// Lets go of what retention no longer keeps, in every partition; returns at once, the lanes do it when nobody waits for them.
  public func enforceRetention(now: Int64) {
    for log in topicLogs where !log.isReplica {
      shared.lane(of: log).submitInBackground { lane in
        do throws(StorageError) {
          do throws(StorageError) { try lane.stateWriter(of: log).enforceRetention(now: now) } catch {
            // Also opening the partition takes room.
            guard error.isDiskFull, lane.store.reserve.release() else { throw error }
            try lane.stateWriter(of: log).enforceRetention(now: now)
          }
        } catch {
          // Deleted meanwhile.
          if log.isDeleted || log.isReplica { return }
          lane.store.logger.warning(
            "retention failed", metadata: ["partition": "\(log.topicPartition)", "error": "\(error)"])
        }
      }
    }
  }

  /// Raises a partition's log start (DeleteRecords).
  ///
  /// - Parameter offset: the new log start offset; -1 for the high watermark.
  /// - Parameter completion: called on the lane with the log start offset there is then.
  public func deleteRecords(
    in topicPartition: TopicPartition, before offset: Offset,
    completion: @escaping @Sendable (Result<Offset, StorageError>) -> Void
  ) {
    guard let log = partition(topicPartition) else { return completion(.failure(.unknownPartition(topicPartition))) }
    shared.lane(of: log).submit { lane in
      do throws(StorageError) {
        completion(.success(Offset(try lane.writer(of: log).deleteRecords(before: offset.rawValue))))
      } catch { completion(.failure(error)) }
    } orElse: {
      completion(.failure(.closed))
    }
  }

  /// How far a partition's commits have come: which one was the last, and up to which one every in-sync replica has them. A change other than an append
  /// is on the replicas once the commit that was the last one then is.
  ///
  /// - Parameter completion: called on the lane.
  public func commits(
    of topicPartition: TopicPartition,
    completion: @escaping @Sendable (Result<(last: Int64, replicated: Int64), StorageError>) -> Void
  ) {
    guard let log = partition(topicPartition) else { return completion(.failure(.unknownPartition(topicPartition))) }
    shared.lane(of: log).submit { lane in
      do throws(StorageError) {
        let writer = try lane.writer(of: log)
        let last = writer.state.commitSequence
        completion(.success((last, writer.replicas?.replicated ?? last)))
      } catch { completion(.failure(error)) }
    } orElse: {
      completion(.failure(.closed))
    }
  }

  // History

  /// The topics that have partitions here.
  public var topics: [String] { Array(Set(topicLogs.map(\.topicPartition.topic))) }

  /// The settings in force for a topic; nil if there is none such.
  public func configuration(of topic: String) -> TopicConfiguration? {
    partition(TopicPartition(topic: topic, partition: 0))?.configuration
  }

  /// All partitions, by topic.
  public var partitionsByTopic: [String: [PartitionLog]] {
    Dictionary(grouping: topicLogs) { $0.topicPartition.topic }
  }

  /// Where the files of a partition lie.
  public func directory(of log: PartitionLog) -> String { log.directory }

  /// Pins the history of one partition, as `snapshot(of:)` those of topics. Blocks while it is loaded.
  public func snapshot(of log: PartitionLog) throws(StorageError) -> HistorySnapshot { try snapshot(of: [log]) }

  private func logs(of topics: Set<String>?) -> [PartitionLog] {
    topicLogs.filter { topics?.contains($0.topicPartition.topic) ?? true }
  }

  /// Opens the partitions of a topic, so that a snapshot of it need not wait. Blocks.
  ///
  /// - Returns: how many there are, and about how many records in those that can be opened; nil if there is no such topic.
  /// - Throws: `.closed`.
  public func load(_ topic: String) throws(StorageError) -> (partitions: Int, offsets: Int64, segments: Int)? {
    let loaded = try load(logs(of: [topic]))
    if loaded.isEmpty { return nil }
    let offsets = loaded.reduce(Int64(0)) { total, log in
      guard case .success(let offsets) = log.outcome else { return total }
      return total + offsets.highWatermark.rawValue - offsets.logStartOffset.rawValue
    }
    return (loaded.count, offsets, loaded.reduce(0) { $0 + $1.log.shared.withLock { $0.segments.count } })
  }

  private func load(
    _ logs: [PartitionLog]
  ) throws(StorageError) -> [(log: PartitionLog, outcome: Result<LogOffsets, StorageError>)] {
    let waiting = logs.map { log in
      let handover = Handover<Result<LogOffsets, StorageError>>()
      log.loadSegments { handover.give($0) }
      return (log: log, handover: handover)
    }
    var loaded: [(log: PartitionLog, outcome: Result<LogOffsets, StorageError>)] = []
    for (log, handover) in waiting {
      let outcome = handover.take()
      switch outcome {
      case .failure(.closed): throw .closed
      // Deleted meanwhile.
      case .failure(.unknownPartition): break
      default: loaded.append((log, outcome))
      }
    }
    return loaded
  }

  /// Pins the history of `topics` (nil: of all) as one cut. Blocks while partitions are loaded; the high watermarks are those of the
  /// moment when all are.
  ///
  /// A partition that cannot be opened is part of it with its failure.
  public func snapshot(of topics: [String]?) throws(StorageError) -> HistorySnapshot {
    try snapshot(of: logs(of: topics.map { Set($0) }))
  }

  private func snapshot(of logs: [PartitionLog]) throws(StorageError) -> HistorySnapshot {
    let loaded = try load(logs)
    var pinned: [SegmentFile] = []
    var histories: [PartitionHistory] = []
    for (log, outcome) in loaded {
      if case .failure(let error) = outcome {
        histories.append(PartitionHistory(unreadable: log.topicPartition, topicID: log.topicID, because: error))
      } else if let history = log.pinHistory(&pinned) {
        histories.append(history)
      }
    }
    return HistorySnapshot(
      histories, bound: .highWatermark, pinned: pinned, logger: shared.logger, pace: shared.scanPace, readers: shared.readers)
  }

  /// The idempotent producers that the partitions of `topic` (nil: of all) remember. Blocks.
  ///
  /// A partition that cannot be opened has none.
  public func producers(of topic: String?) throws(StorageError) -> [(TopicPartition, ProducerDescription)] {
    var found: [(TopicPartition, ProducerDescription)] = []
    for log in logs(of: topic.map { [$0] }).sorted(by: { $0.topicPartition < $1.topicPartition }) {
      do throws(StorageError) { found += try log.producerStates().map { (log.topicPartition, $0) } } catch {
        if case .closed = error { throw error }
      }
    }
    return found
  }

  /// Finishes what was handed over, makes everything durable, folds the WALs, and notes that the end was orderly.
  ///
  /// - Throws: the end was not orderly; what is acknowledged is safe all the same.
  public func close() throws(StorageError) {
    guard stop() else { return }
    let failed = partitions.withLock { $0.values.contains { $0.failure != nil } }
    try maintenance.writeCheckpoints(isClean: !failed)
    node.close()
    shared.reserve.keepForNextStart()
    lock.release()
  }

  /// Lets go of the data directory without noting an orderly end: for a start that failed before it had done what an unclean end asks for.
  public func abandon() {
    guard stop() else { return }
    node.close()
    lock.release()
  }

  /// - Returns: false if that was done before.
  private func stop() -> Bool {
    let wasClosed = isClosed.withLock { isClosed in
      defer { isClosed = true }
      return isClosed
    }
    if wasClosed { return false }
    maintenance.stop()
    shared.scrub?.stop()
    shared.closeFollowers()
    // It gives the lanes back what it has of theirs.
    shared.foldingThread.stop(finishing: true)
    for lane in shared.lanes { lane.stop() }
    shared.readAhead.end()
    shared.readThreads.stop()
    shared.readers.close()
    return true
  }
}

extension PartitionLog {
  /// The partition's part of a snapshot; nil if it is not loaded or has gone.
  fileprivate func pinHistory(_ pinned: inout [SegmentFile]) -> PartitionHistory? {
    shared.withLock { shared in
      guard let offsets = shared.offsets, shared.isLoaded, !shared.isDeleted else { return nil }
      var references: [SegmentReference] = []
      for (index, file) in shared.segments.enumerated() {
        let limit = offsets.highWatermark.rawValue
        let isLast = index + 1 == shared.segments.count
        let end = max(file.baseOffset, isLast ? limit : min(shared.segments[index + 1].baseOffset, limit))
        guard end > offsets.logStartOffset.rawValue || isLast, file.pin() else { continue }
        pinned.append(file)
        let record = file.currentRecord
        references.append(
          SegmentReference(
            path: file.path, baseOffset: Offset(file.baseOffset), endOffset: Offset(end),
            isSealed: file.currentPhase == .sealed, minTimestamp: record?.minTimestamp ?? shared.active.minTimestamp,
            maxTimestamp: record?.maxTimestamp ?? shared.active.maxTimestamp,
            batchBytes: record?.batchBytes ?? shared.active.batchBytes, file: file))
      }
      return PartitionHistory(
        topicPartition: topicPartition, topicID: topicID, logStartOffset: offsets.logStartOffset,
        highWatermark: offsets.highWatermark, segments: references)
    }
  }
}
