import Coordination
import Model
import Testing

@testable import Broker

@Suite("The table of groups")
struct GroupTableTests {
  private let disk = MemoryPersistence()
  private let answers = Answers()

  private func table(_ configure: (inout GroupConfiguration) -> Void = { _ in }) throws -> GroupTable {
    var configuration = GroupConfiguration()
    configuration.initialRebalanceDelayMilliseconds = 0
    configure(&configuration)
    return try GroupTable(configuration: configuration, shard: 0, persistence: disk, now: 0) { $0.topic != "gone" }
  }

  private func request(_ name: String, of group: String = "g", _ request: GroupRequest) -> CoordinatorEvent {
    let answers = answers
    return .request(groupID: group, request) { reply in
      switch reply {
      case .join(let join): answers.add("\(name): \(join.error) \(join.generationID)")
      case .sync(let sync): answers.add("\(name): \(sync.error)")
      case .heartbeat(let error), .deleteGroup(let error): answers.add("\(name): \(error)")
      case .leave(let results): answers.add("\(name): \(results.map(\.error))")
      case .commit(let results): answers.add("\(name): \(results.map { "\($0.partition) \($0.error)" })")
      case .deleteOffsets(let error, let results): answers.add("\(name): \(error) \(results.map(\.error))")
      }
    }
  }

  private func join(_ name: String, of group: String = "g", known: Bool = false) -> CoordinatorEvent {
    request(
      "join \(name)", of: group,
      .join(
        JoinRequest(
          member: MemberIdentity(memberID: known ? name : ""), clientID: "c", clientHost: "h",
          sessionTimeoutMilliseconds: 10_000, rebalanceTimeoutMilliseconds: 30_000, protocolType: "consumer",
          protocols: [GroupProtocol(name: "range", metadata: [])], newMemberID: name, requiresKnownMemberID: false,
          supportsSkippingAssignment: true)))
  }
  private func sync(_ name: String, of group: String = "g", generation: Int32 = 1) -> CoordinatorEvent {
    request(
      "sync \(name)", of: group, .sync(SyncRequest(member: MemberIdentity(memberID: name), generationID: generation)))
  }
  private func heartbeat(_ name: String, of group: String = "g") -> CoordinatorEvent {
    request("heartbeat \(name)", of: group, .heartbeat(MemberIdentity(memberID: name), generationID: 1))
  }
  private func commit(_ topics: [String], of group: String = "g", at offset: Int64 = 7) -> CoordinatorEvent {
    request(
      "commit", of: group,
      .commit(
        CommitRequest(
          member: MemberIdentity(memberID: ""), generationID: -1,
          offsets: topics.map { OffsetToCommit(partition: TopicPartition(topic: $0, partition: 0), offset: offset) })))
  }

  @Test("a round of events is one durable step, and nothing is answered before it")
  func groupCommit() throws {
    var table = try table()
    let answers = answers
    disk.beforeApply { if !answers.take().isEmpty { Issue.record("answered before it was durable") } }
    table.settle([commit(["a"], of: "g1"), commit(["b"], of: "g2"), commit(["a"], of: "g1", at: 8)], now: 0)
    #expect(answers.take().count == 3)
    #expect(disk.rounds.map { $0.map { "\($0.groupID) \($0.changes.count)" } } == [["g1 2", "g2 1"]])
    #expect(table.machines["g1"]?.offsets.values.map(\.offset) == [8])
  }

  @Test("heartbeats and looks alone do not touch the disk")
  func volatileRounds() throws {
    var table = try table()
    let answers = answers
    table.settle([heartbeat("a"), .read { answers.add("looked at \((try? $0.get())?.machines.count ?? -1)") }], now: 0)
    #expect(answers.take() == ["heartbeat a: UNKNOWN_MEMBER_ID", "looked at 0"])
    #expect(disk.rounds.isEmpty)
  }

  @Test("what cannot be made durable is undone and refused, and only that")
  func failure() throws {
    var table = try table()
    table.settle([join("a"), commit(["t"], of: "other")], now: 0)
    #expect(table.nextDeadline == 0)
    table.settle([], now: 0)
    #expect(answers.take() == ["commit: [\"t-0 NONE\"]", "join a: NONE 1"])

    disk.isBroken = true
    let failed = table.settle(
      [sync("a"), commit(["t"], of: "new"), commit(["t"], of: "other", at: 9), heartbeat("x", of: "y")], now: 1)
    #expect(failed?.cause is MemoryPersistence.Failure)
    #expect(
      answers.take() == [
        "sync a: COORDINATOR_NOT_AVAILABLE", "commit: [\"t-0 COORDINATOR_NOT_AVAILABLE\"]",
        "commit: [\"t-0 COORDINATOR_NOT_AVAILABLE\"]", "heartbeat x: UNKNOWN_MEMBER_ID",
      ])
    #expect(table.machines.keys.sorted() == ["g", "other"])
    #expect(table.machines["g"]?.state == .completingRebalance)
    #expect(table.machines["other"]?.offsets.values.map(\.offset) == [7])

