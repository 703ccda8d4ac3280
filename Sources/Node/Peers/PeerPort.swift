import Cluster
import Logging
import Metadata
import Model
import NIOCore
import Shipping

/// The port on which other nodes fetch this node's pages.
final class PeerPort: Sendable {
  private static let catchUpKey = "quire.peer.catchup.bytes.per.second"

  private let listener: PeerListener
  /// Where other nodes connect.
  let address: HostPort

  private init(_ listener: PeerListener, address: HostPort) {
    self.listener = listener
    self.address = address
  }

  /// Begins to listen.
  ///
  /// - Throws: `NodeStartError` that names the address.
  static func start(
    _ address: PeerAddress, configuration: NodeConfiguration, secret: PeerSecret?, identity: PeerIdentity,
    sources: any ReplicaSources, on group: any EventLoopGroup, logger: Logger
  ) async throws -> PeerPort {
    var options = PeerListener.Configuration(host: address.listen.host, port: address.listen.port, secret: secret)
    options.catchUpBytesPerSecond = Int(configuration.settings.number(catchUpKey))
    do {
      let listener = try await PeerListener.start(
        options, identity: identity, sources: sources, on: group, logger: logger)
      return PeerPort(listener, address: address.advertised(bound: listener.address.port ?? address.listen.port))
    } catch { throw StartFailure.explained(error, door: "the peer port", address: address.listen) }
  }

  /// The followers that are connected, a second ago at most.
  var followers: [FollowerStatus] { listener.followers }

  /// What followers are told of this node from now on.
  func update(_ identity: PeerIdentity) { listener.update(identity) }

  /// What followers are told of the cluster from now on.
  func publish(_ cluster: ShippedCluster) { listener.publish(cluster) }

  /// Has the limit of what catches up follow the cluster's settings.
  func followSettings(of cluster: any ClusterStore) {
    cluster.observe { [weak listener, weak cluster] in
      guard let listener, let cluster else { return }
      listener.limitCatchUp(bytesPerSecond: Int(cluster.image.nodeSettings.number(Self.catchUpKey)))
    }
  }

  /// Closes all connections; no feed is open any more when it returns.
  func stop() async { await listener.stop() }
}
