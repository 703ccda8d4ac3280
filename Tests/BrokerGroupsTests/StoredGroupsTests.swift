import Coordination
import Logging
import Model
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

    var store = try open(directory)
    var shards = CoordinatorStore(store, shardCount: 3)
    let changes = [
      GroupChanges(
        groupID: "g", changes: [.groupPut(snapshot), .offsetCommitted(t0, offset), .offsetCommitted(t1, expiring)]),
      GroupChanges(groupID: "empty", changes: [.groupPut(simple)]),
      GroupChanges(groupID: "only offsets", changes: [.offsetCommitted(t0, offset)]),
      GroupChanges(
        groupID: "deleted", changes: [.groupPut(snapshot), .offsetCommitted(t0, offset), .groupDeleted]),
    ]
    for change in changes { try shards.apply([change], to: shards.shard(of: change.groupID)) }
    try store.close()
    store = try open(directory)
    shards = CoordinatorStore(store, shardCount: 3)
    let stored = Dictionary(uniqueKeysWithValues: try (0..<3).flatMap { try shards.load(shard: $0) }.map { ($0.groupID, $0) })
    #expect(stored.keys.sorted() == ["empty", "g", "only offsets"])
    #expect(stored["g"]?.snapshot == snapshot)
    #expect(stored["g"]?.offsets == [t0: offset, t1: expiring])
    #expect(stored["empty"]?.snapshot == simple)
    #expect(stored["only offsets"]?.snapshot == nil)

    let shard = shards.shard(of: "g")
    try shards.apply([GroupChanges(groupID: "g", changes: [.groupPut(simple), .offsetDeleted(t0)])], to: shard)
    let after = try shards.load(shard: shard).first { $0.groupID == "g" }
    #expect(after?.snapshot == simple)
    #expect(after?.offsets == [t1: expiring])
    let read = try OfflineStore(dataDirectory: directory).groups().first { $0.groupID == "g" }
    #expect(read?.snapshot == simple && read?.offsets == [t1: expiring])
    try store.close()
  }

  private func open(_ directory: String) throws -> LogStore {
    let store = try LogStore.open(
      StoreOptions(dataDirectory: directory, nodeID: NodeID(1)),
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
      now: { 1_700_000_000_000 })
    try store.leadCoordinator(shardCount: 3)
    return store
  }
}
