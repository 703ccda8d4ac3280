internal import Metadata
internal import Model

extension ClusterImage {
  /// The node that leads a partition, if it is there.
  func leader(of partition: PartitionImage) -> NodeImage? { partition.leader.flatMap { nodes[$0] } }

  /// Replicas on nodes that are not there.
  func offlineReplicas(of partition: PartitionImage) -> [NodeID] { partition.replicas.filter { nodes[$0] == nil } }
}
