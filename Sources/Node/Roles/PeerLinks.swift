import Logging
import Model
import NIOCore
import Shipping
import Synchronization

/// The leaders that this node follows: one connection for each address, for as long as a partition needs it.
final class PeerLinks: Sendable {
  private struct Link {
    let client: PeerClient
    var partitions: Set<TopicPartition> = []
  }

  private let links = Mutex<[HostPort: Link]>([:])
  private let identity: PeerIdentity
  private let secret: PeerSecret?
  private let group: any EventLoopGroup
  private let logger: Logger

  init(identity: PeerIdentity, secret: PeerSecret?, group: any EventLoopGroup, logger: Logger) {
    self.identity = identity
    self.secret = secret
    self.group = group
    self.logger = logger
  }

  /// The leaders that are followed at the moment, and how far behind them this node is.
  var statuses: [LeaderStatus] { links.withLock { $0.values.map(\.client) }.map(\.status) }

  /// Whether every copy goes on from what its leader has.
  var areStreaming: Bool { statuses.allSatisfy { $0.partitions.allSatisfy { $0.durable != nil } } }

  /// - Precondition: the partition is not followed.
  func follow(_ partition: TopicPartition, topicID: TopicID, at address: HostPort, into sink: any ReplicaSink) {
    let client = links.withLock { links in
      if links[address] == nil {
        links[address] = Link(
          client: PeerClient.start(
            PeerClient.Configuration(leader: address, secret: secret), identity: identity, on: group, logger: logger,
            listener: { _ in }))
      }
      links[address]!.partitions.insert(partition)
      return links[address]!.client
    }
    client.follow(partition, topicID: topicID, into: sink)
  }

  /// The sink is closed when this returns; the connection ends with its last partition.
  func unfollow(_ partition: TopicPartition, at address: HostPort) async {
    guard let client = links.withLock({ $0[address]?.client }) else { return }
    await client.unfollow(partition)
    let idle = links.withLock { links in
      links[address]?.partitions.remove(partition)
      return links[address]?.partitions.isEmpty == true ? links.removeValue(forKey: address)?.client : nil
    }
    await idle?.stop()
  }

  /// All sinks are closed when this returns.
  func stop() async {
    let clients = links.withLock { links in
      defer { links = [:] }
      return links.values.map(\.client)
    }
    for client in clients { await client.stop() }
  }
}
