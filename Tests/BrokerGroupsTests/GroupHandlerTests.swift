import Coordination
import KafkaProtocol
import Logging
import Model
import NIOCore
import Testing

@testable import Broker

@Suite("The group APIs", .timeLimit(.minutes(1)))
final class GroupHandlerTests: Sendable {
  private let disk = MemoryPersistence(shardCount: 4)
  private let groups: GroupCoordinator

  init() throws {
    var configuration = GroupConfiguration()
    configuration.initialRebalanceDelayMilliseconds = 0
    groups = GroupCoordinator(
      configuration: configuration, persistence: disk,
      endpoint: { $0 == 3 ? nil : .init(nodeID: NodeID(7 + Int32($0)), host: "there", port: 9092) },
      topicPartitionExists: { $0.partition < 4 },
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, now: GroupCoordinator.steadyClock())
    try groups.leadAll()
  }

  deinit { groups.close() }

  private func ask<R: Sendable>(_ start: (@escaping @Sendable (R) -> Void) -> Void) async -> R {
    await withCheckedContinuation { continuation in start { continuation.resume(returning: $0) } }
  }

  private func join(_ memberID: String, version: Int16, instance: String? = nil) async -> JoinGroupResponse {
    var request = JoinGroupRequest()
    request.groupID = "g"
    request.sessionTimeoutMs = 1_800_000  // However slow the machine: nobody is to time out here.
    request.rebalanceTimeoutMs = 60_000
    request.memberID = memberID
    request.groupInstanceID = instance
    request.protocolType = "consumer"
    var range = JoinGroupRequest.ProtocolMetadata()
    range.name = "range"
    range.metadata = ByteBuffer(bytes: [0, 0, 0, 0, 0, 1, 0, 1, 0x74, 0xFF, 0xFF, 0xFF, 0xFF])
    request.protocols = [range]
    return await ask { groups.handle(request, version: version, clientID: "me", clientHost: "10.0.0.1", reply: $0) }
  }

  private func sync(_ joined: JoinGroupResponse, version: Int16, named: Bool = true) async -> SyncGroupResponse {
    var request = SyncGroupRequest()
    request.groupID = "g"
    request.generationID = joined.generationID
    request.memberID = joined.memberID
    request.protocolType = named ? "consumer" : nil
    request.protocolName = named ? "range" : nil
    request.assignments = joined.members.map {
      var assignment = SyncGroupRequest.Assignment()
      assignment.memberID = $0.memberID
      assignment.assignment = ByteBuffer(string: "all")
      return assignment
    }
    return await ask { groups.handle(request, version: version, reply: $0) }
  }

  private func commit(
    _ partitions: [Int32], of group: String = "g", member: String = "", generation: Int32 = -1, version: Int16 = 9
  ) async -> OffsetCommitResponse {
    var request = OffsetCommitRequest()
    request.groupID = group
    request.memberID = member
    request.generationIDOrMemberEpoch = generation
    var topic = OffsetCommitRequest.Topic()
    topic.name = "t"
    topic.partitions = partitions.map {
      var part = OffsetCommitRequest.Partition()
      part.partitionIndex = $0
      part.committedOffset = 100 + Int64($0)
      part.committedLeaderEpoch = 3
      part.committedMetadata = "note"
      return part
    }
    request.topics = [topic]
    return await ask { groups.handle(request, version: version, reply: $0) }
  }

  @Test("a consumer's life: id, generation, assignment, offsets, description, goodbye, deletion")
  func life() async throws {
    let refused = await join("", version: 9)
    #expect(refused.errorCode == .memberIDRequired)
    #expect(refused.memberID.hasPrefix("me-"))
    let joined = await join(refused.memberID, version: 9)
    #expect(joined.errorCode == .none)
    #expect(joined.leader == refused.memberID)
    #expect(joined.protocolName == "range")
    #expect(joined.members.map(\.memberID) == [refused.memberID])

    let unnamed = await sync(joined, version: 5, named: false)
    #expect(unnamed.errorCode == .inconsistentGroupProtocol)
    let synced = await sync(joined, version: 5)
    #expect(synced.errorCode == .none)
    #expect(String(buffer: synced.assignment) == "all")
    #expect(synced.protocolName == "range")

    let committed = await commit([0, 9, 1], member: joined.memberID, generation: 1)
    #expect(committed.topics.first?.partitions.map(\.errorCode) == [.none, .unknownTopicOrPartition, .none])
    let outsider = await commit([0])
    #expect(outsider.topics.first?.partitions.map(\.errorCode) == [.unknownMemberID])

    var describe = DescribeGroupsRequest()
    describe.groups = ["g", "unknown"]
    let described: DescribeGroupsResponse = await ask { groups.handle(describe, version: 6, reply: $0) }
    #expect(described.groups.map(\.groupState) == ["Stable", "Dead"])
    #expect(described.groups.map(\.errorCode) == [.none, .groupIDNotFound])
    #expect(described.groups[0].members.map(\.clientHost) == ["/10.0.0.1"])
    #expect(described.groups[0].members.map { String(buffer: $0.memberAssignment) } == ["all"])
    let older: DescribeGroupsResponse = await ask { groups.handle(describe, version: 5, reply: $0) }
    #expect(older.groups.map(\.errorCode) == [.none, .none])
    #expect(older.groups[0].authorizedOperations == .min, "it did not ask")
    describe.includeAuthorizedOperations = true
    let asking: DescribeGroupsResponse = await ask { groups.handle(describe, version: 6, reply: $0) }
    #expect(asking.groups.map { $0.authorizedOperations != .min } == [true, false])

    var delete = DeleteGroupsRequest()
    delete.groupsNames = ["g", "unknown"]
    let kept: DeleteGroupsResponse = await ask { groups.handle(delete, version: 2, reply: $0) }
    #expect(kept.results.map(\.errorCode) == [.nonEmptyGroup, .groupIDNotFound])

    var leave = LeaveGroupRequest()
    leave.groupID = "g"
    leave.members = [.init(), .init()]
    leave.members[0].memberID = joined.memberID
    leave.members[1].memberID = "x"
    let left: LeaveGroupResponse = await ask { groups.handle(leave, version: 5, reply: $0) }
    #expect(left.errorCode == .none)
    #expect(left.members.map(\.errorCode) == [.none, .unknownMemberID])

    let gone: DeleteGroupsResponse = await ask { groups.handle(delete, version: 2, reply: $0) }
    #expect(gone.results.map(\.errorCode) == [.none, .groupIDNotFound])
    #expect(disk.load().isEmpty)
  }

