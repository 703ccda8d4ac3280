import Cluster
import KafkaProtocol
import Metadata
import Model
import Testing

@testable import Broker

@Suite struct TopicHandlersTests {
  let fixture: AdminFixture

  init() async throws {
    fixture = try await AdminFixture(settings: NodeSettings(fixed: ["num.partitions": "3", "log.retention.ms": "50"]))
  }

  func topic(
    _ name: String, _ partitions: Int32 = 1, replicas: Int16 = 1, assignments: [[Int32]] = [], configs: [String: String] = [:]
  ) -> CreateTopicsRequest.CreatableTopic {
    var topic = CreateTopicsRequest.CreatableTopic()
    topic.name = name
    topic.numPartitions = partitions
    topic.replicationFactor = replicas
    topic.assignments = assignments.enumerated().map { index, nodes in
      var assignment = CreateTopicsRequest.CreatableReplicaAssignment()
      assignment.partitionIndex = Int32(index)
      assignment.brokerIDs = nodes
      return assignment
    }
    topic.configs = configs.map { name, value in
      var config = CreateTopicsRequest.CreatableTopicConfig()
      config.name = name
      config.value = value
      return config
    }
    return topic
  }

  func create(
    _ topics: CreateTopicsRequest.CreatableTopic..., validateOnly: Bool = false
  ) async -> [CreateTopicsResponse.CreatableTopicResult] {
    var request = CreateTopicsRequest()
    request.topics = topics
    request.validateOnly = validateOnly
    return await fixture.admin.handle(request, version: 7).topics
  }

  @Test("a created topic is described whole: id, counts, every configuration with its source")
  func created() async throws {
    let row = try #require(await create(topic("a", -1, replicas: -1, configs: ["segment.ms": "7"])).first)
    #expect(row.errorCode == .none)
    #expect(row.errorMessage == nil)
    #expect(row.topicID == fixture.cluster.image.topic("a")?.id)
    #expect(row.numPartitions == 3)
    #expect(row.replicationFactor == 1)
    let configs = Dictionary(uniqueKeysWithValues: (row.configs ?? []).map { ($0.name, $0) })
    #expect(configs.count == ConfigurationKey.topicKeys.count)
    #expect(configs["segment.ms"]?.configSource == 1)
    #expect(configs["retention.ms"]?.value == "50")
    #expect(configs["retention.ms"]?.configSource == 4)
    #expect(configs["cleanup.policy"]?.configSource == 5)
  }

