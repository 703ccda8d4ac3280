import Cluster
import Glibc
import Metadata
import Model
import SQLite
import Storage
import TestSupport
import Testing

@Suite struct LocalClusterStoreTests {
  let node: TemporaryStore

  init() throws { node = try TemporaryStore() }

  func refusal(_ body: () async throws -> Void) async -> ErrorCode? {
    do {
      try await body()
      return nil
    } catch { return (error as? ClusterError)?.errorCode }
  }

  @Test("a topic that was created is there after a restart, with its id, partitions and settings")
  func restart() async throws {
    var id = TopicID.zero
    try await node.life { cluster, store in
      id = try await cluster.createTopic(named: "a", partitionCount: 3, configuration: ["retention.ms": "5"]).id
      #expect(store.partition(TopicPartition(topic: "a", partition: 2)) != nil)
    }
    #expect(node.partitionDirectories == ["a-0", "a-1", "a-2"])
    try await node.life { cluster, store in
      let topic = try #require(cluster.image.topic("a"))
      #expect(topic.id == id)
      #expect(topic.partitions.count == 3)
      #expect(topic.configuration.retentionMilliseconds == 5)
      #expect(topic.partitions[0].leader == NodeID(1))
      #expect(store.partition(TopicPartition(topic: "a", partition: 2))?.topicID == id)
    }
  }

  @Test("leader epochs stay after an orderly end, and all grow by one after a kill")
  func leaderEpochs() async throws {
    try await node.life { cluster, _ in
      try await cluster.createTopic(named: "a", partitionCount: 2, configuration: [:])
    }
    try await node.life(isKilled: true) { cluster, _ in
      #expect(cluster.image.topic("a")?.partitions.map(\.leaderEpoch) == [.zero, .zero])
    }
    try await node.life(isKilled: true) { cluster, store in
      #expect(cluster.image.topic("a")?.partitions.map(\.leaderEpoch) == [LeaderEpoch(1), LeaderEpoch(1)])
      let log = try #require(store.partition(TopicPartition(topic: "a", partition: 1)))
      #expect(try log.loadNow().leaderEpoch == LeaderEpoch(1))
    }
    try await node.life { cluster, _ in
      #expect(cluster.image.topic("a")?.partitions.map(\.leaderEpoch) == [LeaderEpoch(2), LeaderEpoch(2)])
    }
  }

  @Test("a start that is given up before the new leader epochs are durable leaves them due")
  func abandonedStart() async throws {
    try await node.life(isKilled: true) { cluster, _ in
      try await cluster.createTopic(named: "a", partitionCount: 1, configuration: [:])
    }
    let store = try node.openStore()
    #expect(!store.closedCleanly)
    store.abandon()
    try await node.life { cluster, _ in
      #expect(cluster.image.topic("a")?.partitions.map(\.leaderEpoch) == [LeaderEpoch(1)])
    }
  }

  @Test("a deleted topic is gone with its files, and one created again is another topic")
  func deletion() async throws {
    try await node.life { cluster, store in
      let first = try await cluster.createTopic(named: "a", partitionCount: 2, configuration: ["retention.ms": "5"])
      try await cluster.deleteTopic(named: "a")
      #expect(cluster.image.topic("a") == nil)
      #expect(store.partition(TopicPartition(topic: "a", partition: 0)) == nil)
      #expect(node.partitionDirectories.isEmpty)
      let second = try await cluster.createTopic(named: "a", partitionCount: 1, configuration: [:])
      #expect(second.id != first.id)
      #expect(second.settings.isEmpty)
      let refused1 = await refusal { try await cluster.deleteTopic(id: first.id) }
      #expect(refused1 == .unknownTopicID)
      let name = try await cluster.deleteTopic(id: second.id)
      #expect(name == "a")
      let refused2 = await refusal { try await cluster.deleteTopic(named: "a") }
      #expect(refused2 == .unknownTopicOrPartition)
    }
  }

