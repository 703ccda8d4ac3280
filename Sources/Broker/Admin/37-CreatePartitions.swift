internal import Cluster
internal import KafkaProtocol
internal import Metadata
internal import Model

/// CreatePartitions, versions 0 to 3: more partitions for existing topics (KIP-195).
extension AdminContext {
  func handle(_ request: CreatePartitionsRequest, version: Int16) async -> CreatePartitionsResponse {
    var response = CreatePartitionsResponse()
    let repeated = request.topics.map(\.name).repeated()
    var answered: Set<String> = []
    for topic in request.topics where answered.insert(topic.name).inserted {
      var row = CreatePartitionsResponse.TopicResult()
      row.name = topic.name
      do throws(ClusterError) {
        if repeated.contains(topic.name) {
          throw ClusterError(.invalidRequest, "the topic '\(topic.name)' occurs more than once in the request")
        }
        try check(topic)
        try await cluster.createPartitions(
          topic: topic.name, count: topic.count,
          assignments: topic.assignments.map { $0.map { $0.brokerIDs.map { NodeID($0) } } }, validateOnly: request.validateOnly)
      } catch {
        row.errorCode = error.errorCode
        row.errorMessage = error.message
      }
      response.results.append(row)
    }
    return response
  }

  private func check(_ topic: CreatePartitionsRequest.Topic) throws(ClusterError) {
    guard let assignments = topic.assignments, let existing = cluster.image.topics[topic.name]?.partitions.count else { return }
    // A count that does not grow is refused for that, whatever is assigned.
    guard Int(topic.count) > existing else { return }
    if assignments.count != Int(topic.count) - existing {
      throw ClusterError(
        .invalidReplicaAssignment,
        "\(Int(topic.count) - existing) partitions are to be added, and \(assignments.count) are assigned")
    }
    for assignment in assignments {
      if let complaint = complaint(aboutReplicas: assignment.brokerIDs) {
        throw ClusterError(.invalidReplicaAssignment, complaint)
      }
    }
  }
}
