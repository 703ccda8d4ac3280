public import NIOCore
internal import NIOPosix
internal import Synchronization

/// A socket bound for Kafka clients, whose connections wait in the operating system until a broker accepts them.
///
/// It comes before the broker, because the cluster's image, the groups and Metadata tell clients its address.
public struct KafkaListener: Sendable {
  /// What was bound: a port of 0 has become a free one, a name the address it stands for.
  public let address: SocketAddress
  let channel: any Channel
  private let acceptor: Acceptor

  private struct Initializer {
    let call: @Sendable (any Channel) throws -> Void
  }

  private final class Acceptor: Sendable {
    let initializer = Mutex<Initializer?>(nil)
  }

  /// - Parameter group: the loops that connections will be spread over.
  /// - Throws: what the operating system says of the address; nothing is left open.
  public static func bind(on group: any EventLoopGroup, host: String, port: Int) async throws -> KafkaListener {
    let acceptor = Acceptor()
    let channel = try await ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 1024)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .serverChannelOption(.autoRead, value: false)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      // A client whose machine is gone sends no FIN; its request may wait for weeks.
      .childChannelOption(.socketOption(.so_keepalive), value: 1)
      .childChannelOption(.maxMessagesPerRead, value: 4)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try acceptor.initializer.withLock { $0 }?.call(channel) }
      }
      .bind(host: host, port: port).get()
    return KafkaListener(address: channel.localAddress!, channel: channel, acceptor: acceptor)
  }

  /// Begins to accept connections.
  ///
  /// - Parameter initialize: called with each on its event loop; one that it throws for is closed.
  func accept(_ initialize: @escaping @Sendable (any Channel) throws -> Void) async throws {
    acceptor.initializer.withLock { $0 = Initializer(call: initialize) }
    try await channel.setOption(.autoRead, value: true).get()
  }
}
