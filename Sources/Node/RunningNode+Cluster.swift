import Broker
import Cluster
import Logging
import Metadata
import Model
import NIOCore
import Query
import Shipping
import Storage

/// Where the cluster's image is, and what this node is among others.
extension RunningNode {
  /// How long a node that starts waits for etcd.
  fileprivate static let etcdPatience = Duration.seconds(60)

  /// - Throws: `NodeStartError`; nothing is open.
  static func openCluster(
    _ configuration: NodeConfiguration, _ store: LogStore, _ logger: Logger
  ) async throws -> any ClusterStore {
    if store.node.nodeID != configuration.nodeID {
      throw NodeStartError(
        .environment,
        "the data directory \(configuration.dataDirectory) is node \(store.node.nodeID)'s, and node.id is \(configuration.nodeID)"
      )
    }
    do {
      let membership = try DirectoryMembership(of: store.node)
      if let etcd = configuration.etcd { return try await openEtcd(etcd, configuration, store, membership, logger) }
      if membership.isMember {
        throw ClusterError(
          .invalidConfig, "it belongs to the cluster \(membership.clusterID), which is in etcd: start the node with --etcd")
      }
      try await StandbyStart(
        configuration: configuration, store: store, secret: try PeerSecretFile.read(configuration.peerSecretFile),
        logger: logger
      ).decide()
      let cluster = try openLocal(configuration, store)
      for leftover in cluster.leftovers { logger.warning("\(leftover)") }
      return cluster
    } catch let error as ClusterError {
      throw NodeStartError(.environment, "the data directory \(configuration.dataDirectory): \(error)")
    }
  }

  private static func openLocal(
    _ configuration: NodeConfiguration, _ store: LogStore
  ) throws(ClusterError) -> LocalClusterStore {
    try LocalClusterStore.open(
      store: store, clusterID: store.node.clusterID, nodeID: configuration.nodeID, settings: configuration.settings,
      entropy: entropy, now: wallClockMilliseconds, columnsComplaint: { ColumnRules.complaint(about: $0) })
  }

  private static func openEtcd(
    _ etcd: EtcdAddress, _ configuration: NodeConfiguration, _ store: LogStore, _ membership: DirectoryMembership,
    _ logger: Logger
  ) async throws -> EtcdClusterStore {
    func refuse(_ objection: String?) throws(NodeStartError) {
      guard let objection else { return }
      throw NodeStartError(.environment, "the data directory \(configuration.dataDirectory) \(objection)")
    }
    try refuse(membership.objection(toJoining: nil))
    var options = EtcdClusterStore.Options(endpoints: etcd.endpoints)
    options.prefix = etcd.prefix
    options.credentials = try etcd.credentials()
    options.directory = try DirectoryIdentity(of: store.node, path: configuration.dataDirectory)
    // A directory that has a cluster founds no other one: the image of that would have nothing of what is here.
    options.mayFound = !membership.isMember
    let cluster = try await waitForEtcd(options, configuration, membership, logger)
    let clusterID = cluster.image.clusterID
    do {
      try refuse(membership.objection(toJoining: clusterID))
      if !membership.isMember || clusterID != membership.clusterID { try DirectoryMembership.join(clusterID, store.node) }
      return cluster
    } catch {
      cluster.close()
      throw error
    }
  }

  private static func waitForEtcd(
    _ options: EtcdClusterStore.Options, _ configuration: NodeConfiguration, _ membership: DirectoryMembership, _ logger: Logger
  ) async throws -> EtcdClusterStore {
    let deadline = ContinuousClock.now + etcdPatience
    var isAnnounced = false
    while true {
      do throws(ClusterError) {
        return try await EtcdClusterStore.open(
          options, clusterID: membership.clusterID, nodeID: configuration.nodeID, settings: configuration.settings,
          entropy: entropy, now: wallClockMilliseconds, columnsComplaint: { ColumnRules.complaint(about: $0) }, logger: logger)
      } catch {
        let places = options.endpoints.joined(separator: ", ")
        guard error.errorCode == .brokerNotAvailable, ContinuousClock.now < deadline else {
          let member = membership.isMember ? "; the data directory belongs to the cluster \(membership.clusterID)" : ""
          throw NodeStartError(.environment, "etcd at \(places) cannot be used: \(error)\(member)")
        }
        if !isAnnounced { logger.warning("waiting for etcd", metadata: ["etcd": "\(places)", "error": "\(error)"]) }
        isAnnounced = true
        try await Task.sleep(for: .milliseconds(500))
      }
    }
  }

