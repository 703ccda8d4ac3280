import Broker
import Cluster
import Logging
import Metadata
import Model
import NIOCore
import NIOPosix
import Shipping
import Storage
import Synchronization

/// A node without etcd and the one other that it shares its records with: a leader and its standby, whichever of them this one is.
final class PairedNode: Sendable {
  struct Dependencies: Sendable {
    var configuration: NodeConfiguration
    var store: LogStore
    var cluster: LocalClusterStore
    /// Where Kafka clients reach this node.
    var kafka: HostPort
    var secret: PeerSecret?
    var group: any EventLoopGroup
    var groups: GroupCoordinator
    var logger: Logger
  }

  struct State {
    var port: PeerPort?
    var following: Following?
    var isPromoting = false
    /// Partitions of which it was said that they are damaged here.
    var damaged: Set<TopicPartition> = []
    var tasks: [Task<Void, Never>] = []
  }

  let dependencies: Dependencies
  let state = Mutex(State())
  private let imageChanges: (stream: AsyncStream<Void>, continuation: AsyncStream<Void>.Continuation)

  /// Between two attempts to reach the other node.
  static let retryInterval = Duration.seconds(2)

  var cluster: LocalClusterStore { dependencies.cluster }
  var store: LogStore { dependencies.store }
  var logger: Logger { dependencies.logger }

  private init(_ dependencies: Dependencies) {
    self.dependencies = dependencies
    imageChanges = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
  }

  /// Opens the peer port, where there is one, and follows the leader, where this node is a standby.
  ///
  /// - Throws: `NodeStartError`; nothing is open.
  static func start(_ dependencies: Dependencies) async throws -> PairedNode {
    let node = PairedNode(dependencies)
    dependencies.store.setDamageObserver { [weak node] in node?.tellOfDamage($0) }
    if let address = dependencies.configuration.peer { try await node.listen(on: address) }
    let pair = dependencies.cluster.pair
    switch pair.role {
    case .standby: try await node.follow()
    case .leader:
      if let standby = pair.peer { node.waitForStandby(standby) }
      if pair.toFence != nil { node.keepFencing() }
    case .fenced: break
    }
    return node
  }

  /// What other nodes are told of this one.
  var identity: PeerIdentity {
    PeerIdentity(
      node: dependencies.configuration.nodeID, clusterID: cluster.image.clusterID, leaderEpoch: cluster.pair.epoch,
      address: state.withLock { $0.port }.map { "\($0.address)" } ?? "")
  }

  /// Where other nodes connect; nil where they do not.
  var peerAddress: HostPort? { state.withLock { $0.port }?.address }
  /// Followers that are connected, a second ago at most.
  var followers: [FollowerStatus] { state.withLock { $0.port }?.followers ?? [] }
  /// The leader that is followed; nil for a node that leads.
  var leader: LeaderStatus? { state.withLock { $0.following }?.status }

  /// Why clients had better go elsewhere; nil where they need not.
  var unreadiness: String? { cluster.pair.role == .fenced ? "fenced: another node was promoted" : nil }

  func isConnected(to node: NodeID) -> Bool {
    if case .connected(let identity)? = leader?.state, identity.node == node { return true }
    return followers.contains { $0.identity.node == node }
  }

  func client(of address: HostPort) -> PeerClient.Configuration {
    PeerClient.Configuration(leader: address, secret: dependencies.secret)
  }

  private func listen(on address: PeerAddress) async throws {
    let sources = LedPartitions(
      store: store,
      admission: { [weak self] follower throws(PeerRefusal) in
        guard let self else { throw PeerRefusal(.stopping, "this node is stopping") }
        try self.admit(follower)
      },
      fence: { [weak self] leader throws(PeerRefusal) in
        guard let self else { throw PeerRefusal(.stopping, "this node is stopping") }
        try self.beFenced(by: leader)
      })
    let port = try await PeerPort.start(
      address, configuration: dependencies.configuration, secret: dependencies.secret, identity: identity, sources: sources,
      on: dependencies.group, logger: logger)
    state.withLock { $0.port = port }
    port.update(identity)
    cluster.observe { [continuation = imageChanges.continuation] in continuation.yield() }
    keep(
      Task { [weak self, stream = imageChanges.stream] () -> Void in
        for await _ in stream { await self?.publish() }
      })
  }

  func keep(_ task: Task<Void, Never>) { state.withLock { $0.tasks.append(task) } }

  /// Tells followers of the image as it is now.
  private func publish() async {
    guard let port = state.withLock({ $0.port }), cluster.pair.role == .leader,
      let (image, version) = try? await cluster.versionedImage()
    else { return }
    port.publish(
      ShippedCluster(
        image, version: version, identity: identity, kafkaAddress: dependencies.kafka, registration: cluster.pair.registration))
  }

  private func follow() async throws {
    guard let leader = cluster.pair.peerAddress else { return }
    let (dependencies, identity, client) = (dependencies, identity, client(of: leader))
    let following = try await NIOThreadPool.singleton.runIfActive {
      Following(
        client, identity: identity, store: dependencies.store, cluster: dependencies.cluster, on: dependencies.group,
        logger: dependencies.logger)
    }
    following.start()
    state.withLock { $0.following = following }
  }

