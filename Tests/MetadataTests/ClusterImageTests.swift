import Metadata
import Model
import Testing

@Suite struct ClusterImageTests {
  let partition = PartitionImage(
    leader: NodeID(0), leaderEpoch: .zero, replicas: [NodeID(0)], isr: [NodeID(0)])

  func topic(_ name: String, id: UInt64, partitions: Int = 2, settings: [String: String] = [:]) -> TopicImage {
    TopicImage(
      name: name, id: TopicID(high: 7, low: id), partitions: Array(repeating: partition, count: partitions), settings: settings)
  }

  func image(_ changes: ClusterChange...) throws -> ClusterImage {
    var image = ClusterImage(clusterID: "c", nodeSettings: NodeSettings())
    for change in changes { try image.apply(change) }
    return image
  }

  @Test("a created topic is found by name and by id, and by neither once deleted")
  func createAndDelete() throws {
    var image = try image(.topicCreated(topic("a", id: 1)), .topicCreated(topic("b", id: 2)))
    #expect(image.topic("a")?.id == TopicID(high: 7, low: 1))
    #expect(image.topic(TopicID(high: 7, low: 2))?.name == "b")
    #expect(image.partitionCount == 4)
    try image.apply(.topicDeleted(TopicID(high: 7, low: 1)))
    #expect(image.topic("a") == nil)
    #expect(image.topic(TopicID(high: 7, low: 1)) == nil)
    #expect(image.topic("b") != nil)
  }

  @Test("a topic deleted and created again is another topic")
  func recreated() throws {
    let image = try image(
      .topicCreated(topic("a", id: 1)), .topicDeleted(TopicID(high: 7, low: 1)), .topicCreated(topic("a", id: 9)))
    #expect(image.topicName(TopicID(high: 7, low: 1)) == nil)
    #expect(image.topicName(TopicID(high: 7, low: 9)) == "a")
  }

  @Test("a change that does not fit throws and leaves the image as it was")
  func misfits() throws {
    var image = try image(.topicCreated(topic("a", id: 1)))
    #expect(throws: ClusterChangeError.topicExists("a")) { try image.apply(.topicCreated(topic("a", id: 2))) }
    #expect(throws: ClusterChangeError.topicIDExists(TopicID(high: 7, low: 1))) {
      try image.apply(.topicCreated(topic("b", id: 1)))
    }
    #expect(throws: ClusterChangeError.unknownTopic(.zero)) { try image.apply(.partitionsAdded(.zero, [partition])) }
    #expect(throws: ClusterChangeError.unknownPartition(TopicID(high: 7, low: 1), 2)) {
      try image.apply(.partitionChanged(TopicID(high: 7, low: 1), partition: 2, partition))
    }
    #expect(image.version == 1)
    #expect(image.topics.keys.sorted() == ["a"])
  }

  @Test("an image that somebody holds is not disturbed by later changes")
  func snapshots() throws {
    let before = try image(.topicCreated(topic("a", id: 1)))
    let after = try before.applying(.partitionsAdded(TopicID(high: 7, low: 1), [partition]))
    #expect(before.topic("a")?.partitions.count == 2)
    #expect(after.topic("a")?.partitions.count == 3)
    #expect(after.topic("a")?.partition(3) == nil)
    #expect(after.topic("a")?.partition(-1) == nil)
  }

  @Test("a topic's configuration is its own settings over the node's, whichever changed last")
  func configurations() throws {
    let id = TopicID(high: 7, low: 1)
    var image = ClusterImage(
      clusterID: "c", nodeSettings: NodeSettings(fixed: ["log.retention.ms": "1000", "log.roll.ms": "5"]))
    try image.apply(.topicCreated(topic("a", id: 1, settings: ["segment.ms": "7"])))
    #expect(image.topic("a")?.configuration.retentionMilliseconds == 1000)
    #expect(image.topic("a")?.configuration.segmentMilliseconds == 7)
    try image.apply(.dynamicDefaultsReplaced(["log.retention.ms": "2000"]))
    try image.apply(.dynamicNodeSettingsReplaced(["message.max.bytes": "99"]))
    #expect(image.topic("a")?.configuration.retentionMilliseconds == 2000)
    #expect(image.topic("a")?.configuration.maxMessageBytes == 99)
    try image.apply(.topicSettingsReplaced(id, ["retention.ms": "-1"]))
    #expect(image.topic("a")?.configuration.retentionMilliseconds == -1)
    #expect(image.topic("a")?.configuration.segmentMilliseconds == 5)
  }

  @Test(
    "names that differ only in dots and underscores collide",
    arguments: [
      ("a.b", "a_b", true), ("a_b.c", "a.b_c", true), ("ab", "a_b", false), ("a.b", "a.b", false), ("a-b", "a_b", false),
    ])
  func collisions(existing: String, wanted: String, collides: Bool) throws {
    let image = try image(.topicCreated(topic(existing, id: 1)))
    #expect((image.topicColliding(with: wanted) == existing) == collides)
  }
}
