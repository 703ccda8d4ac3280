import Coordination
import Model
import SQLite
import Storage
import TestSupport
import Testing

@testable import Broker

/// The coordinator on the store it has in a node.
@Suite("Groups on disk")
struct StoredGroupsTests {
  @Test("everything about a group comes back, in its order")
  func roundTrip() throws { try withTemporaryDirectory { try roundTrip(in: $0) } }

  private func roundTrip(in directory: String) throws {
    let member = { (id: String, instance: String?) in
      GroupSnapshot.Member(
        identity: MemberIdentity(memberID: id, instanceID: instance), clientID: "c", clientHost: "/h",
        sessionTimeoutMilliseconds: 10_000, rebalanceTimeoutMilliseconds: 300_000,
        protocols: [GroupProtocol(name: "z", metadata: [0, 255]), GroupProtocol(name: "a", metadata: [])],
        assignment: [1, 0, 2])
    }
    let snapshot = GroupSnapshot(
      protocolType: "consumer", protocolName: "z", generationID: 7, leaderID: "m2", stateTimestamp: 99,
      members: [member("m2", nil), member("m1", "i")])
    let simple = GroupSnapshot(
      protocolType: nil, protocolName: nil, generationID: 0, leaderID: nil, stateTimestamp: 1, members: [])
    let offset = CommittedOffset(offset: 5, leaderEpoch: -1, metadata: "é", commitTimestamp: 8, expireTimestamp: nil)
    let expiring = CommittedOffset(offset: 6, leaderEpoch: 2, metadata: "", commitTimestamp: 8, expireTimestamp: 9)
    let (t0, t1) = (TopicPartition(topic: "t", partition: 0), TopicPartition(topic: "t", partition: 1))

    var store = try CoordinatorStore(dataDirectory: directory, shardCount: 3)
    try store.apply([
      GroupChanges(
        groupID: "g", changes: [.groupPut(snapshot), .offsetCommitted(t0, offset), .offsetCommitted(t1, expiring)]),
      GroupChanges(groupID: "empty", changes: [.groupPut(simple)]),
      GroupChanges(groupID: "only offsets", changes: [.offsetCommitted(t0, offset)]),
      GroupChanges(
        groupID: "deleted", changes: [.groupPut(snapshot), .offsetCommitted(t0, offset), .groupDeleted]),
    ])
    try store.close()
    store = try CoordinatorStore(dataDirectory: directory, shardCount: 3)
    let stored = Dictionary(uniqueKeysWithValues: try store.load().map { ($0.groupID, $0) })
    #expect(stored.keys.sorted() == ["empty", "g", "only offsets"])
    #expect(stored["g"]?.snapshot == snapshot)
    #expect(stored["g"]?.offsets == [t0: offset, t1: expiring])
    #expect(stored["empty"]?.snapshot == simple)
    #expect(stored["only offsets"]?.snapshot == nil)

    try store.apply([GroupChanges(groupID: "g", changes: [.groupPut(simple), .offsetDeleted(t0)])])
    let after = try store.load().first { $0.groupID == "g" }
    #expect(after?.snapshot == simple)
    #expect(after?.offsets == [t1: expiring])
    try store.close()
  }

  @Test("a shard that cannot be written keeps its own changes from being made, and says whose they are")
  func brokenShard() throws {
    try withTemporaryDirectory { directory in
      let store = try CoordinatorStore(dataDirectory: directory, shardCount: 3)
      let offset = CommittedOffset(offset: 5, leaderEpoch: -1, metadata: "", commitTimestamp: 8, expireTimestamp: nil)
      let changes = (0..<9).map {
        GroupChanges(groupID: "g\($0)", changes: [.offsetCommitted(TopicPartition(topic: "t", partition: 0), offset)])
      }
      let other = try Connection(path: directory + "/coordinator/1.db", mode: .readWrite)
      try other.execute("BEGIN IMMEDIATE")
      let failure = #expect(throws: UnappliedChanges.self) { try store.apply(changes) }
      let kept = Set(try store.load().map(\.groupID))
      #expect(failure?.groupIDs.isEmpty == false && !kept.isEmpty)
      #expect(failure?.groupIDs.union(kept) == Set(changes.map(\.groupID)) && failure?.groupIDs.isDisjoint(with: kept) == true)
      other.close()
      try store.close()
    }
  }
}
