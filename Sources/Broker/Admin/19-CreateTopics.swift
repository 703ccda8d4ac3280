internal import Cluster
internal import KafkaProtocol
internal import Metadata
internal import Model

/// CreateTopics, versions 0 to 7: counts may be left to the node (KIP-464), configurations in the reply from 5 (KIP-525), the topic's id from 7.
extension AdminContext {
  func handle(_ request: CreateTopicsRequest, version: Int16) async -> CreateTopicsResponse {
    var response = CreateTopicsResponse()
    let asked = request.topics.reduce(0) { $0 + partitionsAsked(of: $1) }
    guard asked <= Limits.partitionsPerRequestMax else {
      response.topics = request.topics.map { topic in
        var row = CreateTopicsResponse.CreatableTopicResult()
        row.name = topic.name
        row.errorCode = .policyViolation
        row.errorMessage = "a request creates at most \(Limits.partitionsPerRequestMax) partitions; this one asks for \(asked)"
        row.configs = []
        return row
      }
      return response
    }
    let repeated = request.topics.map(\.name).repeated()
    for name in repeated.sorted() {
      var row = CreateTopicsResponse.CreatableTopicResult()
      row.name = name
      row.errorCode = .invalidRequest
      row.errorMessage = "the topic '\(name)' occurs more than once in the request"
      response.topics.append(row)
    }
    for topic in request.topics where !repeated.contains(topic.name) {
      var row = CreateTopicsResponse.CreatableTopicResult()
      row.name = topic.name
      do throws(ClusterError) {
        describe(try await create(topic, validateOnly: request.validateOnly), in: &row, isCreated: !request.validateOnly)
      } catch {
        row.errorCode = error.errorCode
        row.errorMessage = error.message
        row.configs = []
      }
      response.topics.append(row)
    }
    return response
  }

  private func create(
    _ topic: CreateTopicsRequest.CreatableTopic, validateOnly: Bool
  ) async throws(ClusterError) -> TopicImage {
    let configuration: [(name: String, value: String?)] = topic.configs.map { ($0.name, $0.value) }
    let count = try partitionCount(of: topic)
    guard topic.assignments.isEmpty else {
      let assignments = topic.assignments.sorted { $0.partitionIndex < $1.partitionIndex }
      return try await cluster.createTopic(
        named: topic.name, assignments: assignments.map { $0.brokerIDs.map { NodeID($0) } }, configuration: configuration,
        validateOnly: validateOnly)
    }
    return try await cluster.createTopic(
      named: topic.name, partitionCount: count,
      replicationFactor: topic.replicationFactor != -1 ? topic.replicationFactor : nil, configuration: configuration,
      validateOnly: validateOnly)
  }

  private func partitionsAsked(of topic: CreateTopicsRequest.CreatableTopic) -> Int {
    if !topic.assignments.isEmpty { return topic.assignments.count }
    return topic.numPartitions == -1
      ? Int(cluster.image.nodeSettings.number("num.partitions")) : max(0, Int(topic.numPartitions))
  }

  private func partitionCount(of topic: CreateTopicsRequest.CreatableTopic) throws(ClusterError) -> Int32 {
    if !topic.assignments.isEmpty { return try assignedPartitionCount(of: topic) }
    if topic.numPartitions == -1 { return Int32(cluster.image.nodeSettings.number("num.partitions")) }
    return topic.numPartitions  // what is not positive, or too much, the cluster refuses
  }

  private func assignedPartitionCount(of topic: CreateTopicsRequest.CreatableTopic) throws(ClusterError) -> Int32 {
    if topic.numPartitions != -1 {
      throw ClusterError(.invalidRequest, "partitions are assigned by hand, so that their number must be -1")
    }
    if topic.replicationFactor != -1 {
      throw ClusterError(.invalidRequest, "partitions are assigned by hand, so that the replication factor must be -1")
    }
    let numbers = topic.assignments.map(\.partitionIndex).sorted()
    guard numbers == Array(0..<Int32(numbers.count)) else {
      throw ClusterError(.invalidReplicaAssignment, "the assigned partitions are not numbered from 0 on, each once")
    }
    for assignment in topic.assignments {
      if let complaint = complaint(aboutReplicas: assignment.brokerIDs) {
        throw ClusterError(.invalidReplicaAssignment, complaint)
      }
    }
    return Int32(numbers.count)
  }

  private func describe(_ topic: TopicImage, in row: inout CreateTopicsResponse.CreatableTopicResult, isCreated: Bool) {
    if isCreated { row.topicID = topic.id }
    row.numPartitions = Int32(topic.partitions.count)
    row.replicationFactor = Int16(clamping: topic.partitions.first?.replicas.count ?? 1)
    let settings = cluster.image.nodeSettings
    row.configs = ConfigurationKey.topicKeys.map { key in
      let inForce = settings.values(of: key, topicSettings: topic.settings)[0]
      var config = CreateTopicsResponse.CreatableTopicConfigs()
      config.name = key.name
      config.value = inForce.value
      config.configSource = inForce.source.rawValue
      return config
    }
  }
}