  @Test("a creation that a crash cut short leaves nothing: neither topic nor files")
  func interruptedCreation() async throws {
    try await node.life { cluster, store in
      try await cluster.createTopic(named: "b", partitionCount: 1, configuration: [:])
      // As far as the files of two partitions out of three, then killed.
      try store.node.perform { connection throws(SQLiteError) in
        let note = try connection.prepare("INSERT INTO unfinished_partition(topic_id, topic, partition) VALUES (?, 'a', ?)")
        for number in 0..<3 {
          note.bind(TopicID(high: 9, low: 9).bytes, at: 1)
          note.bind(Int64(number), at: 2)
          try note.run()
        }
      }
      for number in Int32(0)..<2 {
        try store.createPartition(
          TopicPartition(topic: "a", partition: number), topicID: TopicID(high: 9, low: 9), leaderEpoch: .zero,
          configuration: TopicConfiguration())
      }
    }
    #expect(node.partitionDirectories == ["a-0", "a-1", "b-0"])
    try await node.life(isKilled: true) { cluster, _ in
      #expect(cluster.image.topics.keys.sorted() == ["b"])
      #expect(node.partitionDirectories == ["b-0"])
      try await cluster.createTopic(named: "a", partitionCount: 1, configuration: [:])
    }
    try await node.life { cluster, _ in #expect(cluster.image.topics.count == 2) }
    try node.edit { connection in
      let left = try connection.integer("SELECT count(*) FROM unfinished_partition")
      #expect(left == 0)
    }
  }

  @Test("a deletion that a crash cut short is finished at the next start")
  func interruptedDeletion() async throws {
    try await node.life { cluster, _ in
      try await cluster.createTopic(named: "a", partitionCount: 2, configuration: [:])
    }
    try node.edit { connection in
      try connection.execute(
        "INSERT INTO unfinished_partition(topic_id, topic, partition) SELECT topic_id, 'a', partition FROM partition")
      try connection.execute("DELETE FROM topic; DELETE FROM partition")
    }
    try await node.life { cluster, _ in
      #expect(cluster.image.topics.isEmpty)
      #expect(node.partitionDirectories.isEmpty)
    }
  }

  @Test("directories that nobody noted are left alone: a lost node database does not take the topics with it")
  func strangeDirectories() async throws {
    try await node.life { cluster, _ in
      try await cluster.createTopic(named: "a", partitionCount: 1, configuration: [:])
    }
    try node.edit { try $0.execute("DELETE FROM topic; DELETE FROM partition") }
    // Restored from a copy, the node database may even have noted the removal of an earlier topic of that name.
    try node.edit {
      try $0.execute("INSERT INTO unfinished_partition(topic_id, topic, partition) VALUES (zeroblob(16), 'a', 0)")
    }
    try await node.life { cluster, _ in
      #expect(cluster.image.topics.isEmpty)
      let refused = await refusal { try await cluster.createTopic(named: "a", partitionCount: 1, configuration: [:]) }
      #expect(refused == .kafkaStorageError)
    }
    #expect(node.partitionDirectories == ["a-0"])
  }

  @Test("whatever a legal name looks like, its topic lives until it is deleted, and can be deleted")
  func strangeNames() async throws {
    let names = ["a.deleted-b", "deleted-c", "a.tmp", String(repeating: "x", count: TopicName.lengthMax)]
    try await node.life { cluster, _ in
      for name in names { try await cluster.createTopic(named: name, partitionCount: 1, configuration: [:]) }
    }
    try await node.life(isKilled: true) { _, _ in }
    #expect(node.partitionDirectories == names.map { $0 + "-0" }.sorted())
    try await node.life { cluster, _ in
      for name in names { try await cluster.deleteTopic(named: name) }
    }
    #expect(node.partitionDirectories.isEmpty)
  }

  @Test("files that cannot be removed do not keep a node from starting; their name is not free")
  func unremovable() async throws {
    try await node.life { cluster, _ in
      try await cluster.createTopic(named: "a", partitionCount: 1, configuration: [:])
      try await cluster.createTopic(named: "b", partitionCount: 1, configuration: [:])
    }
    try node.edit { connection in
      try connection.execute(
        "INSERT INTO unfinished_partition(topic_id, topic, partition) SELECT topic_id, name, 0 FROM topic WHERE name = 'a'")
      try connection.execute("DELETE FROM partition WHERE topic_id = (SELECT topic_id FROM topic WHERE name = 'a')")
      try connection.execute("DELETE FROM topic WHERE name = 'a'")
    }
    // A file where a directory is expected stands for a disk that refuses.
    removeTree(node.directory + "/topics/a-0")
    close(open(node.directory + "/topics/a-0", O_CREAT | O_WRONLY, 0o600))
    try await node.life { cluster, _ in
      #expect(cluster.image.topics.keys.sorted() == ["b"])
      #expect(cluster.leftovers.count == 1)
    }
  }

  @Test("more partitions are added behind the existing ones, fewer or as many are refused")
  func morePartitions() async throws {
    try await node.life { cluster, store in
      try await cluster.createTopic(named: "a", partitionCount: 2, configuration: [:])
      let refused3 = await refusal { try await cluster.createPartitions(topic: "a", count: 2, validateOnly: false) }
      #expect(refused3 == .invalidPartitions)
      try await cluster.createPartitions(topic: "a", count: 4, validateOnly: true)
      #expect(cluster.image.topic("a")?.partitions.count == 2)
      try await cluster.createPartitions(topic: "a", count: 4, validateOnly: false)
      #expect(store.partition(TopicPartition(topic: "a", partition: 3)) != nil)
    }
    try await node.life { cluster, _ in #expect(cluster.image.topic("a")?.partitions.count == 4) }
    #expect(node.partitionDirectories.count == 4)
  }

  @Test("what is refused changes nothing, on disk neither")
  func refusals() async throws {
    try await node.life { cluster, _ in
      func create(_ name: String, _ count: Int32 = 1, _ settings: [String: String] = [:]) async -> ErrorCode? {
        await refusal { try await cluster.createTopic(named: name, partitionCount: count, configuration: settings) }
      }
      #expect(await create("a.b") == nil)
      #expect(await create("a.b") == .topicAlreadyExists)
      #expect(await create("a_b") == .invalidTopicException)
      #expect(await create("a/b") == .invalidTopicException)
      #expect(await create("..") == .invalidTopicException)
      #expect(await create("c", 0) == .invalidPartitions)
      #expect(await create("c", Int32(Limits.partitionsPerTopicMax) + 1) == .invalidPartitions)
      #expect(await create("c", 1, ["retention.mss": "1"]) == .invalidConfig)
      let wouldBe = try await cluster.createTopic(
        named: "c", partitionCount: 1, replicationFactor: nil, configuration: [(name: "retention.ms", value: "1")],
        validateOnly: true)
      #expect(wouldBe.configuration.retentionMilliseconds == 1)
      #expect(cluster.image.topics.keys.sorted() == ["a.b"])
    }
    #expect(node.partitionDirectories == ["a.b-0"])
  }

  @Test("settings reach the partitions at once and outlive a restart, those of nodes too")
  func settings() async throws {
    let partition = TopicPartition(topic: "a", partition: 0)
    try await node.life { cluster, store in
      try await cluster.createTopic(named: "a", partitionCount: 1, configuration: ["segment.ms": "7"])
      try await cluster.alterConfigurations(
        of: .topic("a"), [SettingChange(name: "retention.ms", operation: .set, value: "9")], validateOnly: false)
      #expect(store.partition(partition)?.configuration.retentionMilliseconds == 9)
      try await cluster.alterConfigurations(
        of: .everyNode, [SettingChange(name: "message.max.bytes", operation: .set, value: "77")], validateOnly: false)
      #expect(store.partition(partition)?.configuration.maxMessageBytes == 77)
      try await cluster.alterConfigurations(
        of: .node(NodeID(1)), [SettingChange(name: "message.max.bytes", operation: .set, value: "78")], validateOnly: false)
      try await cluster.alterConfigurations(
        of: .topic("a"), [SettingChange(name: "retention.ms", operation: .set, value: "10")], validateOnly: true)
    }
    try await node.life { cluster, store in
      let topic = try #require(cluster.image.topic("a"))
      #expect(topic.settings == ["segment.ms": "7", "retention.ms": "9"])
      #expect(topic.configuration.maxMessageBytes == 78)
      #expect(store.partition(partition)?.configuration == topic.configuration)
      try await cluster.replaceConfigurations(of: .topic("a"), with: [(name: "retention.ms", value: "11")], validateOnly: false)
      #expect(cluster.image.topic("a")?.settings == ["retention.ms": "11"])
    }
  }

  @Test("changes handed in at the same time are made one after the other, and all of them")
  func concurrency() async throws {
    try await node.life { cluster, _ in
      await withTaskGroup(of: ErrorCode?.self) { group in
        for index in 0..<8 {
          group.addTask {
            await refusal { try await cluster.createTopic(named: "t\(index % 4)", partitionCount: 1, configuration: [:]) }
          }
        }
        var outcomes: [ErrorCode?] = []
        for await outcome in group { outcomes.append(outcome) }
        #expect(outcomes.filter { $0 == nil }.count == 4)
        #expect(outcomes.filter { $0 == .topicAlreadyExists }.count == 4)
      }
      #expect(cluster.image.topics.count == 4)
      cluster.close()
      let refused4 = await refusal { try await cluster.deleteTopic(named: "t0") }
      #expect(refused4 == .brokerNotAvailable)
    }
  }
}
