internal import Cluster
internal import KafkaProtocol
internal import Metadata
internal import Model

/// ListPartitionReassignments, version 0: the partitions that are being moved (KIP-455).
extension AdminContext {
  func handle(
    _ request: ListPartitionReassignmentsRequest, version: Int16
  ) async -> ListPartitionReassignmentsResponse {
    let asked = request.topics.map { topics in
      Set(topics.flatMap { topic in topic.partitionIndexes.map { TopicPartition(topic: topic.name, partition: $0) } })
    }
    var response = ListPartitionReassignmentsResponse()
    for topic in cluster.image.topics.values.sorted(by: { $0.name < $1.name }) {
      var row = ListPartitionReassignmentsResponse.Topic()
      row.name = topic.name
      for (number, partition) in topic.partitions.enumerated() where partition.isBeingReassigned {
        guard asked?.contains(TopicPartition(topic: topic.name, partition: Int32(number))) ?? true else { continue }
        var part = ListPartitionReassignmentsResponse.Partition()
        part.partitionIndex = Int32(number)
        part.replicas = partition.replicas.map(\.rawValue)
        part.addingReplicas = partition.addingReplicas.map(\.rawValue)
        part.removingReplicas = partition.removingReplicas.map(\.rawValue)
        row.partitions.append(part)
      }
      if !row.partitions.isEmpty { response.topics.append(row) }
    }
    return response
  }
}
