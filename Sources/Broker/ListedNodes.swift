internal import Cluster
internal import Metadata
internal import Model
internal import Synchronization

/// The nodes that clients are told of: those of the image, and for a while those that have just left it without saying so.
///
/// A client takes a broker that Metadata does not name any more for one that was taken away. When etcd was away for longer than a session, all
/// nodes leave the image at once and come back one by one: librdkafka would be left without a broker, and wait for minutes.
final class ListedNodes: Sendable {
  private struct Seen {
    var nodes: [NodeID: NodeImage] = [:]
    var gone: [NodeID: (node: NodeImage, since: Int64)] = [:]
  }

  /// Kafka's clients ask again within that time, and etcd is back, or somebody has to see to it.
  static let goneMilliseconds: Int64 = 30_000

  private let seen = Mutex(Seen())

  /// Follows the cluster's image.
  ///
  /// - Parameter now: milliseconds by a clock that only runs forward.
  func follow(_ cluster: any ClusterStore, now: @escaping @Sendable () -> Int64) {
    cluster.observe { [weak self, weak cluster] in
      guard let self, let cluster else { return }
      note(cluster.image.nodes, now: now())
    }
  }

  /// These are the nodes of the image from now on.
  func note(_ nodes: [NodeID: NodeImage], now: Int64) {
    seen.withLock { seen in
      for (id, node) in seen.nodes where nodes[id] == nil && !node.isStopping { seen.gone[id] = (node, now) }
      seen.gone = seen.gone.filter { nodes[$0.key] == nil && now - $0.value.since <= Self.goneMilliseconds }
      seen.nodes = nodes
    }
  }

  /// In order of their ids.
  func nodes(of image: ClusterImage, now: Int64) -> [NodeImage] {
    let gone = seen.withLock { seen in
      seen.gone.values.filter { image.nodes[$0.node.id] == nil && now - $0.since <= Self.goneMilliseconds }.map(\.node)
    }
    return (Array(image.nodes.values) + gone).sorted { $0.id < $1.id }
  }
}
