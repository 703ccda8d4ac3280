public import Metadata
public import Model
import SQLite
public import Storage
import Synchronization

/// The cluster image of a node that is alone, kept in its node database.
///
/// Changes are made one at a time, on a thread of their own, and are durable before they are seen: in the database first, then in
/// `image`, then in the reply.
///
/// - Invariant: a partition of the image has its files, durably.   (Cluster #1)
/// - Invariant: files of a partition that is not in the image are named in `unfinished_partition`.   (Cluster #2)
/// - Invariant: a leader epoch that was served before an unclean end is never served again.   (Cluster #3)
public final class LocalClusterStore: ClusterStore {
  let store: LogStore
  let nodeID: NodeID
  let plans: ClusterPlans
  let now: @Sendable () -> Int64
  private let thread = SerialThread()
  private let current: Mutex<ClusterImage>
  /// As it is in the node database; changed on the cluster's thread.
  let pairState: Mutex<PairState>
  private let observers = ImageObservers()
  private let unremoved = Mutex<[String]>([])

  /// What the cluster has agreed on, at this moment. Cheap, for any thread.
  public var image: ClusterImage { current.withLock { $0 } }
  public var controller: NodeID? { nodeID }

  private init(
    store: LogStore, nodeID: NodeID, pair: PairState, image: ClusterImage, plans: ClusterPlans,
    now: @escaping @Sendable () -> Int64
  ) {
    pairState = Mutex(pair)
    self.store = store
    self.nodeID = nodeID
    self.plans = plans
    self.now = now
    current = Mutex(image)
  }

  deinit { thread.stop() }

  /// Reads the image, finishes what a crash interrupted, begins new leader epochs if the last end was unclean, and attaches every
  /// partition to `store`. Blocks.
  ///
  /// A standby's partitions are not attached: they are for whoever follows with them. A leader with a standby takes no records until it has
  /// heard of it (`LogStore.setTakesAppends`): it may have been promoted meanwhile.
  ///
  /// - Parameters:
  ///   - settings: the node's fixed settings; those made at run time are added from the database.
  ///   - entropy: 64 random bits a call.
  ///   - now: milliseconds since 1970.
  ///   - columnsComplaint: what is wrong with the expressions of declared columns, in a sentence; nil if nothing is.
  /// - Throws: the node cannot serve; what was finished stays finished.
  public static func open(
    store: LogStore, clusterID: String, nodeID: NodeID, settings: NodeSettings, entropy: @escaping @Sendable () -> UInt64,
    now: @escaping @Sendable () -> Int64, columnsComplaint: @escaping @Sendable ([DeclaredColumn]) -> String? = { _ in nil }
  ) throws(ClusterError) -> LocalClusterStore {
    let isUnclean = !store.closedCleanly
    let cluster = LocalClusterStore(
      store: store, nodeID: nodeID, pair: try PairStart.state(in: store),
      image: ClusterImage(clusterID: clusterID, nodeSettings: settings),
      plans: ClusterPlans(entropy: entropy, columnsComplaint: columnsComplaint), now: now)
    // Before anything is attached: nobody may have these files open.
    try cluster.removeLeftovers()
    var image = cluster.image
    try cluster.transaction { connection throws(SQLiteError) in
      if isUnclean, cluster.pair.role == .leader { try ClusterTables.bumpLeaderEpochs(connection) }
    }
    try cluster.load(into: &image)
    if cluster.pair != .alone, cluster.pair.role != .leader || cluster.pair.peer != nil { store.setTakesAppends(false) }
    if cluster.pair.role == .standby {
      cluster.publish(image)
      return cluster
    }
    for topic in image.topics.values {
      for (number, partition) in topic.partitions.enumerated() {
        do throws(StorageError) {
          try store.attachPartition(
            TopicPartition(topic: topic.name, partition: Int32(number)), topicID: topic.id, leaderEpoch: partition.leaderEpoch,
            configuration: topic.configuration)
        } catch { throw ClusterError(.kafkaStorageError, "\(error)") }
        do throws(StorageError) {
          let name = TopicPartition(topic: topic.name, partition: Int32(number))
          if let replicas = cluster.replicas { try store.setReplicas(of: name, topicID: topic.id, replicas) }
        } catch {
          // It takes effect when the partition can be opened.
        }
      }
    }
    cluster.publish(image)
    return cluster
  }

