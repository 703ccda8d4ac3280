import Model
import Testing

@testable import Coordination

private let day: Int64 = 24 * 3_600_000

@Suite("Committed offsets")
struct OffsetTests {
  @Test("a member commits in its own generation, also while a rebalance is prepared, not once it has begun")
  func generations() {
    var c = Conversation(stable: ["a", "b"])
    #expect(c.commit("a", 7) == ["store t-0 at 7", "commit → NONE"])
    #expect(c.commit("a", generation: 0) == ["commit → ILLEGAL_GENERATION"])
    #expect(c.commit("x") == ["commit → UNKNOWN_MEMBER_ID"])
    _ = c.join("c")
    #expect(c.commit("a", 8) == ["store t-0 at 8", "commit → NONE"])
    _ = c.join("a")
    _ = c.join("b")
    #expect(c.commit("a") == ["commit → REBALANCE_IN_PROGRESS"])
    #expect(c.group.offsets[TopicPartition(topic: "t", partition: 0)]?.offset == 8)
  }

  @Test("a simple consumer commits only while the group has no members")
  func simpleConsumer() {
    var c = Conversation()
    #expect(c.commit(nil) == ["store t-0 at 42", "commit → NONE"])
    #expect(c.group.state == .empty)
    #expect(c.commit("a", generation: 1) == ["commit → UNKNOWN_MEMBER_ID"])
    c = Conversation(stable: ["a"])
    #expect(c.commit(nil) == ["commit → UNKNOWN_MEMBER_ID"])
    #expect(c.commit("a", generation: -1) == ["commit → ILLEGAL_GENERATION"])
    _ = c.leave("a")
    #expect(c.commit(nil) == ["store t-0 at 42", "commit → NONE"])
  }

  @Test("metadata of more than the maximum is refused for its partition")
  func metadata() {
    var c = Conversation()
    #expect(c.commit(nil, metadata: String(repeating: "x", count: 4_097)) == ["commit → OFFSET_METADATA_TOO_LARGE"])
    #expect(c.group.state == .dead)
    #expect(c.commit(nil, metadata: String(repeating: "x", count: 4_096)).count == 2)
  }

  @Test("the offsets of a group that was used expire a retention time after it became empty")
  func retentionOfUsedGroup() {
    var c = Conversation(stable: ["a"])
    _ = c.commit("a")
    c.now += 30 * day
    _ = c.heartbeat("a")
    #expect(c.expireOffsets() == [])
    _ = c.leave("a")
    c.now += 7 * day - 1
    #expect(c.expireOffsets() == [])
    c.now += 1
    #expect(c.expireOffsets() == ["store no t-0", "store no group"])
    #expect(c.group.state == .dead)
  }

  @Test("a group in use loses only the offsets of topics it no longer subscribes to")
  func retentionOfTopicsLeft() {
    var c = Conversation(stable: ["a"])
    _ = c.commit("a", topic: "t")
    _ = c.commit("a", topic: "old")
    c.now += 7 * day
    #expect(c.expireOffsets() == ["store no old-0"])
  }

  @Test("a simple consumer's offsets expire a retention time after their commit, or when it said")
  func retentionOfSimpleGroup() {
    var c = Conversation()
    _ = c.commit(nil, topic: "short", retention: 1_000)
    _ = c.commit(nil, topic: "t")
    c.now += 1_000
    #expect(c.expireOffsets() == ["store no short-0"])
    c.now += 7 * day - 1_000
    #expect(c.expireOffsets() == ["store no t-0"])
    #expect(c.group.state == .dead)
  }

  @Test("deleting a group or offsets asks for members that do not need them")
  func deletion() {
    var c = Conversation(stable: ["a"])
    _ = c.commit("a")
    _ = c.commit("a", topic: "old")
    #expect(c.deleteGroup() == ["delete group → NON_EMPTY_GROUP"])
    #expect(
      c.deleteOffsets(of: "t", "old", "none") == [
        "store no old-0", "delete offsets → GROUP_SUBSCRIBED_TO_TOPIC NONE NONE",
      ])
    _ = c.leave("a")
    #expect(c.deleteOffsets(of: "t") == ["store no t-0", "delete offsets → NONE"])
    #expect(c.deleteGroup() == ["store no group", "delete group → NONE"])
    #expect(c.group.state == .dead)

    c = Conversation(stable: [])
    // A subscription that cannot be read may be to any topic.
    _ = c.join("x", topics: nil)
    #expect(c.deleteOffsets(of: "t") == ["delete offsets → GROUP_SUBSCRIBED_TO_TOPIC"])

    c = Conversation(stable: [])
    _ = c.join("w", type: "connect")
    #expect(c.deleteOffsets(of: "t") == ["delete offsets → NON_EMPTY_GROUP"])
  }

  @Test("a deleted topic takes its committed offsets along")
  func topicDeletion() {
    var c = Conversation()
    _ = c.commit(nil, topic: "t")
    _ = c.commit(nil, topic: "u")
    #expect(c.deleteTopics("t", "x") == ["store no t-0"])
    #expect(c.group.offsets.keys.map(\.topic) == ["u"])
  }

  @Test(
    "bytes that are no subscription are not one",
    arguments: [
      [], [0], [0, 1, 0, 0, 0, 1], [0, 1, 0x7F, 0xFF, 0xFF, 0xFF, 0, 0], [0, 1, 0, 0, 0, 1, 0, 2, 65],
      [0, 1, 0, 0, 0, 1, 0, 1, 0xFF], [0xFF, 0xFF, 0, 0, 0, 0],
    ] as [[UInt8]])
  func hostileSubscriptions(bytes: [UInt8]) {
    #expect(ConsumerProtocol.topics(inSubscription: bytes) == nil)
    #expect(ConsumerProtocol.topics(inSubscription: Conversation.subscription(["a", "bc"])) == ["a", "bc"])
  }
}