  @Test("what cannot be created is answered with Kafka's code and a sentence, and the others are created")
  func refused() async throws {
    let rows = await create(
      topic("good"), topic("b/d"), topic("many", 1, replicas: 3), topic("none", 1, replicas: 0), topic("zero", 0),
      topic("config", configs: ["nope": "1"]), topic("assigned", -1, replicas: -1, assignments: [[1], [2]]),
      topic("both", 2, replicas: -1, assignments: [[1], [1]]), topic("twice"), topic("twice"))
    let codes = Dictionary(uniqueKeysWithValues: rows.map { ($0.name, $0.errorCode) })
    #expect(
      codes == [
        "good": .none, "b/d": .invalidTopicException, "many": .invalidReplicationFactor, "none": .invalidReplicationFactor,
        "zero": .invalidPartitions, "config": .invalidConfig, "assigned": .invalidReplicaAssignment, "both": .invalidRequest,
        "twice": .invalidRequest,
      ])
    #expect(rows.allSatisfy { $0.configs != nil })
    #expect(rows.allSatisfy { ($0.errorMessage == nil) == ($0.errorCode == .none) })
    #expect(fixture.cluster.image.topics.keys.sorted() == ["good"])
  }

  @Test("a request for more partitions than one may create is refused whole")
  func tooMany() async {
    let rows = await create(topic("a", 9_998), topic("b", -1))
    #expect(rows.map(\.errorCode) == [.policyViolation, .policyViolation])
    #expect(fixture.cluster.image.topics.isEmpty)
  }

  @Test("partitions assigned to this node by hand are created, and validating creates nothing")
  func assignedAndValidated() async throws {
    let assigned = await create(topic("a", -1, replicas: -1, assignments: [[1], [1]]))
    #expect(assigned.first?.numPartitions == 2)
    let validated = await create(topic("v", 2), validateOnly: true)
    #expect(validated.first?.errorCode == ErrorCode.none)
    #expect(validated.first?.topicID == .zero)
    #expect(fixture.cluster.image.topics.keys.sorted() == ["a"])
  }

  @Test("topics are deleted by name and by id; both, neither and the same twice are malformed")
  func deletion() async throws {
    for name in ["a", "b", "c", "d"] { try await fixture.createTopic(name) }
    let id = try #require(fixture.cluster.image.topic("b")?.id)
    func state(_ name: String?, _ id: TopicID) -> DeleteTopicsRequest.DeleteTopicState {
      var state = DeleteTopicsRequest.DeleteTopicState()
      state.name = name
      state.topicID = id
      return state
    }
    var request = DeleteTopicsRequest()
    request.topics = [
      state("a", .zero), state(nil, id), state("c", id), state(nil, .zero), state("d", .zero), state("d", .zero),
      state("x", .zero), state(nil, TopicID(high: 1, low: 1)),
    ]
    request.topics[2].topicID = TopicID(high: 2, low: 2)
    let rows = await fixture.admin.handle(request, version: 6).responses
    #expect(
      rows.map(\.errorCode) == [
        .none, .none, .invalidRequest, .invalidRequest, .invalidRequest, .unknownTopicOrPartition, .unknownTopicID,
      ])
    #expect(rows[1].name == "b")
    #expect(fixture.cluster.image.topics.keys.sorted() == ["c", "d"])
    #expect(fixture.deletedTopics.names == ["a", "b"])

    var old = DeleteTopicsRequest()
    old.topicNames = ["c"]
    let oldRows = await fixture.admin.handle(old, version: 1).responses
    #expect(oldRows.map(\.errorCode) == [.none])
  }

  @Test("partitions are added; an assignment has to fit their number")
  func partitions() async throws {
    try await fixture.createTopic("a", partitions: 2)
    func add(_ count: Int32, _ assignments: [[Int32]]?, validateOnly: Bool = false) async -> ErrorCode? {
      var topic = CreatePartitionsRequest.Topic()
      topic.name = "a"
      topic.count = count
      topic.assignments = assignments.map { lists in
        lists.map { nodes in
          var assignment = CreatePartitionsRequest.Assignment()
          assignment.brokerIDs = nodes
          return assignment
        }
      }
      var request = CreatePartitionsRequest()
      request.topics = [topic]
      request.validateOnly = validateOnly
      return await fixture.admin.handle(request, version: 3).results.first?.errorCode
    }
    let outcomes = [
      await add(2, nil), await add(1, [[1]]), await add(4, [[1]]), await add(3, [[2]]), await add(9, nil, validateOnly: true),
      await add(3, [[1]]), await add(4, nil),
    ]
    #expect(
      outcomes == [
        .invalidPartitions, .invalidPartitions, .invalidReplicaAssignment, .invalidReplicaAssignment, ErrorCode.none,
        ErrorCode.none, ErrorCode.none,
      ])
    #expect(fixture.cluster.image.topic("a")?.partitions.count == 4)
  }

  @Test("topics are described page by page until everything was told once")
  func paging() async throws {
    try await fixture.createTopic("a", partitions: 3)
    try await fixture.createTopic("b", partitions: 2)
    var request = DescribeTopicPartitionsRequest()
    request.responsePartitionLimit = 2
    var told: [String] = []
    var pages = 0
    while pages < 10 {
      let response = await fixture.admin.handle(request, version: 0)
      pages += 1
      for topic in response.topics { told += topic.partitions.map { "\(topic.name ?? "")-\($0.partitionIndex)" } }
      #expect(
        response.topics.allSatisfy { $0.partitions.allSatisfy { $0.eligibleLeaderReplicas == [] && $0.lastKnownElr == [] } })
      guard let next = response.nextCursor else { break }
      var cursor = DescribeTopicPartitionsRequest.Cursor()
      cursor.topicName = next.topicName
      cursor.partitionIndex = next.partitionIndex
      request.cursor = cursor
    }
    #expect(told == ["a-0", "a-1", "a-2", "b-0", "b-1"])
    #expect(pages == 3)
    var named = DescribeTopicPartitionsRequest()
    named.topics = ["b", "x", "b"].map { name in
      var topic = DescribeTopicPartitionsRequest.TopicRequest()
      topic.name = name
      return topic
    }
    let response = await fixture.admin.handle(named, version: 0)
    #expect(response.topics.map(\.errorCode) == [.none, .unknownTopicOrPartition])
  }

  @Test("the cluster is this node, and what is not an endpoint of brokers is refused")
  func cluster() async throws {
    var request = DescribeClusterRequest()
    request.includeClusterAuthorizedOperations = true
    let response = await fixture.admin.handle(request, version: 2)
    #expect(response.brokers.map(\.host) == ["h"])
    #expect(response.controllerID == 1)
    #expect(response.clusterAuthorizedOperations == 0b1_1111_1010_0000)
    request.endpointType = 2
    #expect(await fixture.admin.handle(request, version: 2).errorCode == .mismatchedEndpointType)
    request.endpointType = 9
    #expect(await fixture.admin.handle(request, version: 2).errorCode == .unsupportedEndpointType)
  }
}
