import Cluster
import Metadata
import Model
import Synchronization
import TestSupport
import Testing

/// What both stores promise alike.
@Suite struct ClusterStoreTests {
  enum Kind: CaseIterable {
    case local, etcd
    static var here: [Kind] { EtcdServer.binary == nil ? [.local] : allCases }
  }

  /// Runs `body` with a store of node 1, the only node.
  func with(_ kind: Kind, _ body: (any ClusterStore) async throws -> Void) async throws {
    switch kind {
    case .local:
      let node = try TemporaryStore()
      try await node.life { cluster, _ in
        try await cluster.register(NodeImage(id: NodeID(1), host: "127.0.0.1", port: 9, rack: nil))
        try await body(cluster)
      }
    case .etcd:
      let server = try EtcdServer()
      let cluster = try await openEtcdCluster([server.endpoint], node: 1)
      try await body(cluster)
      cluster.close()
    }
  }

  func refusal(_ body: () async throws -> Void) async -> ErrorCode? {
    do {
      try await body()
      return nil
    } catch { return (error as? ClusterError)?.errorCode }
  }

  @Test("a topic is in the image when its creation is answered, with its id, partitions and settings", arguments: Kind.here)
  func creation(_ kind: Kind) async throws {
    try await with(kind) { cluster in
      let created = try await cluster.createTopic(named: "a", partitionCount: 3, configuration: ["retention.ms": "5"])
      let topic = try #require(cluster.image.topic("a"))
      #expect(topic == created)
      #expect(topic.partitions.map(\.leader) == [NodeID(1), NodeID(1), NodeID(1)])
      #expect(topic.partitions.allSatisfy { $0.replicas == [NodeID(1)] && $0.isr == [NodeID(1)] && $0.leaderEpoch == .zero })
      #expect(topic.configuration.retentionMilliseconds == 5)
      #expect(cluster.image.topic(created.id)?.name == "a")
      #expect(cluster.image.nodes[NodeID(1)]?.host == "127.0.0.1")
    }
  }

