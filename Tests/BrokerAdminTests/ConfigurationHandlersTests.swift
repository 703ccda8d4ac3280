import Cluster
import KafkaProtocol
import Metadata
import Model
import Testing

@testable import Broker

@Suite struct ConfigurationHandlersTests {
  let fixture: AdminFixture

  init() async throws { fixture = try await AdminFixture(settings: NodeSettings(fixed: ["log.retention.ms": "50"])) }

  func describe(
    _ type: Int8, _ name: String, keys: [String]? = nil, everything: Bool = false
  ) async throws -> DescribeConfigsResponse.Result {
    var resource = DescribeConfigsRequest.Resource()
    resource.resourceType = type
    resource.resourceName = name
    resource.configurationKeys = keys
    var request = DescribeConfigsRequest()
    request.resources = [resource]
    request.includeSynonyms = everything
    request.includeDocumentation = everything
    return try #require(await fixture.admin.handle(request, version: 4).results.first)
  }

  func incrementally(
    _ type: Int8, _ name: String, _ changes: [(String, Int8, String?)], validateOnly: Bool = false
  ) async -> ErrorCode? {
    var resource = IncrementalAlterConfigsRequest.AlterConfigsResource()
    resource.resourceType = type
    resource.resourceName = name
    resource.configs = changes.map { key, operation, value in
      var config = IncrementalAlterConfigsRequest.AlterableConfig()
      config.name = key
      config.configOperation = operation
      config.value = value
      return config
    }
    var request = IncrementalAlterConfigsRequest()
    request.resources = [resource]
    request.validateOnly = validateOnly
    return await fixture.admin.handle(request, version: 1).responses.first?.errorCode
  }

  @Test("a topic's description has every key, with source, type, the values behind it and its meaning")
  func topic() async throws {
    try await fixture.createTopic("a", ["retention.ms": "7"])
    let result = try await describe(ResourceType.topic, "a", everything: true)
    #expect(result.configs.map(\.name).sorted() == ConfigurationKey.topicKeys.map(\.name).sorted())
    let retention = try #require(result.configs.first { $0.name == "retention.ms" })
    #expect(retention.value == "7")
    #expect(retention.configSource == 1)
    #expect(retention.configType == 5)
    #expect(retention.synonyms.map(\.value) == ["7", "50", "604800000"])
    #expect(retention.synonyms.map(\.source) == [1, 4, 5])
    #expect(result.configs.allSatisfy { $0.documentation?.isEmpty == false && !$0.readOnly })
  }

  @Test("asking for some keys gives those, for no keys all, and names no key that does not exist")
  func filter() async throws {
    try await fixture.createTopic("a")
    #expect(try await describe(ResourceType.topic, "a", keys: ["segment.ms", "nope"]).configs.map(\.name) == ["segment.ms"])
    #expect(try await describe(ResourceType.topic, "a", keys: []).configs.count == ConfigurationKey.topicKeys.count)
  }

  @Test("a node is described under its number only; other resources have no configurations")
  func resources() async throws {
    let node = try await describe(ResourceType.broker, "1")
    #expect(node.configs.count == ConfigurationKey.nodeKeys.count)
    #expect(node.configs.first { $0.name == "log.retention.ms" }?.configSource == 4)
    #expect(node.configs.first { $0.name == "listeners" }?.readOnly == true)
    #expect(try await describe(ResourceType.broker, "2").errorCode == .invalidRequest)
    #expect(try await describe(ResourceType.broker, "x").errorCode == .invalidRequest)
    #expect(try await describe(ResourceType.topic, "x").errorCode == .unknownTopicOrPartition)
    #expect(try await describe(ResourceType.topic, "x/").errorCode == .invalidTopicException)
    #expect(try await describe(16, "c").errorCode == .invalidRequest)
  }

  @Test("incremental changes: set, delete, append, subtract; one that fails changes nothing of its resource")
  func incremental() async throws {
    try await fixture.createTopic("a", ["retention.ms": "7"])
    let outcomes = [
      await incrementally(2, "a", [("retention.ms", 1, nil), ("segment.ms", 0, "9"), ("cleanup.policy", 2, "delete")]),
      await incrementally(2, "a", [("segment.ms", 0, "11"), ("nope", 0, "1")]),
      await incrementally(2, "a", [("segment.ms", 0, "x")]),
      await incrementally(2, "a", [("segment.ms", 2, "1")]),
      await incrementally(2, "a", [("cleanup.policy", 3, "delete")]),
      await incrementally(2, "a", [("segment.ms", 7, "1")]),
      await incrementally(2, "a", [("segment.ms", 0, "12")], validateOnly: true),
      await incrementally(2, "x", [("segment.ms", 0, "12")]),
      await incrementally(4, "1", [("log.roll.ms", 0, "13")]),
      await incrementally(4, "1", [("listeners", 0, "a:1")]),
    ]
    #expect(
      outcomes == [
        ErrorCode.none, .invalidConfig, .invalidConfig, .invalidConfig, .invalidConfig, .invalidRequest, ErrorCode.none,
        .unknownTopicOrPartition, ErrorCode.none, .invalidConfig,
      ])
    #expect(fixture.cluster.image.topic("a")?.settings == ["segment.ms": "9", "cleanup.policy": "delete"])
    #expect(fixture.cluster.image.nodeSettings.dynamicNode == ["log.roll.ms": "13"])
  }

  @Test("what was read can be written back whole, and what is left out returns to its default")
  func readModifyWrite() async throws {
    try await fixture.createTopic("a", ["retention.ms": "7", "segment.ms": "9"])
    let before = try await describe(ResourceType.topic, "a").configs
    func replace(_ values: [(String, String?)]) async -> ErrorCode? {
      var resource = AlterConfigsRequest.Resource()
      resource.resourceType = ResourceType.topic
      resource.resourceName = "a"
      resource.configs = values.map { name, value in
        var config = AlterConfigsRequest.AlterableConfig()
        config.name = name
        config.value = value
        return config
      }
      var request = AlterConfigsRequest()
      request.resources = [resource]
      return await fixture.admin.handle(request, version: 2).responses.first?.errorCode
    }
    #expect(await replace(before.map { ($0.name, $0.value) }) == ErrorCode.none)
    let after = try await describe(ResourceType.topic, "a").configs
    #expect(after.map(\.value) == before.map(\.value))
    #expect(await replace([("segment.ms", "10")]) == ErrorCode.none)
    #expect(fixture.cluster.image.topic("a")?.settings == ["segment.ms": "10"])
    #expect(fixture.cluster.image.topic("a")?.configuration.retentionMilliseconds == 50)
  }
}