    disk.isBroken = false
    #expect(table.settle([sync("a")], now: 2) == nil)
    #expect(answers.take() == ["sync a: NONE"])
    #expect(table.machines["g"]?.state == .stable)
  }

  @Test("requests that wait go on waiting when a later round fails, and are answered when one succeeds")
  func waitingThroughFailure() throws {
    var table = try table()
    table.settle([join("a"), join("b")], now: 0)
    while table.machines["g"]?.state == .preparingRebalance { table.settle([], now: 0) }
    table.settle([sync("b")], now: 1)
    #expect(answers.take() == ["join a: NONE 1", "join b: NONE 1"])
    disk.isBroken = true
    table.settle([sync("a")], now: 2)
    #expect(answers.take() == ["sync a: COORDINATOR_NOT_AVAILABLE"])
    disk.isBroken = false
    table.settle([sync("a")], now: 3)
    #expect(answers.take() == ["sync a: NONE", "sync b: NONE"])
  }

  @Test("deadlines whose changes fail are met again after a pause")
  func deadlinesThroughFailure() throws {
    var table = try table()
    table.settle([join("a")], now: 0)
    table.settle([], now: 0)
    table.settle([sync("a")], now: 0)
    disk.isBroken = true
    #expect(table.nextDeadline == 10_000)
    #expect(table.settle([], now: 10_000) != nil)
    #expect(table.nextDeadline == 11_000)
    #expect(table.settle([heartbeat("a")], now: 10_500) == nil)
    #expect(answers.take().last == "heartbeat a: NONE")
    disk.isBroken = false
    #expect(table.settle([], now: 11_000) == nil)
    #expect(table.machines["g"]?.state == .stable)  // its heartbeat came in time after all
    table.settle([], now: 20_500)
    #expect(table.machines["g"]?.state == .empty)
  }

  @Test("after a restart the members go on and the offsets are there")
  func restart() throws {
    var table = try table()
    table.settle([join("a"), commit(["t"], of: "simple")], now: 0)
    table.settle([], now: 0)
    table.settle([sync("a")], now: 0)
    table = try self.table()
    _ = answers.take()
    table.settle([heartbeat("a")], now: 0)
    #expect(answers.take() == ["heartbeat a: NONE"])
    #expect(table.machines["simple"]?.offsets.values.map(\.offset) == [7])
    #expect(table.nextDeadline == 10_000)
  }

  @Test("offsets of partitions that do not exist are refused in their places, and those of deleted topics go")
  func topicExistence() throws {
    var table = try table()
    table.settle([commit(["gone", "t", "gone", "u"]), commit(["gone"], of: "none")], now: 0)
    #expect(
      answers.take() == [
        "commit: [\"gone-0 UNKNOWN_TOPIC_OR_PARTITION\"]",
        "commit: [\"gone-0 UNKNOWN_TOPIC_OR_PARTITION\", \"t-0 NONE\", \"gone-0 UNKNOWN_TOPIC_OR_PARTITION\", \"u-0 NONE\"]",
      ])
    #expect(table.machines.keys.sorted() == ["g"])
    table.settle([.topicsDeleted(["u"])], now: 1)
    #expect(
      disk.rounds.last == [GroupChanges(groupID: "g", changes: [.offsetDeleted(TopicPartition(topic: "u", partition: 0))])])
    let partitions = ["gone", "t"].map { TopicPartition(topic: $0, partition: 0) }
    table.settle([request("delete", .deleteOffsets(partitions))], now: 2)
    #expect(answers.take() == ["delete: NONE [UNKNOWN_TOPIC_OR_PARTITION, NONE]"])
  }

  @Test("expired offsets are looked for at intervals")
  func offsetRetention() throws {
    var table = try table { $0.offsetsRetentionMinutes = 20 }
    table.settle([commit(["t"])], now: 0)
    #expect(table.nextDeadline == 600_000)
    table.settle([], now: 600_000)
    #expect(table.machines.count == 1)
    table.settle([], now: 1_200_000)
    #expect(table.machines.isEmpty)
    #expect(disk.load().isEmpty)
  }

  @Test("the queue of deadlines wakes every group when it has asked last, and not before")
  func deadlineQueue() {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<200 {
      var queue = DeadlineQueue()
      var wanted: [String: Int64] = [:]
      for _ in 0..<60 {
        let group = "g\(Int.random(in: 0..<8, using: &random))"
        let deadline: Int64? = Int.random(in: 0..<5, using: &random) == 0 ? nil : .random(in: 0..<100, using: &random)
        wanted[group] = deadline
        queue.note(deadline, of: group)
      }
      for now in Int64(0)..<100 {
        while let group = queue.next(dueBy: now) {
          // It may be early, when the deadline was put off; then the group says so.
          if let deadline = wanted[group], deadline <= now { wanted[group] = nil } else { queue.note(wanted[group], of: group) }
        }
        #expect(!wanted.values.contains { $0 <= now })
      }
      #expect(queue.earliest == nil)
    }
  }
}