  @Test("what is refused is refused with Kafka's code and changes nothing", arguments: Kind.here)
  func refusals(_ kind: Kind) async throws {
    try await with(kind) { cluster in
      try await cluster.createTopic(named: "a.b", partitionCount: 2, configuration: [:])
      let before = cluster.image.version
      func creating(_ name: String, _ count: Int32, factor: Int16? = nil, _ settings: [(name: String, value: String?)] = [])
        async
        -> ErrorCode?
      {
        await refusal {
          _ = try await cluster.createTopic(
            named: name, partitionCount: count, replicationFactor: factor, configuration: settings, validateOnly: false)
        }
      }
      #expect(await creating("a.b", 1) == .topicAlreadyExists)
      #expect(await creating("a_b", 1) == .invalidTopicException)
      #expect(await creating("bad name", 1) == .invalidTopicException)
      #expect(await creating("c", 0) == .invalidPartitions)
      #expect(await creating("c", 1, factor: 0) == .invalidReplicationFactor)
      #expect(await creating("c", 1, factor: 2) == .invalidReplicationFactor)
      #expect(await creating("c", 1, [("retention.ms", "soon")]) == .invalidConfig)
      #expect(await creating("c", 1, [("no.such.key", "1")]) == .invalidConfig)
      #expect(await refusal { try await cluster.deleteTopic(named: "c") } == .unknownTopicOrPartition)
      #expect(await refusal { _ = try await cluster.deleteTopic(id: TopicID(high: 7, low: 8)) } == .unknownTopicID)
      #expect(
        await refusal { try await cluster.createPartitions(topic: "a.b", count: 2, validateOnly: false) } == .invalidPartitions)
      #expect(
        await refusal { try await cluster.createPartitions(topic: "c", count: 2, validateOnly: false) }
          == .unknownTopicOrPartition)
      #expect(
        await refusal {
          try await cluster.replaceConfigurations(of: .topic("c"), with: [], validateOnly: false)
        } == .unknownTopicOrPartition)
      #expect(cluster.image.version == before)
    }
  }

  @Test("what is only to be validated changes nothing", arguments: Kind.here)
  func validation(_ kind: Kind) async throws {
    try await with(kind) { cluster in
      try await cluster.createTopic(named: "a", partitionCount: 1, configuration: [:])
      let before = cluster.image.version
      try await cluster.createTopic(
        named: "b", partitionCount: 2, replicationFactor: 1, configuration: [], validateOnly: true)
      try await cluster.createPartitions(topic: "a", count: 4, validateOnly: true)
      try await cluster.alterConfigurations(
        of: .topic("a"), [SettingChange(name: "retention.ms", operation: .set, value: "9")], validateOnly: true)
      #expect(cluster.image.version == before)
      #expect(cluster.image.topics.keys.sorted() == ["a"])
    }
  }

  @Test("a deleted topic is gone, and one created again under its name is another topic", arguments: Kind.here)
  func deletion(_ kind: Kind) async throws {
    try await with(kind) { cluster in
      let first = try await cluster.createTopic(named: "a", partitionCount: 2, configuration: ["retention.ms": "5"])
      try await cluster.deleteTopic(named: "a")
      #expect(cluster.image.topics.isEmpty)
      #expect(cluster.image.topic(first.id) == nil)
      let second = try await cluster.createTopic(named: "a", partitionCount: 1, configuration: [:])
      #expect(second.id != first.id)
      #expect(cluster.image.topic("a")?.partitions.count == 1)
      #expect(cluster.image.topic("a")?.settings == [:])
      #expect(try await cluster.deleteTopic(id: second.id) == "a")
    }
  }

  @Test("partitions are added behind those that are there", arguments: Kind.here)
  func morePartitions(_ kind: Kind) async throws {
    try await with(kind) { cluster in
      let topic = try await cluster.createTopic(named: "a", partitionCount: 1, configuration: ["retention.ms": "5"])
      try await cluster.createPartitions(topic: "a", count: 4, validateOnly: false)
      #expect(cluster.image.topic("a")?.id == topic.id)
      #expect(cluster.image.topic("a")?.partitions.map(\.leader) == Array(repeating: NodeID(1), count: 4))
      #expect(cluster.image.topic("a")?.configuration.retentionMilliseconds == 5)
    }
  }

  @Test("settings of topics, of the node and of every node are in force once they are answered", arguments: Kind.here)
  func settings(_ kind: Kind) async throws {
    try await with(kind) { cluster in
      try await cluster.createTopic(
        named: "a", partitionCount: 1, configuration: ["retention.ms": "5", "segment.ms": "100000"])
      try await cluster.alterConfigurations(
        of: .topic("a"),
        [
          SettingChange(name: "retention.ms", operation: .set, value: "7"),
          SettingChange(name: "segment.ms", operation: .delete, value: nil),
        ], validateOnly: false)
      #expect(cluster.image.topic("a")?.settings == ["retention.ms": "7"])
      try await cluster.replaceConfigurations(of: .topic("a"), with: [("max.message.bytes", "2000")], validateOnly: false)
      #expect(cluster.image.topic("a")?.settings == ["max.message.bytes": "2000"])
      try await cluster.alterConfigurations(
        of: .everyNode, [SettingChange(name: "log.retention.ms", operation: .set, value: "11")], validateOnly: false)
      #expect(cluster.image.topic("a")?.configuration.retentionMilliseconds == 11)
      try await cluster.alterConfigurations(
        of: .node(NodeID(1)), [SettingChange(name: "log.retention.ms", operation: .set, value: "12")], validateOnly: false)
      #expect(cluster.image.topic("a")?.configuration.retentionMilliseconds == 12)
    }
  }

  @Test("a partition is changed if it is as expected, and else left", arguments: Kind.here)
  func partitionChanges(_ kind: Kind) async throws {
    try await with(kind) { cluster in
      let topic = try await cluster.createTopic(named: "a", partitionCount: 3, configuration: [:])
      var next = topic.partitions[0]
      next.leaderEpoch = LeaderEpoch(4)
      func change(_ number: Int32, _ expected: PartitionImage, _ next: PartitionImage) -> PartitionChange {
        PartitionChange(topicID: topic.id, partition: number, expected: expected, next: next)
      }
      var strange = change(0, topic.partitions[0], next)
      strange.topicID = TopicID(high: 7, low: 7)
      let isMade = try await cluster.changePartitions([
        change(0, topic.partitions[0], next), change(1, next, topic.partitions[0]), change(2, topic.partitions[2], next),
        change(3, topic.partitions[0], next), strange,
      ])
      #expect(isMade == [true, false, true, false, false])
      #expect(cluster.image.topic("a")?.partitions.map(\.leaderEpoch) == [LeaderEpoch(4), .zero, LeaderEpoch(4)])
      // Once more, as a request would come that was sent twice.
      #expect(try await cluster.changePartitions([change(0, topic.partitions[0], next)]) == [false])
      #expect(try await cluster.changePartitions([]) == [])
    }
  }

  @Test("who observes hears at once, and of every change after it is in the image", arguments: Kind.here)
  func observers(_ kind: Kind) async throws {
    try await with(kind) { cluster in
      let heard = Mutex<[Int]>([])
      cluster.observe { [weak cluster] in
        guard let cluster else { return }
        let count = cluster.image.topics.count
        heard.withLock { $0.append(count) }
      }
      #expect(heard.withLock { $0 } == [0])
      try await cluster.createTopic(named: "a", partitionCount: 1, configuration: [:])
      try await eventually { heard.withLock { $0.last } == 1 }
      try await cluster.deleteTopic(named: "a")
      try await eventually { heard.withLock { $0.last } == 0 }
    }
  }

  @Test("no producer id is given out twice", arguments: Kind.here)
  func producerIDs(_ kind: Kind) async throws {
    try await with(kind) { cluster in
      let ids = ProducerIDs(cluster)
      let others = ProducerIDs(cluster)
      let given = try await withThrowingTaskGroup(of: [Int64].self) { group in
        for task in 0..<8 {
          group.addTask {
            var mine: [Int64] = []
            for _ in 0..<300 { mine.append(try await (task % 2 == 0 ? ids : others).next()) }
            return mine
          }
        }
        return try await group.reduce(into: []) { $0 += $1 }
      }
      #expect(Set(given).count == 2400)
      #expect(given.allSatisfy { $0 >= 0 })
    }
  }

  @Test("the coordinators' topic is nobody's to create, change or delete", arguments: Kind.here)
  func coordinatorTopic(_ kind: Kind) async throws {
    try await with(kind) { cluster in
      let name = CoordinatorTopic.name
      #expect(
        await refusal { try await cluster.createTopic(named: name, partitionCount: 1, configuration: [:]) }
          == .invalidTopicException)
      #expect(await refusal { try await cluster.deleteTopic(named: name) } == .unknownTopicOrPartition)
    }
  }

  @Test("of many who create one topic at the same time, one does; changes of one setting are all made", arguments: Kind.here)
  func races(_ kind: Kind) async throws {
    try await with(kind) { cluster in
      let answers = await withTaskGroup(of: ErrorCode?.self) { group in
        for _ in 0..<12 {
          group.addTask { await refusal { try await cluster.createTopic(named: "a", partitionCount: 2, configuration: [:]) } }
        }
        return await group.reduce(into: []) { $0.append($1) }
      }
      #expect(answers.count { $0 == nil } == 1)
      #expect(answers.count { $0 == .topicAlreadyExists } == 11)
      let keys = ["retention.ms", "segment.ms", "max.message.bytes", "retention.bytes"]
      await withTaskGroup(of: ErrorCode?.self) { group in
        for key in keys {
          group.addTask {
            await refusal {
              try await cluster.alterConfigurations(
                of: .topic("a"), [SettingChange(name: key, operation: .set, value: "100000")], validateOnly: false)
            }
          }
        }
        for await answer in group { #expect(answer == nil) }
      }
      #expect(cluster.image.topic("a")?.settings.keys.sorted() == keys.sorted())
    }
  }
}
