internal import CoreMetrics

/// The room's metrics; every handle is made once.
struct ShippingMetrics: Sendable {
  let sentBytes = Counter(label: "quire_peer_sent_bytes_total")
  let receivedBytes = Counter(label: "quire_peer_received_bytes_total")
  let refusedConnections = Counter(label: "quire_peer_refused_total")
  let disconnections = Counter(label: "quire_peer_disconnections_total")
  /// Copies found to differ from their leader's.
  let divergences = Counter(label: "quire_replica_divergences_total")
  let pulledFileBytes = Counter(label: "quire_replica_file_bytes_total")
}

/// The room's metrics, for a node that may not have peers yet.
public enum PeerMetrics {
  /// Has them shown from now on, with what they count.
  public static func register() { _ = ShippingMetrics() }
}
