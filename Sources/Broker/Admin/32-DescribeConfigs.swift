internal import Cluster
internal import KafkaProtocol
internal import Metadata
internal import Model

/// DescribeConfigs, versions 0 to 4: every configuration with its source, the values behind it, type and documentation (KIP-226, KIP-569).
///
/// All of them, also those at their default: tools read everything, change one value, and write everything back.
extension AdminContext {
  func handle(_ request: DescribeConfigsRequest, version: Int16) async -> DescribeConfigsResponse {
    let image = cluster.image
    var response = DescribeConfigsResponse()
    for resource in request.resources {
      var result = DescribeConfigsResponse.Result()
      result.resourceType = resource.resourceType
      result.resourceName = resource.resourceName
      do throws(ClusterError) {
        let wanted = resource.configurationKeys.flatMap { $0.isEmpty ? nil : Set($0) }
        result.configs = try describe(resource, image)
          .filter { wanted?.contains($0.key.name) ?? true }
          .map { Self.row($0.key, $0.values, isReadOnly: $0.isReadOnly, request) }
      } catch {
        result.errorCode = error.errorCode
        result.errorMessage = error.message
      }
      response.results.append(result)
    }
    return response
  }

  private typealias Description = (key: ConfigurationKey, values: [ConfiguredValue], isReadOnly: Bool)

  private func describe(
    _ resource: DescribeConfigsRequest.Resource, _ image: ClusterImage
  ) throws(ClusterError) -> [Description] {
    switch try configurationResource(resource.resourceType, resource.resourceName) {
    case .topic(let name):
      if let complaint = TopicName.complaint(about: name) { throw ClusterError(.invalidTopicException, complaint) }
      guard let topic = image.topics[name], !topic.isInternal else {
        throw ClusterError(.unknownTopicOrPartition, "there is no topic '\(name)'")
      }
      return ConfigurationKey.topicKeys.map {
        ($0, image.nodeSettings.values(of: $0, topicSettings: topic.settings), false)
      }
    case .node(let id):
      guard id == nodeID else {
        throw ClusterError(.invalidRequest, "the configurations of node \(id) are described by itself; this is node \(nodeID)")
      }
      return ConfigurationKey.nodeKeys.map { ($0, image.nodeSettings.values(of: $0), !$0.isDynamic) }
    case .everyNode:
      // What was set for every node at run time, and nothing else: the nodes' own values may differ.
      return ConfigurationKey.nodeKeys.compactMap { key in
        image.nodeSettings.dynamicDefault[key.name].map {
          (key, [ConfiguredValue(name: key.name, value: $0, source: .dynamicDefault)], false)
        }
      }
    }
  }

  private static func row(
    _ key: ConfigurationKey, _ values: [ConfiguredValue], isReadOnly: Bool, _ request: DescribeConfigsRequest
  ) -> DescribeConfigsResponse.ResourceResult {
    var row = DescribeConfigsResponse.ResourceResult()
    row.name = key.name
    row.value = values[0].value
    row.readOnly = isReadOnly
    row.isDefault = values[0].source == .builtIn
    row.configSource = values[0].source.rawValue
    row.configType = key.type.wireNumber
    if request.includeDocumentation { row.documentation = key.documentation }
    if request.includeSynonyms {
      row.synonyms = values.map { value in
        var synonym = DescribeConfigsResponse.Synonym()
        synonym.name = value.name
        synonym.value = value.value
        synonym.source = value.source.rawValue
        return synonym
      }
    }
    return row
  }

  /// What a resource of a request is: a topic, a node by its number, or every node (a broker without a name).
  func configurationResource(_ type: Int8, _ name: String) throws(ClusterError) -> ConfigurationResource {
    switch type {
    case ResourceType.topic: return .topic(name)
    case ResourceType.broker:
      if name.isEmpty { return .everyNode }
      guard let id = Int32(name) else { throw ClusterError(.invalidRequest, "'\(name)' is not the number of a node") }
      return .node(NodeID(id))
    default: throw ClusterError(.invalidRequest, "resources of type \(type) have no configurations here")
    }
  }
}