  private func load(into image: inout ClusterImage) throws(ClusterError) {
    let (rows, topicSettings, nodeSettings, everyNode) = try transaction { connection throws(SQLiteError) in
      (
        try ClusterTables.topics(connection), try ClusterTables.settings(.topic, connection),
        try ClusterTables.settings(.node, connection), try ClusterTables.settings(.everyNode, connection)
      )
    }
    do throws(ClusterChangeError) {
      try image.apply(.dynamicDefaultsReplaced(everyNode[""] ?? [:]))
      try image.apply(.dynamicNodeSettingsReplaced(nodeSettings["\(nodeID)"] ?? [:]))
      for row in rows {
        let partitions = row.leaderEpochs.map(newPartition(leaderEpoch:))
        try image.apply(
          .topicCreated(
            TopicImage(name: row.name, id: row.id, partitions: partitions, settings: topicSettings[row.name] ?? [:])))
      }
    } catch { throw ClusterError(.unknownServerError, "the node database is damaged: \(error)") }
  }

  // MARK: Steps of a change, on the cluster's thread

  /// Runs one change after those before it.
  func serially<Result: Sendable>(
    _ change: @escaping @Sendable (LocalClusterStore) throws(ClusterError) -> Result
  ) async throws(ClusterError) -> Result {
    let outcome: Swift.Result<Result, ClusterError> = await withCheckedContinuation { continuation in
      let isAccepted = thread.submit {
        do throws(ClusterError) {
          continuation.resume(returning: .success(try change(self)))
        } catch { continuation.resume(returning: .failure(error)) }
      }
      if !isAccepted { continuation.resume(returning: .failure(ClusterError(.brokerNotAvailable, "the node is stopping"))) }
    }
    return try outcome.get()
  }

  /// One transaction in the node database, durable on return.
  func transaction<Result>(
    _ body: (Connection) throws(SQLiteError) -> Result
  ) throws(ClusterError) -> Result {
    do throws(StorageError) {
      return try store.node.perform(body)
    } catch { throw ClusterError(.kafkaStorageError, "the node database: \(error)") }
  }

  /// Makes a durable change visible.
  func apply(_ change: ClusterChange) { apply([change]) }

  func apply(_ changes: [ClusterChange]) {
    current.withLock { image in
      do throws(ClusterChangeError) {
        for change in changes { try image.apply(change) }
      } catch { preconditionFailure("a change that was checked does not fit the image: \(error)") }
    }
    observers.callAll()
  }

  public func observe(_ observer: @escaping @Sendable () -> Void) { observers.add(observer) }

  /// Tells the image where clients reach this node. Not kept: each start says it anew.
  public func register(_ node: NodeImage) async throws(ClusterError) { apply(.nodeRegistered(node)) }

  private func publish(_ image: ClusterImage) { current.withLock { $0 = image } }

  /// Removes the files of partitions that are not in the image, as far as they are there.
  ///
  /// - Parameter isWanted: which of the noted partitions.
  func removeUnfinished(_ isWanted: (TopicPartition) -> Bool) throws(ClusterError) {
    let unfinished = try transaction { connection throws(SQLiteError) in try ClusterTables.unfinished(connection) }
    for (topicID, wanted) in Dictionary(grouping: unfinished.filter { isWanted($0.partition) }, by: \.topicID) {
      do throws(StorageError) {
        try store.deletePartitions(wanted.map(\.partition), topicID: topicID)
      } catch {
        let topics = Set(wanted.map(\.partition.topic)).sorted().joined(separator: ", ")
        throw ClusterError(.kafkaStorageError, "the files of \(topics) cannot be removed: \(error)")
      }
      try transaction { connection throws(SQLiteError) in
        for entry in wanted {
          let number = entry.partition.partition
          try ClusterTables.endFiles(of: topicID, partitions: number..<number + 1, connection)
        }
      }
    }
  }

  /// As far as it goes: what cannot be removed now keeps its name from being used, not the node from serving.
  private func removeLeftovers() throws(ClusterError) {
    let unfinished = try transaction { connection throws(SQLiteError) in try ClusterTables.unfinished(connection) }
    for partition in Set(unfinished.map(\.partition)) {
      do throws(ClusterError) {
        try removeUnfinished { $0 == partition }
      } catch { unremoved.withLock { $0.append(error.message) } }
    }
  }

  /// What could not be removed at the start, in sentences: files of topics that are gone or never came to be.
  public var leftovers: [String] { unremoved.withLock { $0 } }

  /// Takes no further changes; those handed in are still made.
  public func close() { thread.stop() }
}
