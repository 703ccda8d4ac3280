internal import Cluster
internal import KafkaProtocol
internal import Metadata
internal import Model

/// AlterPartitionReassignments, versions 0 and 1: moves partitions to other nodes, or takes that back (KIP-455).
///
/// The reply says that the moves have begun; ListPartitionReassignments says which go on.
extension AdminContext {
  func handle(
    _ request: AlterPartitionReassignmentsRequest, version: Int16
  ) async -> AlterPartitionReassignmentsResponse {
    var response = AlterPartitionReassignmentsResponse()
    response.allowReplicationFactorChange = request.allowReplicationFactorChange
    let names = request.topics.flatMap { topic in
      topic.partitions.map { TopicPartition(topic: topic.name, partition: $0.partitionIndex) }
    }
    if !names.repeated().isEmpty {
      response.errorCode = .invalidRequest
      response.errorMessage = "a partition occurs more than once in the request"
      return response
    }
    var targets: [TopicPartition: [NodeID]?] = [:]
    var refused: [TopicPartition: ClusterError] = [:]
    for topic in request.topics {
      for asked in topic.partitions {
        let name = TopicPartition(topic: topic.name, partition: asked.partitionIndex)
        if let complaint = complaint(aboutSizeOf: asked, name, mayDiffer: request.allowReplicationFactorChange) {
          refused[name] = ClusterError(.invalidReplicationFactor, complaint)
        } else {
          targets.updateValue(asked.replicas?.map { NodeID($0) }, forKey: name)
        }
      }
    }
    let outcomes: [TopicPartition: ClusterError?]
    do throws(ClusterError) { outcomes = try await cluster.reassign(targets) } catch {
      response.errorCode = error.errorCode
      response.errorMessage = error.message
      return response
    }
    response.responses = request.topics.map { topic in
      var row = AlterPartitionReassignmentsResponse.ReassignableTopicResponse()
      row.name = topic.name
      row.partitions = topic.partitions.map { asked in
        let name = TopicPartition(topic: topic.name, partition: asked.partitionIndex)
        var part = AlterPartitionReassignmentsResponse.ReassignablePartitionResponse()
        part.partitionIndex = asked.partitionIndex
        let error = refused[name] ?? outcomes[name] ?? nil
        part.errorCode = error?.errorCode ?? .none
        part.errorMessage = error?.message
        return part
      }
      return row
    }
    return response
  }

  private func complaint(
    aboutSizeOf asked: AlterPartitionReassignmentsRequest.ReassignablePartition, _ name: TopicPartition, mayDiffer: Bool
  ) -> String? {
    guard !mayDiffer, let replicas = asked.replicas,
      let partition = cluster.image.topics[name.topic]?.partition(name.partition)
    else { return nil }
    let count = partition.replicas.count - partition.addingReplicas.count
    return replicas.count == count ? nil : "\(name) has \(count) replicas, and \(replicas.count) are asked for"
  }
}