  /// Ends what is followed and what is fed; the files stay.
  func stop() async {
    imageChanges.continuation.finish()
    let (tasks, following, port) = state.withLock { ($0.tasks, $0.following, $0.port) }
    for task in tasks { task.cancel() }
    for task in tasks { await task.value }
    await following?.stop()
    await port?.stop()
  }

  // MARK: The leader's side

  /// What is damaged on a leader comes from its standby only when that one leads, which somebody has to decide.
  private func tellOfDamage(_ damaged: DamagedLeader) {
    guard cluster.pair.role == .leader, let standby = cluster.pair.standby,
      state.withLock({ $0.damaged.insert(damaged.topicPartition).inserted })
    else { return }
    let address = cluster.pair.peerAddress.map { "\($0)" } ?? "HOST:PORT"
    logger.error(
      """
      files of this leader are damaged, and what they do not have is not served: node \(standby), its standby, has them. `quire cluster promote` makes \
      that one the leader; started with --standby-of \(address) this node gets from there what it lacks, and can be promoted in turn
      """, metadata: ["partition": "\(damaged.topicPartition)", "standby-is-connected": "\(isConnected(to: standby))"])
  }

  /// A follower becomes the standby, durably, before it is sent anything. Blocks.
  private func admit(_ follower: PeerIdentity) throws(PeerRefusal) {
    switch cluster.pair.role {
    case .leader: break
    case .standby: throw PeerRefusal(.notLeader, "this node is a standby itself")
    case .fenced: throw PeerRefusal(.notLeader, "this node leads no longer")
    }
    let isNew = cluster.pair.peer == nil
    let outcome = wait { [cluster] () async -> Result<[String], ClusterError> in
      do throws(ClusterError) {
        return .success(try await cluster.registerStandby(follower.node, address: HostPort(follower.address)))
      } catch { return .failure(error) }
    }
    switch outcome {
    case .failure(let error): throw PeerRefusal(.notLeader, "\(error)")
    case .success(let complaints):
      if isNew {
        logger.notice(
          "this node has a standby from now on: acks=all waits for it, and is refused while it is away",
          metadata: ["node": "\(follower.node)"])
      }
      // Which registration it is.
      imageChanges.continuation.yield()
      for complaint in complaints {
        logger.error("a partition does not wait for the standby yet", metadata: ["reason": "\(complaint)"])
      }
    }
    // It has not been promoted, or it would have a higher epoch.
    takeAppends("the standby has connected")
  }

  func takeAppends(_ reason: String) {
    guard !store.takesAppends, cluster.pair.role == .leader else { return }
    store.setTakesAppends(true)
    leadGroups()
    logger.notice("this node takes records", metadata: ["because": "\(reason)"])
  }

  func leadGroups() { for shard in 0..<Limits.coordinatorShardCount { dependencies.groups.lead(shard: shard) } }

  /// The other node was promoted. Blocks until that is durable.
  private func beFenced(by leader: PeerIdentity) throws(PeerRefusal) {
    let outcome = wait { [self] () async -> ClusterError? in await fence(by: leader) }
    guard let error = outcome else { return }
    throw PeerRefusal(error.errorCode == .fencedLeaderEpoch ? .staleEpoch : .storage, "\(error)")
  }

  /// - Returns: why it is not durable.
  private func fence(by leader: PeerIdentity) async -> ClusterError? {
    do throws(ClusterError) {
      try await cluster.fence(by: leader.node, epoch: leader.leaderEpoch, address: HostPort(leader.address))
    } catch { return error }
    for shard in 0..<Limits.coordinatorShardCount { dependencies.groups.release(shard: shard) }
    state.withLock { $0.port }?.update(identity)
    logger.critical(
      "node \(leader.node) was promoted over this node, which takes no records any more: start it with --standby-of to make it the standby"
    )
    return nil
  }

  /// After a start a leader does not know whether its standby was promoted meanwhile.
  private func waitForStandby(_ standby: NodeID) {
    logger.notice(
      "this node takes no records until its standby is heard of: it may have been promoted; `quire cluster forget-standby` goes on without it",
      metadata: ["standby": "node \(standby)"])
    keep(
      Task { [weak self] () -> Void in
        while !Task.isCancelled {
          guard let self, !store.takesAppends, cluster.pair.role == .leader else { return }
          await askStandby()
          try? await Task.sleep(for: Self.retryInterval)
        }
      })
  }

  private func askStandby() async {
    guard let address = cluster.pair.peerAddress,
      let other = try? await PeerClient.ask(
        client(of: address), as: identity, on: dependencies.group), other.node == cluster.pair.peer,
      other.leaderEpoch > cluster.pair.epoch
    else { return }
    if let error = await fence(by: other) {
      logger.error("that another node leads could not be written down", metadata: ["error": "\(error)"])
    }
  }

  /// Runs `work` for a thread that may block: not for an event loop.
  private func wait<Result: Sendable>(_ work: @escaping @Sendable () async -> Result) -> Result {
    let promise = dependencies.group.next().makePromise(of: Result.self)
    Task { promise.succeed(await work()) }
    do { return try promise.futureResult.wait() } catch { preconditionFailure("a promise that is never failed: \(error)") }
  }
}
