internal import CoreMetrics

/// The room's metrics; every handle is made once.
struct ShippingMetrics: Sendable {
  let sentBytes = Counter(label: "quire_peer_sent_bytes_total")
  let receivedBytes = Counter(label: "quire_peer_received_bytes_total")
  let refusedConnections = Counter(label: "quire_peer_refused_total")
  let disconnections = Counter(label: "quire_peer_disconnections_total")
  let appliedSets = Counter(label: "quire_replica_page_sets_total")
  let appliedBytes = Counter(label: "quire_replica_page_set_bytes_total")
  /// Copies found to differ from their leader's.
  let divergences = Counter(label: "quire_replica_divergences_total")
  let pulledFileBytes = Counter(label: "quire_replica_file_bytes_total")
}
