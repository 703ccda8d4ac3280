public import Logging
internal import Model
public import NIOCore
internal import NIOPosix

/// The leader's side of page shipping: a port of its own on which followers connect, each of them with one connection for all its partitions.
public final class PeerListener: Sendable {
  public struct Configuration: Sendable {
    public var host: String
    /// 0 takes a free one.
    public var port: Int
    /// Without one only this machine is served.
    public var secret: PeerSecret?
    public var timing = PeerTiming()
    /// What files and sets that begin or repair a copy may take of each connection; 0 for all there is. New commits do not wait for it.
    public var catchUpBytesPerSecond = 0
    /// Threads that read from storage, which may block.
    public var threadCount = 4

    public init(host: String, port: Int, secret: PeerSecret?) {
      self.host = host
      self.port = port
      self.secret = secret
    }
  }

  /// What was bound: a port of 0 has become a free one.
  public let address: SocketAddress
  private let channel: any Channel
  private let core: ListenerCore

  private init(channel: any Channel, core: ListenerCore) {
    self.channel = channel
    self.core = core
    address = channel.localAddress!
  }

  /// Begins to listen.
  ///
  /// - Parameter group: the loops that connections will be spread over.
  /// - Throws: what the operating system says of the address; nothing is left open.
  public static func start(
    _ configuration: Configuration, identity: PeerIdentity, sources: any ReplicaSources, on group: any EventLoopGroup,
    logger: Logger
  ) async throws -> PeerListener {
    let pool = NIOThreadPool(numberOfThreads: max(1, configuration.threadCount))
    let core = ListenerCore(
      configuration: configuration, identity: identity, sources: sources, pool: pool, logger: logger)
    let channel = try await ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 128)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelOption(.maxMessagesPerRead, value: 4)
      .childChannelOption(.recvAllocator, value: PeerListener.receiveBuffer)
      .childChannelOption(.writeBufferWaterMark, value: PeerListener.writeBuffer)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let connection = PeerConnection(
            channel, role: LeaderConversation(core: core), timing: core.configuration.timing, metrics: core.metrics)
          try channel.pipeline.syncOperations.addHandler(connection)
        }
      }
      .bind(host: configuration.host, port: configuration.port).get()
    pool.start()
    return PeerListener(channel: channel, core: core)
  }

  /// Some pieces: the next ones are chosen late, so that what comes new need not wait for what was first.
  static let writeBuffer = ChannelOptions.Types.WriteBufferWaterMark(low: 128 << 10, high: 512 << 10)

  /// Some pieces at once, where they come that fast: what is left of the last one is copied.
  static let receiveBuffer = AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 8192, maximum: 512 << 10)

  /// What followers are told of this node from now on: after it was promoted, or its cluster got its id.
  public func update(_ identity: PeerIdentity) { core.identity = identity }

  /// What followers are told of the cluster: its topics, and what is set. Each gets what has changed; of several in a row perhaps only the last.
  public func publish(_ cluster: ShippedCluster) { core.publish(cluster) }

  /// What files and sets that begin or repair a copy may take of each connection from now on; 0 for all there is.
  public func limitCatchUp(bytesPerSecond: Int) {
    core.catchUpBytesPerSecond = bytesPerSecond
  }

  /// The followers that are connected, as they were a second ago at most (`PeerTiming.lagInterval`), in order of their nodes.
  public var followers: [FollowerStatus] { core.statuses }

  /// Closes all connections; when it returns no source is open any more.
  public func stop() async {
    try? await channel.close()
    let promise = channel.eventLoop.makePromise(of: Void.self)
    core.stop(promise)
    try? await promise.futureResult.get()
    try? await core.pool.shutdownGracefully()
  }
}
