import Broker
import Cluster
import Gateway
import Indexes
import Logging
import Metadata
import Model
import NIOCore
import NIOPosix
import Query
import ServiceLifecycle
import Shipping
import Storage
import Synchronization
import UnixSignals

/// The rooms of a node, put together in order: store, cluster image, partitions, groups, Kafka door, HTTP door.
struct RunningNode {
  private let configuration: NodeConfiguration
  private let store: LogStore
  private let cluster: any ClusterStore
  /// Nil for a node that is alone.
  private let others: ClusterPart?
  /// Nil with etcd.
  private let pair: PairedNode?
  private let groups: GroupCoordinator
  private let broker: KafkaBroker
  private let kafka: HostPort
  private let group: MultiThreadedEventLoopGroup
  private let logger: Logger
  /// The statements of all doors.
  private let queries: QueryRegistry
  private let indexFiles: IndexFiles
  private let indexes: IndexBuilder
  /// Nil when it serves, else what it does instead.
  private let state: State

  private final class State: Sendable {
    private let reason = Mutex<String?>("starting")
    var now: String? { reason.withLock { $0 } }
    func becomes(_ reason: String?) { self.reason.withLock { $0 = reason } }
  }

  /// Everything up to the Kafka listener. What was opened is closed again if a later step fails.
  static func start(
    _ configuration: NodeConfiguration, adjust: (inout StoreOptions) -> Void, logger: Logger
  ) async throws -> RunningNode {
    let store = try openStore(configuration, adjust: adjust)
    var configuration = configuration
    if !configuration.isNodeIDGiven { configuration.nodeID = store.node.nodeID }
    let cluster: any ClusterStore
    do { cluster = try await openCluster(configuration, store, logger) } catch {
      // Not closed in order: that would hide from the next start that the last end was not, and that new leader epochs are due.
      store.abandon()
      throw error
    }
    do {
      return try await start(configuration, store, cluster, logger)
    } catch {
      do { try store.close() } catch { logger.error("the store did not close", metadata: ["error": "\(error)"]) }
      throw error
    }
  }

  private static func start(
    _ configuration: NodeConfiguration, _ store: LogStore, _ cluster: any ClusterStore, _ logger: Logger
  ) async throws -> RunningNode {
    if !store.closedCleanly { logger.notice("the last run did not end in order: every partition begins a new leader epoch") }
    do {
      if configuration.etcd == nil, !cluster.isStandby { try leadShards(store) }
      (cluster as? LocalClusterStore)?.replicateShards()
    } catch {
      cluster.close()
      throw error
    }
    PeerMetrics.register()
    let settings = configuration.settings
    let threads = Int(settings.number("num.network.threads"))
    let group = MultiThreadedEventLoopGroup(numberOfThreads: threads > 0 ? threads : System.coreCount)
    do {
      let (listener, listen) = try await bindListener(configuration.listen, group)
      let advertised = advertisedAddress(configuration, listen)
      let groups = try makeGroups(configuration, store, cluster, advertised)
      let broker = KafkaBroker(
        configuration: brokerConfiguration(configuration, clusterID: cluster.image.clusterID, advertised),
        store: store, cluster: cluster, groups: groups,
        admin: AdminContext(
          cluster: cluster, store: store, nodeID: configuration.nodeID,
          dataDirectory: absolutePath(configuration.dataDirectory), topicsDeleted: { groups.topicsDeleted($0) }),
        logger: Logger(label: "broker"), now: wallClockMilliseconds)
      var others: ClusterPart?
      var pair: PairedNode?
      do {
        if configuration.etcd != nil, let peer = configuration.peer {
          others = try await ClusterPart.start(
            configuration, peer, store, cluster, advertised: advertised, groups: groups, on: group)
        } else {
          try await cluster.register(
            NodeImage(
              id: configuration.nodeID, host: advertised.host, port: Int32(advertised.port), rack: configuration.rack))
          if let local = cluster as? LocalClusterStore {
            pair = try await PairedNode.start(
              PairedNode.Dependencies(
                configuration: configuration, store: store, cluster: local, kafka: advertised,
                secret: try PeerSecretFile.read(configuration.peerSecretFile), group: group,
                groups: groups, logger: Logger(label: "peers")))
          }
        }
        try await broker.start(on: group, listener: listener)
        try others?.takeRoles()
      } catch {
        await others?.stop()
        await pair?.stop()
        groups.close()
        throw error
      }
      let indexFiles = IndexFiles(confirmsOnce: true)
      let indexes = IndexBuilder(store, files: indexFiles, feed: ColumnFeed(), logger: Logger(label: "indexes"))
      indexes.start()
      return RunningNode(
        configuration: configuration, store: store, cluster: cluster, others: others, pair: pair, groups: groups,
        broker: broker,
        kafka: listen,
        group: group, logger: logger,
        queries: QueryRegistry(
          concurrentMax: Int(settings.number("quire.query.concurrency")),
          followingMax: Int(settings.number("quire.query.followers"))),
        indexFiles: indexFiles, indexes: indexes,
        state: State())
    } catch {
      cluster.close()
      try? await group.shutdownGracefully()
      throw error
    }
  }