  private static let entropy: @Sendable () -> UInt64 = {
    var random = SystemRandomNumberGenerator()
    return random.next()
  }
}

/// What a node of several has beside its doors: the port where others fetch from it, and its roles.
struct ClusterPart: Sendable {
  let port: PeerPort
  let links: PeerLinks
  let keeper: RoleKeeper
  private let cluster: any ClusterStore
  private let node: NodeImage
  private let logger: Logger

  /// Opens the peer port and registers the node; it has no roles yet.
  static func start(
    _ configuration: NodeConfiguration, _ peer: PeerAddress, _ store: LogStore, _ cluster: any ClusterStore,
    advertised: HostPort, groups: GroupCoordinator, on group: any EventLoopGroup
  ) async throws -> ClusterPart {
    let secret = try PeerSecretFile.read(configuration.peerSecretFile)
    let identity = PeerIdentity(node: configuration.nodeID, clusterID: cluster.image.clusterID, leaderEpoch: .zero)
    let logger = Logger(label: "roles")
    let port = try await PeerPort.start(
      peer, configuration: configuration, secret: secret, identity: identity,
      sources: LedPartitions(store: store) { (peer) throws(PeerRefusal) in
        throw PeerRefusal(.staleEpoch, "node \(peer.node) is not this node's standby: the cluster decides who leads")
      }, on: group, logger: Logger(label: "peers"))
    port.followSettings(of: cluster)
    let links = PeerLinks(identity: identity, secret: secret, group: group, logger: Logger(label: "peers"))
    let keeper = RoleKeeper(
      RoleKeeper.Dependencies(
        node: configuration.nodeID, store: store, cluster: cluster, revision: { (cluster as? EtcdClusterStore)?.revision ?? 0 },
        links: links,
        coordinator: { shard, leads in if leads { groups.lead(shard: shard) } else { groups.release(shard: shard) } },
        topicsDeleted: { groups.topicsDeleted($0) },
        logger: logger))
    var node = NodeImage(
      id: configuration.nodeID, host: advertised.host, port: Int32(advertised.port), rack: configuration.rack,
      peer: port.address)
    // Whoever ended in order is elected first.
    node.isRecovering = !store.closedCleanly
    do { try await register(node, with: cluster) } catch {
      await port.stop()
      throw NodeStartError(.environment, "the node cannot join the cluster: \(error)")
    }
    return ClusterPart(port: port, links: links, keeper: keeper, cluster: cluster, node: node, logger: logger)
  }

  /// etcd may go away between any two steps of a start.
  private static func register(_ node: NodeImage, with cluster: any ClusterStore) async throws {
    let deadline = ContinuousClock.now + RunningNode.etcdPatience
    while true {
      do throws(ClusterError) { return try await cluster.register(node) } catch {
        let mayComeBack = error.errorCode == .brokerNotAvailable || error.errorCode == .requestTimedOut
        guard mayComeBack, ContinuousClock.now < deadline else { throw error }
      }
      try await Task.sleep(for: .milliseconds(500))
    }
  }

  /// Takes the roles that the cluster gives this node. Where its last end was not in order it stands back in elections, until what it follows was
  /// compared with what the leaders have.
  func takeRoles() throws(ClusterError) {
    try keeper.start()
    guard node.isRecovering else { return }
    Task {
      while !keeper.isSettled || !links.areStreaming {
        if keeper.isStopping { return }
        try? await Task.sleep(for: .milliseconds(200))
      }
      var recovered = node
      recovered.isRecovering = false
      while !keeper.isStopping {
        do throws(ClusterError) { return try await cluster.register(recovered) } catch {
          try? await Task.sleep(for: .seconds(1))
        }
      }
    }
  }

  /// Gives away what this node leads: clients find the next leader while this one still answers them.
  func handOver(within time: Duration) async {
    let deadline = ContinuousClock.now + time
    do throws(ClusterError) {
      let left = try await cluster.handOver(from: keeper.dependencies.node)
      if left > 0 {
        logger.notice(
          "partitions have no leader until this node is back: no other replica is in sync", metadata: ["partitions": "\(left)"])
      }
    } catch { logger.warning("the leaderships of this node cannot be handed over", metadata: ["error": "\(error)"]) }
    while !keeper.isSettled, ContinuousClock.now < deadline { try? await Task.sleep(for: .milliseconds(10)) }
  }

  /// Ends what is followed and what is fed; the files stay.
  func stop() async {
    await keeper.stop()
    await port.stop()
  }
}
