public import Logging
public import Model
public import NIOCore
internal import NIOPosix
internal import Synchronization

/// What happens to a follower; told on an event loop, in order.
public enum PeerEvent: Sendable {
  case connected(PeerIdentity)
  case disconnected(PeerRefusal)
  /// The leader, or this node, does not want the other one; it is tried again nevertheless. Told once for each reason in a row.
  case refused(PeerRefusal)
  /// The leader's cluster as it is now, whole.
  case cluster(ShippedCluster)
}

/// The follower's side of page shipping: one connection to one leader, for any number of partitions, made anew whenever it ends.
public final class PeerClient: Sendable {
  public struct Configuration: Sendable {
    public var leader: HostPort
    /// Without one the leader has to be on this machine.
    public var secret: PeerSecret?
    public var timing = PeerTiming()
    /// Threads that write to storage, which may block.
    public var threadCount = 4

    public init(leader: HostPort, secret: PeerSecret?) {
      self.leader = leader
      self.secret = secret
    }
  }

  private let core: FollowerCore

  /// Begins to connect.
  ///
  /// - Parameters:
  ///   - identity: with an empty cluster id for a node that has none yet.
  ///   - listener: called on an event loop; it does not block.
  public static func start(
    _ configuration: Configuration, identity: PeerIdentity, on group: any EventLoopGroup, logger: Logger,
    listener: @escaping @Sendable (PeerEvent) -> Void
  ) -> PeerClient {
    let pool = NIOThreadPool(numberOfThreads: max(1, configuration.threadCount))
    pool.start()
    let core = FollowerCore(
      configuration: configuration, identity: identity, loop: group.next(), pool: pool, logger: logger,
      listener: .init(call: listener))
    core.loop.execute { core.connect() }
    return PeerClient(core)
  }

  private init(_ core: FollowerCore) { self.core = core }

  /// What the leader is told of this node from the next connection on.
  public func update(_ identity: PeerIdentity) { core.shared.withLock { $0.identity = identity } }

  /// Keeps the partition like the leader's, from now on and over all connections.
  ///
  /// - Precondition: it is not followed already.
  public func follow(_ partition: TopicPartition, topicID: TopicID, into sink: any ReplicaSink) {
    let core = core
    core.loop.execute {
      core.follow(FollowedPartition(partition, topicID: topicID, sink: sink, timing: core.configuration.timing))
    }
  }

  /// Ends that; the sink is closed when it returns.
  public func unfollow(_ partition: TopicPartition) async {
    let promise = core.loop.makePromise(of: Void.self)
    let core = core
    core.loop.execute { core.unfollow(partition, promise) }
    try? await promise.futureResult.get()
  }

  /// As it was some hundred milliseconds ago at most.
  public var status: LeaderStatus {
    core.shared.withLock { shared in
      var status = shared.status
      guard let since = shared.silentSince else { return status }
      status.silentMilliseconds = max(0, (NIODeadline.now() - since).nanoseconds / 1_000_000)
      for index in status.partitions.indices { status.partitions[index].lag.milliseconds += status.silentMilliseconds }
      return status
    }
  }

  /// Ends the connection; when it returns all sinks are closed.
  public func stop() async {
    let core = core
    try? await core.loop.flatSubmit { core.stop() }.get()
    try? await core.pool.shutdownGracefully()
  }

  /// Tells a leader that another node leads from now on.
  ///
  /// - Parameter identity: of the new leader, with a higher epoch of the pair than the old one's.
  /// - Returns: once the old leader has made durable that it leads no longer.
  /// - Throws: if that is not known: it could not be reached, or did not want to. It may have been fenced nevertheless.
  public static func fence(
    _ configuration: Configuration, as identity: PeerIdentity, on group: any EventLoopGroup
  ) async throws(PeerRefusal) {
    let loop = group.next()
    let promise = loop.makePromise(of: PeerRefusal.self)
    let role = FenceConversation(identity: identity, secret: configuration.secret, promise)
    FollowerCore.bootstrap(configuration, on: loop, metrics: ShippingMetrics()) { role }
      .whenFailure { promise.succeed(PeerRefusal(connecting: $0)) }
    let answer: PeerRefusal
    do { answer = try await promise.futureResult.get() } catch { answer = PeerRefusal(.disconnected, "\(error)") }
    if answer.code != .fenced { throw answer }
  }

  /// Asks a node who it is: which has proved to know the secret.
  ///
  /// - Throws: it could not be reached, or is not to be believed.
  public static func ask(
    _ configuration: Configuration, as identity: PeerIdentity, on group: any EventLoopGroup
  ) async throws(PeerRefusal) -> PeerIdentity {
    let loop = group.next()
    let answer = loop.makePromise(of: PeerIdentity.self)
    let ended = loop.makePromise(of: PeerRefusal.self)
    let role = FenceConversation(identity: identity, secret: configuration.secret, ended, answer: answer)
    FollowerCore.bootstrap(configuration, on: loop, metrics: ShippingMetrics()) { role }
      .whenFailure { error in
        ended.succeed(PeerRefusal(connecting: error))
        answer.fail(PeerRefusal(connecting: error))
      }
    do { return try await answer.futureResult.get() } catch {
      throw error as? PeerRefusal ?? PeerRefusal(.disconnected, "\(error)")
    }
  }
}
