internal import KafkaProtocol
public import Model

/// One broker of a cluster.
public struct NodeDescription: Sendable {
  public var id: Int32
  public var address: BrokerAddress
  public var rack: String?
}

/// A partition that is being moved.
public struct ReassignmentDescription: Sendable {
  public var partition: TopicPartition
  public var replicas: [Int32]
  public var adding: [Int32]
  public var removing: [Int32]
}

extension KafkaClient {
  /// The brokers that are there, in the order of their ids.
  public func nodes() async throws -> [NodeDescription] {
    try await retrying {
      let response = try await self.anyBroker().send(DescribeClusterRequest())
      if response.errorCode != .none {
        throw KafkaClientError.refused("the cluster", response.errorCode, response.errorMessage)
      }
      return response.brokers.sorted { $0.brokerID < $1.brokerID }.map {
        NodeDescription(id: $0.brokerID, address: BrokerAddress(host: $0.host, port: Int($0.port)), rack: $0.rack)
      }
    }
  }

  /// The partitions that are being moved, in order.
  public func reassignments() async throws -> [ReassignmentDescription] {
    try await retrying {
      let response = try await self.controller().send(ListPartitionReassignmentsRequest())
      if response.errorCode != .none { throw KafkaClientError.refused("the moves", response.errorCode, response.errorMessage) }
      return response.topics.flatMap { topic in
        topic.partitions.map {
          ReassignmentDescription(
            partition: TopicPartition(topic: topic.name, partition: $0.partitionIndex), replicas: $0.replicas,
            adding: $0.addingReplicas, removing: $0.removingReplicas)
        }
      }.sorted { $0.partition < $1.partition }
    }
  }

  /// Begins to move partitions, or takes that back (nil).
  ///
  /// - Returns: what the cluster does not move, and why.
  public func reassign(_ targets: [TopicPartition: [Int32]?]) async throws -> [TopicPartition: String] {
    var request = AlterPartitionReassignmentsRequest()
    request.timeoutMs = timeouts.requestMilliseconds
    request.topics = Dictionary(grouping: targets, by: \.key.topic).sorted { $0.key < $1.key }.map { name, targets in
      var topic = AlterPartitionReassignmentsRequest.ReassignableTopic()
      topic.name = name
      topic.partitions = targets.sorted { $0.key < $1.key }.map { partition, replicas in
        var part = AlterPartitionReassignmentsRequest.ReassignablePartition()
        part.partitionIndex = partition.partition
        part.replicas = replicas
        return part
      }
      return topic
    }
    // The same once more is the same: what has begun goes on, what was taken back says so.
    let ready = request
    return try await retrying {
      let response = try await self.controller().send(ready)
      if response.errorCode != .none { throw KafkaClientError.refused("the moves", response.errorCode, response.errorMessage) }
      var refused: [TopicPartition: String] = [:]
      for topic in response.responses {
        for part in topic.partitions where part.errorCode != .none && part.errorCode != .noReassignmentInProgress {
          let name = TopicPartition(topic: topic.name, partition: part.partitionIndex)
          refused[name] = part.errorMessage ?? "\(part.errorCode)"
        }
      }
      return refused
    }
  }

  /// Has partitions led by their preferred replicas where those are in sync.
  ///
  /// - Returns: how many are led by another node than before.
  public func electPreferredLeaders(of partitions: [TopicPartition]) async throws -> Int {
    var request = ElectLeadersRequest()
    request.timeoutMs = timeouts.requestMilliseconds
    request.topicPartitions = Dictionary(grouping: partitions, by: \.topic).sorted { $0.key < $1.key }.map { name, partitions in
      var topic = ElectLeadersRequest.TopicPartitions()
      topic.topic = name
      topic.partitions = partitions.map(\.partition).sorted()
      return topic
    }
    let ready = request
    return try await retrying {
      let response = try await self.controller().send(ready)
      if response.errorCode != .none { throw KafkaClientError.refused("the elections", response.errorCode) }
      return response.replicaElectionResults.reduce(0) { $0 + $1.partitionResult.count { $0.errorCode == .none } }
    }
  }
}