  @Test("old clients are let in at once and see their members' errors at the top")
  func oldVersions() async {
    let joined = await join("", version: 1)
    #expect(joined.errorCode == .none)
    #expect(joined.generationID == 1)
    #expect(await join("nobody", version: 1).protocolName == "")
    let synced = await sync(joined, version: 0, named: false)
    #expect(synced.errorCode == .none)
    var leave = LeaveGroupRequest()
    leave.groupID = "g"
    leave.memberID = "x"
    let left: LeaveGroupResponse = await ask { groups.handle(leave, version: 2, reply: $0) }
    #expect(left.errorCode == .unknownMemberID)
  }

  @Test("offsets come back with their metadata; what was never committed is -1 without an error", arguments: [1, 5, 7, 8, 9])
  func offsets(version: Int16) async {
    _ = await commit([0, 1])
    var request = OffsetFetchRequest()
    request.groupID = "g"
    var topic = OffsetFetchRequest.Topic()
    topic.name = "t"
    topic.partitionIndexes = [1, 3]
    request.topics = [topic]
    var topics = OffsetFetchRequest.Topics()
    topics.name = "t"
    topics.partitionIndexes = [1, 3]
    request.groups = ["g", "unknown", "all of g"].map { name in
      var group = OffsetFetchRequest.Group()
      group.groupID = name == "all of g" ? "g" : name
      group.topics = name == "all of g" ? nil : [topics]
      return group
    }
    let response: OffsetFetchResponse = await ask { groups.handle(request, version: version, reply: $0) }
    if version < 8 {
      #expect(response.errorCode == .none)
      #expect(response.topics.flatMap(\.partitions).map(\.committedOffset) == [101, -1])
      #expect(response.topics.flatMap(\.partitions).map(\.metadata) == ["note", ""])
      request.topics = nil
      let all: OffsetFetchResponse = await ask { groups.handle(request, version: version, reply: $0) }
      #expect(all.topics.flatMap(\.partitions).map(\.committedOffset) == [100, 101])
      request.groupID = "unknown"
      request.topics = [topic]
      let unknown: OffsetFetchResponse = await ask { groups.handle(request, version: version, reply: $0) }
      #expect(unknown.topics.flatMap(\.partitions).map(\.committedOffset) == [-1, -1])
      #expect(unknown.errorCode == .none)
    } else {
      #expect(response.groups.map(\.errorCode) == [.none, .none, .none])
      #expect(
        response.groups.map { $0.topics.flatMap(\.partitions).map(\.committedOffset) } == [[101, -1], [-1, -1], [100, 101]])
      #expect(response.groups[0].topics[0].partitions[0].committedLeaderEpoch == 3)
    }
  }

  @Test("listing filters by state and type")
  func listing() async {
    _ = await commit([0])
    for (states, types, count) in [([], [], 1), (["empty"], ["Classic"], 1), (["Stable"], [], 0), ([], ["consumer"], 0)] {
      var request = ListGroupsRequest()
      request.statesFilter = states
      request.typesFilter = types
      let response: ListGroupsResponse = await ask { groups.handle(request, version: 5, reply: $0) }
      #expect(response.groups.count == count)
    }
  }

  @Test("a group's coordinator is the leader of its shard; no transaction has one")
  func findCoordinator() async {
    var request = FindCoordinatorRequest()
    request.key = "g"
    request.coordinatorKeys = ["g", "g2", "g3"]
    let single: FindCoordinatorResponse = await ask { groups.handle(request, version: 0, reply: $0) }
    #expect(single.nodeID == 7 && single.host == "there" && single.port == 9092 && single.errorCode == .none)
    let batched: FindCoordinatorResponse = await ask { groups.handle(request, version: 4, reply: $0) }
    #expect(batched.coordinators.map(\.key) == ["g", "g2", "g3"])
    #expect(batched.coordinators.map(\.nodeID) == [7, 9, -1])
    #expect(batched.coordinators.map(\.errorCode) == [.none, .none, .coordinatorNotAvailable])
    request.keyType = 1
    let transactional: FindCoordinatorResponse = await ask { groups.handle(request, version: 2, reply: $0) }
    #expect(transactional.errorCode == .transactionalIDAuthorizationFailed)
    #expect(transactional.nodeID == -1)
  }

  private func offsets(of group: String) async -> (error: ErrorCode, offset: Int64?) {
    var request = OffsetFetchRequest()
    var asked = OffsetFetchRequest.Group()
    asked.groupID = group
    asked.topics = nil
    request.groups = [asked]
    let response: OffsetFetchResponse = await ask { groups.handle(request, version: 8, reply: $0) }
    return (response.groups[0].errorCode, response.groups[0].topics.first?.partitions.first?.committedOffset)
  }

  private func commitError(_ group: String) async -> ErrorCode? {
    await commit([0], of: group).topics.first?.partitions.first?.errorCode
  }

  @Test("a shard that is released answers who waits, and others go on; led again, it has what was committed")
  func leading() async {
    #expect(await commitError("g1") == ErrorCode.none)
    let joined = await join("", version: 1)
    _ = await sync(joined, version: 0, named: false)
    async let second = join("", version: 1)
    while await describedState() != "PreparingRebalance" { await Task.yield() }
    groups.release(shard: 0)
    #expect(await second.errorCode == .notCoordinator)
    #expect(await commitError("g") == .notCoordinator)
    #expect(await offsets(of: "g").error == .notCoordinator)
    #expect(await commitError("g1") == ErrorCode.none)
    let listed: ListGroupsResponse = await ask { groups.handle(ListGroupsRequest(), version: 4, reply: $0) }
    #expect(listed.errorCode == .none && listed.groups.map(\.groupID) == ["g1"])
    groups.release(shard: 1)
    disk.breakShards([1])
    groups.lead(shard: 1)
    #expect(await commitError("g1") == .coordinatorLoadInProgress)
    #expect(await offsets(of: "g1").error == .coordinatorLoadInProgress)
    let loading: ListGroupsResponse = await ask { groups.handle(ListGroupsRequest(), version: 4, reply: $0) }
    #expect(loading.errorCode == .coordinatorLoadInProgress)
    disk.breakShards([])
    while await offsets(of: "g1").error == .coordinatorLoadInProgress { try? await Task.sleep(for: .milliseconds(5)) }
    #expect(await offsets(of: "g1").offset == 100)
  }

  @Test(
    "one shard that cannot write holds up no other; where it is not known what became of a change, the groups are read again")
  func failures() async {
    disk.breakShards([2])
    #expect(await commitError("g2") == .coordinatorNotAvailable)
    #expect(await commitError("g1") == ErrorCode.none)
    #expect(await offsets(of: "g2").offset == nil)
    disk.breakShards([])
    disk.loseOutcomes()
    #expect(await commitError("g2") == .coordinatorNotAvailable)
    while await offsets(of: "g2").error == .coordinatorLoadInProgress { try? await Task.sleep(for: .milliseconds(5)) }
    #expect(await offsets(of: "g2").offset == 100, "it was made after all")
  }

  @Test("groups without a name are refused where Kafka refuses them")
  func emptyGroupID() async {
    var heartbeat = HeartbeatRequest()
    heartbeat.groupID = ""
    let answer: HeartbeatResponse = await ask { groups.handle(heartbeat, version: 4, reply: $0) }
    #expect(answer.errorCode == .invalidGroupID)
    let deleted: OffsetDeleteResponse = await ask { groups.handle(OffsetDeleteRequest(), version: 0, reply: $0) }
    #expect(deleted.errorCode == .invalidGroupID)
  }

  @Test("closing answers who waits and refuses who comes later; twice is harmless")
  func closing() async {
    let joined = await join("", version: 1)
    _ = await sync(joined, version: 0, named: false)
    async let second = join("", version: 1)
    while await describedState() != "PreparingRebalance" { await Task.yield() }
    groups.close()
    #expect(await second.errorCode == .coordinatorNotAvailable)
    #expect(await join("", version: 1).errorCode == .coordinatorNotAvailable)
    groups.close()
  }

  private func describedState() async -> String {
    var describe = DescribeGroupsRequest()
    describe.groups = ["g"]
    let described: DescribeGroupsResponse = await ask { groups.handle(describe, version: 0, reply: $0) }
    return described.groups[0].groupState
  }
}