  /// Serves until the process is told to stop.
  func serve() async throws {
    let settings = configuration.settings
    var services: [any Service] = [
      KafkaDoor(
        broker: broker, groups: groups,
        prepare: {
          state.becomes("stopping")
          await others?.handOver(within: QuireNode.handOverTimeMax)
        }),
      RetentionTimer(
        store: store, interval: .milliseconds(settings.number("log.retention.check.interval.ms")), now: wallClockMilliseconds),
    ]
    let doors = OpenDoors(expected: [configuration.http, configuration.postgres].compactMap(\.self).count) { ready($0) }
    if let http = configuration.http { services.append(gateway(http) { doors.opened(.http, at: $0) }) }
    if let postgres = configuration.postgres {
      services.append(postgresDoor(postgres) { doors.opened(.postgres, at: $0) })
    }
    if configuration.http == nil && configuration.postgres == nil { ready([:]) }
    var group = ServiceGroupConfiguration(
      services: services.map { .init(service: $0) }, gracefulShutdownSignals: [.sigterm, .sigint],
      logger: Self.quiet(logger))
    group.maximumGracefulShutdownDuration = QuireNode.drainTimeMax
    try await ServiceGroup(configuration: group).run()
  }

  private func postgresDoor(_ address: HostPort, started: @escaping @Sendable (HostPort) -> Void) -> Opening<PostgresDoor> {
    let settings = configuration.settings
    return Opening(
      door: "Postgres", address: address,
      service: PostgresDoor(
        configuration: PostgresConfiguration(
          listen: address, connectionsMax: Int(settings.number("quire.postgres.connections"))),
        history: PostgresHistory(
          catalog: catalog, limits: limits, queries: queries,
          runOnReadThread: { [store] work in store.runScanOnReadThread(work) }),
        group: group, logger: Logger(label: "postgres"), started: started))
  }

  private func gateway(_ http: HostPort, started announce: @escaping @Sendable (HostPort) -> Void) -> Opening<Gateway> {
    let metrics = ProcessSetup.metrics
    let started = wallClockMilliseconds()
    let settings = configuration.settings
    let queuedRequestBytesMax = settings.number("queued.max.request.bytes")
    metrics.addGauges { [cluster, broker, store, indexes, groups, clusterView] in
      let levels = store.levels
      let indexLevels = indexes.levels
      return NodeMetrics.samples(cluster, startedMilliseconds: started) + NodeMetrics.samples(clusterView.facts()) + [
        MetricSample("wal_total_bytes", value: Double(levels.walBytes)),
        MetricSample("open_databases", value: Double(levels.openDatabases)),
        MetricSample("fenced_partitions", value: Double(levels.fencedPartitions)),
        MetricSample("index_uncovered_records", value: Double(indexLevels.uncoveredRecords)),
        MetricSample("index_records_total", value: Double(indexLevels.indexedRecords), isCounter: true),
        MetricSample("index_files_total", value: Double(indexLevels.builtFiles), isCounter: true),
        MetricSample("index_damaged_files_total", value: Double(indexLevels.damagedFiles), isCounter: true),
        MetricSample("groups", value: Double(groups.groupCount)),
        MetricSample("kafka_connections", value: Double(broker.connectionCount)),
        MetricSample("kafka_queued_request_bytes", value: Double(broker.queuedRequestBytes)),
        MetricSample("kafka_queued_request_bytes_max", value: Double(queuedRequestBytesMax)),
      ]
    }
    var doors = HistoryDoors.over(
      catalog: catalog, limits: limits, queries: queries, now: wallClockMilliseconds,
      runOnReadThread: { [store] work in store.runScanOnReadThread(work) })
    doors.mirrors = MirrorEntry(store: store, cluster: cluster)
    doors.cluster = ClusterEntry(view: clusterView)
    let gateway = Gateway(
      configuration: GatewayConfiguration(
        listen: http, advertisedHosts: configuration.advertised.map { [$0.host] } ?? [],
        concurrentQueriesMax: Int(settings.number("quire.query.concurrency")),
        followedQueriesMax: Int(settings.number("quire.query.followers")),
        stallTime: .milliseconds(settings.number("quire.query.stall.ms"))),
      doors: doors,
      metrics: metrics, readiness: { [state, pair] in state.now ?? pair?.unreadiness }, group: group,
      logger: Logger(label: "http"),
      started: announce)
    return Opening(door: "HTTP", address: http, service: gateway)
  }

  private var clusterView: ClusterView {
    ClusterView(nodeID: configuration.nodeID, cluster: cluster, pair: pair, others: others)
  }

  /// What SQL is asked of, by every door.
  private var catalog: any HistoryCatalog {
    let view = NodeView(
      nodeID: configuration.nodeID, cluster: cluster, store: store, coordinator: groups, view: clusterView, group: group)
    let local = StoreCatalog(store, node: view, queries: queries, indexes: indexFiles)
    return others == nil ? local : ClusterCatalog(local: local, store: store, cluster: cluster)
  }

  /// Of one statement of any door.
  private var limits: SQLLimits { SQLLimits(time: .milliseconds(configuration.settings.number("quire.query.timeout.ms"))) }

  private func ready(_ doors: [OpenDoors.Door: HostPort]) {
    state.becomes(nil)
    let http = doors[.http].map { "HTTP on \($0)" } ?? "HTTP off"
    let postgres = doors[.postgres].map { "Postgres on \($0)" } ?? "Postgres off"
    logger.notice(
      "Quire \(QuireNode.version) is ready: Kafka on \(kafka), \(http), \(postgres), data in \(configuration.dataDirectory)")
  }

  /// Closes what `start` opened, in the reverse order; the doors are closed already.
  func stop() async {
    indexes.stop()
    await others?.stop()
    await pair?.stop()
    cluster.close()
    do { try store.close() } catch { logger.error("the store did not close in order", metadata: ["error": "\(error)"]) }
    try? await group.shutdownGracefully()
    logger.notice("Quire has stopped")
  }

  /// The lifecycle library tells of each step; only what goes wrong is wanted.
  private static func quiet(_ logger: Logger) -> Logger {
    var quiet = logger
    quiet.logLevel = max(logger.logLevel, .warning)
    return quiet
  }
}
