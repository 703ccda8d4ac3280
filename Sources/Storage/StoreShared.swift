internal import CoreMetrics
internal import Glibc
internal import Logging
internal import Model
internal import Synchronization

/// What every part of a store knows of the others.
///
// Safe because: `lanes` is written once, before anybody else sees the object; everything else never changes or locks itself.
final class StoreShared: @unchecked Sendable {
  let options: StoreOptions
  let discardedRecords = Atomic<Int64>(0)
  let fencedCount = Atomic<Int>(0)
  /// False while this node does not lead anything, whatever its partitions say.
  let takesAppends = Atomic<Bool>(true)
  /// Bytes of page sets that followers may still want.
  let waitingSetBytes = Atomic<Int>(0)
  let logger: Logger
  let metrics: StoreMetrics
  let databases: OpenDatabases
  let readers: ReaderCache
  let readThreads: ReadThreads
  let readAhead: ReadAhead
  /// Folds the WALs of segments that have a successor.
  let foldingThread = SerialThread("folding")
  let reserve: DiskReserve
  let watches = TopicWatches()
  let scanPace = ScanPace(processors: sysconf(Int32(_SC_NPROCESSORS_ONLN)))
  /// Milliseconds since 1970.
  let now: @Sendable () -> Int64
  let followers = Mutex(Followers())
  /// Partitions that this node follows and is not in sync of, as the cluster decided; nil for all.
  private let outOfSync = Mutex<Set<TopicPartition>?>([])
  /// Nodes whose sessions with the cluster have ended.
  private let goneNodes = Mutex<Set<NodeID>>([])
  private let damageObserver = Mutex<DamageObserver?>(nil)
  /// Of active segments that somebody follows.
  private let captures = Mutex<[ObjectIdentifier: WeakCapture]>([:])
  private let proposalObserver = Mutex<ProposalObserver?>(nil)
  private(set) var lanes: [StorageLane] = []
  /// Set once, before anybody else sees the object.
  private(set) var scrub: StoreScrub?
  private let observer = Mutex<HighWatermarkObserver?>(nil)

  /// The partitions that follow others, by their logs.
  struct Followers {
    var partitions: [ObjectIdentifier: FollowerPartition] = [:]
    /// The store has been closed.
    var isEnded = false
  }

  /// In a structure of its own: a bare closure in a generic box is wrapped once more by each look at it, and calls get slower for ever.
  private struct HighWatermarkObserver {
    let call: @Sendable ([PartitionLog]) -> Void
  }

  private struct ProposalObserver {
    let call: @Sendable (IsrProposal) -> Void
  }

  func setProposalObserver(_ call: @escaping @Sendable (IsrProposal) -> Void) {
    proposalObserver.withLock { $0 = ProposalObserver(call: call) }
  }

  private struct DamageObserver {
    let call: @Sendable (DamagedLeader) -> Void
  }

  func setDamageObserver(_ call: @escaping @Sendable (DamagedLeader) -> Void) {
    damageObserver.withLock { $0 = DamageObserver(call: call) }
  }

  func damaged(_ damage: DamagedLeader) { damageObserver.withLock { $0 }?.call(damage) }

  private struct WeakCapture {
    weak var capture: SegmentCapture?
  }

  func remember(_ capture: SegmentCapture) {
    captures.withLock { $0[ObjectIdentifier(capture.file)] = WeakCapture(capture: capture) }
  }

  /// Forgets captures that are no more.
  func forgetCapture(of file: SegmentFile) {
    captures.withLock { if let known = $0[ObjectIdentifier(file)], known.capture == nil { $0[ObjectIdentifier(file)] = nil } }
  }

  func capture(of file: SegmentFile) -> SegmentCapture? { captures.withLock { $0[ObjectIdentifier(file)]?.capture } }

  func propose(_ proposal: IsrProposal) { proposalObserver.withLock { $0 }?.call(proposal) }

  func setOutOfSync(_ partitions: Set<TopicPartition>?) { outOfSync.withLock { $0 = partitions } }
  func isOutOfSync(_ partition: TopicPartition) -> Bool { outOfSync.withLock { $0?.contains(partition) ?? true } }

  var nodesGone: Set<NodeID> { goneNodes.withLock { $0 } }

  func noteSession(of node: NodeID, isAlive: Bool) {
    let isNews = goneNodes.withLock { isAlive ? $0.remove(node) != nil : $0.insert(node).inserted }
    guard isNews else { return }
    for lane in lanes {
      lane.submit {
        $0.noteSession(of: node, isAlive: isAlive)
      } orElse: {
      }
    }
  }

  func tickReplicas() {
    for lane in lanes {
      lane.submit {
        $0.tickReplicas()
      } orElse: {
      }
    }
  }

  func setHighWatermarkObserver(_ call: @escaping @Sendable ([PartitionLog]) -> Void) {
    observer.withLock { $0 = HighWatermarkObserver(call: call) }
  }

  /// Says that these partitions' offsets moved, or that they are gone.
  func highWatermarksMoved(of logs: [PartitionLog]) {
    if let observer = observer.withLock({ $0 }) { observer.call(logs) }
    watches.moved(logs)
  }

  init(_ options: StoreOptions, reserve: DiskReserve, logger: Logger, now: @escaping @Sendable () -> Int64) {
    self.options = options
    self.logger = logger
    self.now = now
    metrics = StoreMetrics()
    databases = OpenDatabases(max: options.openDatabasesMax, laneCount: options.laneCount, metrics: metrics)
    readers = ReaderCache(databases: databases, cacheKiB: options.readerCacheKiB, logger: logger)
    readThreads = ReadThreads(count: options.readThreadCount, scanCount: options.scanThreadCount)
    readAhead = ReadAhead(bytesMax: options.readAheadBytesMax, threads: readThreads)
    self.reserve = reserve
  }

  /// Lanes that partitions of topics are pinned to. There is one more: shards of the coordinator would wait for the topics' large groups there.
  var topicLaneCount: Int { max(1, options.laneCount) }

  /// - Parameter logs: what there is.
  func startScrub(_ logs: @escaping @Sendable () -> [PartitionLog]) {
    let scrub = StoreScrub(self, logs: logs)
    self.scrub = scrub
    readers.onDamage = { [weak scrub] in scrub?.suspect($0) }
  }

  func startLanes() {
    lanes = (0..<topicLaneCount + 1).map { StorageLane(index: $0, store: self) }
    for lane in lanes { lane.start() }
  }

  /// Counts a partition that was fenced (1), or whose fence is gone (-1).
  func noteFenced(_ change: Int) {
    if change > 0 { metrics.partitionsFenced.increment() }
    fencedCount.add(change, ordering: .relaxed)
  }

  func lane(of log: PartitionLog) -> StorageLane { lanes[log.laneIndex] }
  var topicsDirectory: String { options.dataDirectory + "/topics" }

  /// Where the files of a partition lie, or those of a shard of the coordinator.
  func directory(of name: TopicPartition) -> String {
    name.topic == CoordinatorTopic.name
      ? CoordinatorFiles.directory(of: Int(name.partition), in: options.dataDirectory) : "\(topicsDirectory)/\(name)"
  }
}
