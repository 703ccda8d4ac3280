internal import Cluster
internal import KafkaProtocol
internal import Metadata
internal import Model

/// ElectLeaders, versions 0 to 2: preferred and unclean elections (KIP-183, KIP-460).
extension AdminContext {
  private enum ElectionType {
    static let preferred: Int8 = 0
    static let unclean: Int8 = 1
  }

  func handle(_ request: ElectLeadersRequest, version: Int16) async -> ElectLeadersResponse {
    var response = ElectLeadersResponse()
    guard [ElectionType.preferred, ElectionType.unclean].contains(request.electionType) else {
      response.errorCode = .invalidRequest
      return response
    }
    let isUnclean = request.electionType == ElectionType.unclean
    let outcomes: [TopicPartition: ClusterError?]
    do throws(ClusterError) {
      outcomes = try await cluster.electLeaders(of: asked(by: request), isUnclean: isUnclean)
    } catch {
      response.errorCode = error.errorCode
      return response
    }
    // Of all partitions only those are told where something happened.
    let told = outcomes.filter { request.topicPartitions != nil || $0.value?.errorCode != .electionNotNeeded }
    response.replicaElectionResults = Dictionary(grouping: told, by: \.key.topic).sorted { $0.key < $1.key }.map {
      name, outcomes in
      var topic = ElectLeadersResponse.ReplicaElectionResult()
      topic.topic = name
      topic.partitionResult = outcomes.sorted { $0.key < $1.key }.map { partition, outcome in
        var row = ElectLeadersResponse.PartitionResult()
        row.partitionID = partition.partition
        row.errorCode = outcome?.errorCode ?? .none
        row.errorMessage = outcome?.message
        return row
      }
      return topic
    }
    return response
  }

  private func asked(by request: ElectLeadersRequest) -> Set<TopicPartition> {
    guard let topics = request.topicPartitions else {
      return Set(
        cluster.image.clientTopics.flatMap { topic in
          topic.partitions.indices.map { TopicPartition(topic: topic.name, partition: Int32($0)) }
        })
    }
    return Set(topics.flatMap { topic in topic.partitions.map { TopicPartition(topic: topic.topic, partition: $0) } })
  }
}
