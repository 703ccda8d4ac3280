internal import Cluster
internal import CoreMetrics
internal import KafkaProtocol
internal import Logging
internal import Model
internal import NIOCore
internal import NIOPosix
internal import Storage
internal import Synchronization

/// What every connection of the broker shares.
final class BrokerContext: Sendable {
  let configuration: BrokerConfiguration
  let store: LogStore
  let partitions: LocalPartitions
  let cluster: any ClusterStore
  let producerIDs: ProducerIDs
  let listedNodes = ListedNodes()
  let groups: GroupCoordinator
  let admin: AdminContext
  let fetchSessions: FetchSessions
  let metrics: BrokerMetrics
  let logger: Logger
  /// Milliseconds since 1970.
  let now: @Sendable () -> Int64
  /// Where compressed batches are validated: decompressing may take long.
  let validationThreads: NIOThreadPool
  let connectionCount = Atomic<Int>(0)

  init(
    configuration: BrokerConfiguration, store: LogStore, cluster: any ClusterStore, groups: GroupCoordinator,
    admin: AdminContext, logger: Logger, now: @escaping @Sendable () -> Int64
  ) {
    self.configuration = configuration
    self.store = store
    partitions = LocalPartitions(store: store, nodeID: configuration.nodeID, isStandby: { cluster.isStandby })
    self.cluster = cluster
    producerIDs = ProducerIDs(cluster)
    self.groups = groups
    self.admin = admin
    self.logger = logger
    self.now = now
    metrics = BrokerMetrics()
    validationThreads = NIOThreadPool(numberOfThreads: 2)
    validationThreads.start()
    fetchSessions = FetchSessions(
      sessionsMax: configuration.fetchSessionsMax, newID: { Int32.random(in: 1 ... .max) },
      now: Self.uptimeMilliseconds)
    listedNodes.follow(cluster, now: Self.uptimeMilliseconds)
  }

  /// By a clock that only runs forward.
  @Sendable static func uptimeMilliseconds() -> Int64 { Int64(NIODeadline.now().uptimeNanoseconds / 1_000_000) }

  /// Counts a new connection; false if there are as many as there may be.
  func admitConnection() -> Bool {
    let count = connectionCount.add(1, ordering: .relaxed).newValue
    if count <= configuration.connectionsMax { return true }
    connectionCount.subtract(1, ordering: .relaxed)
    return false
  }

  func connectionClosed() { connectionCount.subtract(1, ordering: .relaxed) }
}
