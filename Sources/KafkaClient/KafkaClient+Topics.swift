internal import KafkaProtocol
internal import Model

/// One setting of a topic as the broker tells it.
public struct TopicSetting: Sendable {
  public var key: String
  public var value: String?
  /// Whether it was set for this topic, rather than being the node's or the built-in default.
  public var isOwn: Bool
}

extension KafkaClient {
  /// All topics, in the order of their names.
  public func topics() async throws -> [TopicDescription] {
    try await retrying {
      try await self.refreshMetadata(topics: nil, allowAutoTopicCreation: false)
        .filter { $0.errorCode == .none }.sorted { $0.name < $1.name }
    }
  }

  /// Creates a topic; it is durable on return.
  ///
  /// - Parameters:
  ///   - partitionCount: nil for the broker's default; `replicationFactor` likewise.
  ///   - configuration: settings of the topic itself.
  public func createTopic(
    _ name: String, partitionCount: Int32?, replicationFactor: Int16?, configuration: [(key: String, value: String)]
  ) async throws {
    var topic = CreateTopicsRequest.CreatableTopic()
    topic.name = name
    topic.numPartitions = partitionCount ?? -1
    topic.replicationFactor = replicationFactor ?? -1
    topic.configs = configuration.map { setting in
      var config = CreateTopicsRequest.CreatableTopicConfig()
      config.name = setting.key
      config.value = setting.value
      return config
    }
    var request = CreateTopicsRequest()
    request.topics = [topic]
    request.timeoutMs = timeouts.requestMilliseconds
    let response = try await controller().send(request)
    guard let result = response.topics.first else {
      throw KafkaClientError(.malformedResponse, "the broker said nothing about topic '\(name)'")
    }
    if result.errorCode != .none { throw KafkaClientError.refused("topic '\(name)'", result.errorCode, result.errorMessage) }
  }

  public func deleteTopic(_ name: String) async throws {
    var request = DeleteTopicsRequest()
    request.topicNames = [name]
    request.timeoutMs = timeouts.requestMilliseconds
    let response = try await controller().send(request)
    forget(topic: name)
    guard let result = response.responses.first else {
      throw KafkaClientError(.malformedResponse, "the broker said nothing about topic '\(name)'")
    }
    if result.errorCode == .unknownTopicOrPartition { throw Self.noSuchTopic(name) }
    if result.errorCode != .none { throw KafkaClientError.refused("topic '\(name)'", result.errorCode, result.errorMessage) }
  }

  /// Gives a topic more partitions, `count` in all.
  public func createPartitions(of name: String, count: Int32) async throws {
    var topic = CreatePartitionsRequest.Topic()
    topic.name = name
    topic.count = count
    topic.assignments = nil
    var request = CreatePartitionsRequest()
    request.topics = [topic]
    request.timeoutMs = timeouts.requestMilliseconds
    let response = try await controller().send(request)
    forget(topic: name)
    guard let result = response.results.first else {
      throw KafkaClientError(.malformedResponse, "the broker said nothing about topic '\(name)'")
    }
    if result.errorCode != .none { throw KafkaClientError.refused("topic '\(name)'", result.errorCode, result.errorMessage) }
  }

  private static let topicResource: Int8 = 2
  private static let brokerResource: Int8 = 4

  /// The settings in force for a topic, in the order of their keys.
  ///
  /// - Parameter keys: nil for all of them.
  public func describeConfiguration(ofTopic name: String, keys: [String]?) async throws -> [TopicSetting] {
    var resource = DescribeConfigsRequest.Resource()
    resource.resourceType = Self.topicResource
    resource.resourceName = name
    resource.configurationKeys = keys
    var request = DescribeConfigsRequest()
    request.resources = [resource]
    let ready = request
    return try await retrying {
      let response = try await self.anyBroker().send(ready)
      guard let result = response.results.first else {
        throw KafkaClientError(.malformedResponse, "the broker said nothing about topic '\(name)'")
      }
      if result.errorCode == .unknownTopicOrPartition { throw Self.noSuchTopic(name) }
      if result.errorCode != .none { throw KafkaClientError.refused("topic '\(name)'", result.errorCode, result.errorMessage) }
      let ownSource: Int8 = 1
      return result.configs.map { TopicSetting(key: $0.name, value: $0.value, isOwn: $0.configSource == ownSource) }
        .sorted { $0.key < $1.key }
    }
  }

  /// Sets some of a topic's settings and leaves the others; nil takes a setting back to its default.
  public func alterConfiguration(ofTopic name: String, _ settings: [(key: String, value: String?)]) async throws {
    let result = try await alter(Self.topicResource, name, settings)
    if result.errorCode == .unknownTopicOrPartition { throw Self.noSuchTopic(name) }
    if result.errorCode != .none { throw KafkaClientError.refused("topic '\(name)'", result.errorCode, result.errorMessage) }
  }

  /// Sets some settings of every node; nil takes one back to what the node began with.
  public func alterConfigurationOfNodes(_ settings: [(key: String, value: String?)]) async throws {
    let result = try await alter(Self.brokerResource, "", settings)
    if result.errorCode != .none { throw KafkaClientError.refused("the nodes", result.errorCode, result.errorMessage) }
  }

  private func alter(
    _ type: Int8, _ name: String, _ settings: [(key: String, value: String?)]
  ) async throws -> IncrementalAlterConfigsResponse.AlterConfigsResourceResponse {
    var resource = IncrementalAlterConfigsRequest.AlterConfigsResource()
    resource.resourceType = type
    resource.resourceName = name
    resource.configs = settings.map { setting in
      var config = IncrementalAlterConfigsRequest.AlterableConfig()
      config.name = setting.key
      config.configOperation = setting.value == nil ? 1 : 0  // DELETE, SET
      config.value = setting.value
      return config
    }
    var request = IncrementalAlterConfigsRequest()
    request.resources = [resource]
    let response = try await controller().send(request)
    guard let result = response.responses.first else {
      throw KafkaClientError(.malformedResponse, "the broker said nothing about what was to be set")
    }
    return result
  }
}
