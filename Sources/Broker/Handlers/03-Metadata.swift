internal import Cluster
internal import KafkaProtocol
internal import Metadata
internal import Model

/// Metadata, versions 0 to 12: nodes, topics, partitions, leaders. Creates the topics that are asked for by name and missing where
/// the node and the request allow it; versions 0 to 3 cannot forbid it. Topic ids from version 10 (KIP-516).
extension Call {
  func handle(_ request: MetadataRequest) {
    let broker = connection.broker
    let version = version
    let wantsAll = request.topics == nil || (version == 0 && request.topics!.isEmpty)
    let mayCreate =
      broker.configuration.autoCreateTopics && !broker.cluster.isStandby && (version < 4 || request.allowAutoTopicCreation)
    let image = broker.cluster.image
    let missing =
      wantsAll
      ? []
      : request.topics!.filter { version >= 12 || $0.topicID == .zero }.compactMap(\.name)
        .filter { image.topics[$0] == nil && TopicName.complaint(about: $0) == nil }
    guard mayCreate, !missing.isEmpty else { return reply(Self.describe(request, wantsAll: wantsAll, broker, image, version)) }
    // Whoever names more than this at once finds them unknown, asks again, and gets the next ones.
    let topicsMax = Limits.partitionsPerRequestMax / Int(broker.configuration.defaultPartitionCount)
    let created = Set(missing).sorted().prefix(max(1, topicsMax))
    Task {
      var failures: [String: ErrorCode] = [:]
      for name in created {
        do throws(ClusterError) {
          try await broker.cluster.createTopic(
            named: name, partitionCount: broker.configuration.defaultPartitionCount, configuration: [:])
        } catch {
          // While the cluster cannot be changed clients are to ask again.
          let isAway = error.errorCode == .brokerNotAvailable || error.errorCode == .requestTimedOut
          if error.errorCode != .topicAlreadyExists { failures[name] = isAway ? .leaderNotAvailable : error.errorCode }
        }
      }
      reply(Self.describe(request, wantsAll: wantsAll, broker, broker.cluster.image, version, failures))
    }
  }

  private static func describe(
    _ request: MetadataRequest, wantsAll: Bool, _ broker: BrokerContext, _ image: ClusterImage, _ version: Int16,
    _ failures: [String: ErrorCode] = [:]
  ) -> MetadataResponse {
    let configuration = broker.configuration
    var response = MetadataResponse()
    response.brokers = image.nodes.values.sorted { $0.id < $1.id }.map { node in
      var broker = MetadataResponse.Broker()
      broker.nodeID = node.id.rawValue
      broker.host = node.host
      broker.port = node.port
      broker.rack = node.rack
      return broker
    }
    response.clusterID = configuration.clusterID
    response.controllerID = (broker.cluster.controller ?? configuration.nodeID).rawValue
    if request.includeClusterAuthorizedOperations { response.clusterAuthorizedOperations = AuthorizedOperations.cluster }
    func row(_ topic: TopicImage) -> MetadataResponse.Topic {
      var row = Self.row(topic, image)
      if request.includeTopicAuthorizedOperations { row.topicAuthorizedOperations = AuthorizedOperations.topic }
      return row
    }
    guard !wantsAll else {
      response.topics = image.clientTopics.sorted { $0.name < $1.name }.map(row)
      return response
    }
    // A topic named a million times is described once.
    var described: Set<Asked> = []
    response.topics = (request.topics ?? []).compactMap { asked in
      guard described.insert(Asked(name: asked.name, id: asked.topicID)).inserted else { return nil }
      var missing = MetadataResponse.Topic()
      if version < 12, asked.name == nil || asked.topicID != .zero {
        missing.name = asked.name ?? ""
        missing.topicID = asked.topicID
        missing.errorCode = .invalidRequest
      } else if let name = asked.name {
        // The coordinators' topic too, for whoever knows its name: a node that is to be empty gives its partitions away as well.
        if let topic = image.topics[name] { return row(topic) }
        missing.name = name
        missing.errorCode =
          failures[name] ?? (TopicName.complaint(about: name) == nil ? .unknownTopicOrPartition : .invalidTopicException)
      } else {
        if let topic = image.topic(asked.topicID), !topic.isInternal { return row(topic) }
        missing.name = version >= 12 ? nil : ""
        missing.topicID = asked.topicID
        missing.errorCode = .unknownTopicID
      }
      return missing
    }
    return response
  }

  private struct Asked: Hashable {
    var name: String?
    var id: TopicID
  }

  private static func row(_ topic: TopicImage, _ image: ClusterImage) -> MetadataResponse.Topic {
    var row = MetadataResponse.Topic()
    row.name = topic.name
    row.topicID = topic.id
    row.isInternal = topic.isInternal
    row.partitions = topic.partitions.enumerated().map { index, partition in
      var part = MetadataResponse.Partition()
      part.partitionIndex = Int32(index)
      // Also when it is gone and no other one is elected yet.
      if let leader = image.leader(of: partition) {
        part.leaderID = leader.id.rawValue
      } else {
        part.leaderID = -1
        part.errorCode = .leaderNotAvailable
      }
      part.leaderEpoch = partition.leaderEpoch.rawValue
      part.replicaNodes = partition.replicas.map(\.rawValue)
      part.isrNodes = partition.isr.map(\.rawValue)
      part.offlineReplicas = image.offlineReplicas(of: partition).map(\.rawValue)
      return part
    }
    return row
  }
}
