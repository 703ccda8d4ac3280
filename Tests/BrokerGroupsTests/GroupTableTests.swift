import Model
import Testing

@testable import Broker
@testable import Coordination

@Suite("The table of groups")
struct GroupTableTests {
  private let disk = MemoryPersistence()
  private let answers = Answers()

  private func table(_ configure: (inout GroupConfiguration) -> Void = { _ in }) -> GroupTable {
    var configuration = GroupConfiguration()
    configuration.initialRebalanceDelayMilliseconds = 0
    configure(&configuration)
    return GroupTable(disk.load(), configuration: configuration, now: 0) { $0.topic != "gone" }
  }

  /// Until nothing is to be made durable any more.
  ///
  /// - Returns: the last failure.
  @discardableResult
  private func settle(_ table: inout GroupTable, _ events: [CoordinatorEvent], now: Int64) -> UnappliedChanges? {
    var failure: UnappliedChanges?
    var changes = table.settle(events, now: now)
    while !changes.isEmpty {
      let outcome = disk.apply(changes, to: 0)
      failure = outcome ?? failure
      table.ended(outcome, now: now)
      changes = table.settle([], now: now)
    }
    return failure
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
  private func heartbeat(_ name: String, of group: String = "g", generation: Int32 = 1) -> CoordinatorEvent {
    request("heartbeat \(name)", of: group, .heartbeat(MemberIdentity(memberID: name), generationID: generation))
  }
  private func leave(_ name: String) -> CoordinatorEvent { request("leave \(name)", .leave([MemberIdentity(memberID: name)])) }
  private func commit(_ member: String, at offset: Int64, generation: Int32 = 1) -> CoordinatorEvent {
    request(
      "commit",
      .commit(
        CommitRequest(
          member: MemberIdentity(memberID: member), generationID: generation,
          offsets: [OffsetToCommit(partition: TopicPartition(topic: "t", partition: 0), offset: offset)])))
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
    var table = table()
    let answers = answers
    disk.beforeApply { if !answers.take().isEmpty { Issue.record("answered before it was durable") } }
    settle(&table, [commit(["a"], of: "g1"), commit(["b"], of: "g2"), commit(["a"], of: "g1", at: 8)], now: 0)
    #expect(answers.take().count == 3)
    #expect(disk.rounds.map { $0.map { "\($0.groupID) \($0.changes.count)" } } == [["g1 2", "g2 1"]])
    #expect(table.machines["g1"]?.offsets.values.map(\.offset) == [8])
  }

  @Test("heartbeats and looks alone do not touch the disk")
  func volatileRounds() throws {
    var table = table()
    let answers = answers
    settle(
      &table, [heartbeat("a"), .read(groupID: nil) { answers.add("looked at \((try? $0.get())?.all.count ?? -1)") }], now: 0)
    #expect(answers.take() == ["heartbeat a: UNKNOWN_MEMBER_ID", "looked at 0"])
    #expect(disk.rounds.isEmpty)
  }

  @Test("what cannot be made durable is undone and refused, and only that")
  func failure() throws {
    var table = table()
    settle(&table, [join("a"), commit(["t"], of: "other")], now: 0)
    settle(&table, [], now: 0)
    #expect(answers.take() == ["commit: [\"t-0 NONE\"]", "join a: NONE 1"])

    disk.isBroken = true
    let failed = settle(
      &table, [sync("a"), commit(["t"], of: "new"), commit(["t"], of: "other", at: 9), heartbeat("x", of: "y")], now: 1)
    #expect(failed?.cause is MemoryPersistence.Failure)
    #expect(
      answers.take() == [
        "heartbeat x: UNKNOWN_MEMBER_ID", "sync a: COORDINATOR_NOT_AVAILABLE",
        "commit: [\"t-0 COORDINATOR_NOT_AVAILABLE\"]", "commit: [\"t-0 COORDINATOR_NOT_AVAILABLE\"]",
      ])
    #expect(table.machines.keys.sorted() == ["g", "other"])
    #expect(table.machines["g"]?.state == .completingRebalance)
    #expect(table.machines["other"]?.offsets.values.map(\.offset) == [7])

    disk.isBroken = false
    #expect(settle(&table, [sync("a")], now: 2) == nil)
    #expect(answers.take() == ["sync a: NONE"])
    #expect(table.machines["g"]?.state == .stable)
  }

  /// Two members that know their generation; nobody has its share yet.
  private func completing() -> GroupTable {
    var table = table()
    settle(&table, [join("a"), join("b")], now: 0)
    while table.machines["g"]?.state == .preparingRebalance { settle(&table, [], now: 0) }
    #expect(answers.take() == ["join a: NONE 1", "join b: NONE 1"])
    return table
  }

  /// And two that have their share.
  private func stable() -> GroupTable {
    var table = completing()
    settle(&table, [sync("a"), sync("b")], now: 0)
    #expect(answers.take() == ["sync a: NONE", "sync b: NONE"])
    return table
  }

  @Test("requests that have waited are answered too when a later one cannot be made durable, and the group goes on")
  func waitingThroughFailure() {
    var table = completing()
    settle(&table, [sync("b")], now: 1)
    disk.isBroken = true
    settle(&table, [sync("a")], now: 2)
    #expect(answers.take() == ["sync b: COORDINATOR_NOT_AVAILABLE", "sync a: COORDINATOR_NOT_AVAILABLE"])
    disk.isBroken = false
    settle(&table, [join("b", known: true), sync("b"), sync("a")], now: 3)
    #expect(answers.take() == ["join b: NONE 1", "sync a: NONE", "sync b: NONE"])
  }

  @Test("who never comes back after a failure is removed when the session ends, and holds up nobody for longer")
  func goneThroughFailure() {
    var table = completing()
    disk.isBroken = true
    settle(&table, [sync("b"), sync("a")], now: 2)
    disk.isBroken = false
    _ = answers.take()
    settle(&table, [join("b", known: true), sync("b")], now: 9_000)
    #expect(answers.take() == ["join b: NONE 1"])
    settle(&table, [], now: 10_002)
    #expect(answers.take() == ["sync b: REBALANCE_IN_PROGRESS"])
    settle(&table, [join("b", known: true)], now: 10_003)
    #expect(answers.take() == ["join b: NONE 2"])
  }

  @Test("heartbeats are answered while changes are on their way to the disk, unless the answer depends on them")
  func heartbeatsMeanwhile() {
    var table = stable()
    #expect(table.settle([commit(["t"], of: "other"), commit("a", at: 5)], now: 1).map(\.groupID) == ["other", "g"])
    #expect(table.settle([heartbeat("a"), heartbeat("b"), heartbeat("x")], now: 9_000).isEmpty)
    #expect(answers.take() == ["heartbeat a: NONE", "heartbeat b: NONE", "heartbeat x: UNKNOWN_MEMBER_ID"])
    // Whether it succeeds or not, they were heard of.
    let failure = UnappliedChanges(
      answer: .coordinatorNotAvailable, isOutcomeKnown: true, cause: MemoryPersistence.Failure())
    table.ended(failure, now: 9_001)
    #expect(answers.take().count == 2)
    #expect(table.machines["g"]?.offsets.isEmpty == true)
    settle(&table, [], now: 18_000)
    #expect(table.machines["g"]?.state == .stable)
    // Static members are replaced: who of the two may go on is open.
    settle(&table, [leave("b"), join("a", known: true)], now: 18_001)
    settle(&table, [sync("a", generation: 2)], now: 18_001)
    _ = answers.take()
    #expect(!table.settle([leave("a")], now: 18_002).isEmpty)
    #expect(table.settle([heartbeat("a", generation: 2)], now: 18_003).isEmpty)
    #expect(answers.take().isEmpty)
    table.ended(failure, now: 18_004)
    #expect(table.settle([], now: 18_004).isEmpty)
    #expect(answers.take() == ["leave a: [COORDINATOR_NOT_AVAILABLE]", "heartbeat a: NONE"])
  }

  @Test("groups that are not concerned go on while changes are on their way, and what they change is the next round")
  func othersMeanwhile() {
    var table = stable()
    #expect(table.settle([commit("a", at: 5)], now: 1).count == 1)
    let answers = answers
    let look = { (name: String?) in
      CoordinatorEvent.read(groupID: name) { found in
        let groups = try? found.get()
        answers.add(
          "\(name ?? "all"): \(name.flatMap { groups?[$0]?.offsets.values.first?.offset } ?? -1) of \(groups?.all.count ?? -1)")
      }
    }
    #expect(
      table.settle([join("c", of: "h"), commit(["t"], of: "i"), look(nil), look("h"), look("g"), look("i")], now: 2).isEmpty)
    #expect(answers.take() == ["all: -1 of 2", "h: -1 of 2"])
    #expect(table.settle([], now: 2).isEmpty)
    #expect(answers.take() == ["join c: NONE 1"])
    #expect(table.settle([commit("a", at: 6), commit(["t"], of: "h")], now: 3).isEmpty)
    #expect(answers.take() == ["commit: [\"t-0 UNKNOWN_MEMBER_ID\"]"])
    table.ended(nil, now: 4)
    #expect(answers.take() == ["commit: [\"t-0 NONE\"]"])
    #expect(table.settle([], now: 4).map(\.groupID) == ["i", "g"])
    #expect(answers.take() == ["g: 5 of 2"])
    table.ended(nil, now: 5)
    #expect(table.settle([], now: 5).isEmpty)
    #expect(answers.take() == ["commit: [\"t-0 NONE\"]", "commit: [\"t-0 NONE\"]", "i: 7 of 3"])
  }

  @Test("where the outcome is unknown everybody is answered, and topics that are gone are remembered")
  func unknownOutcome() {
    var table = completing()
    let answers = answers
    settle(&table, [sync("b"), commit(["u"], of: "h")], now: 1)
    _ = answers.take()
    #expect(!table.settle([.topicsDeleted(["u"]), sync("a")], now: 2).isEmpty)
    #expect(
      table.settle(
        [sync("a"), .topicsDeleted(["v"]), commit(["t"], of: "new"), .read(groupID: "g") { _ in answers.add("looked") }], now: 3
      ).isEmpty)
    table.ended(UnappliedChanges(answer: .notCoordinator, isOutcomeKnown: false, cause: MemoryPersistence.Failure()), now: 4)
    #expect(
      answers.take() == [
        "sync b: NOT_COORDINATOR", "sync a: NOT_COORDINATOR", "commit: [\"t-0 NOT_COORDINATOR\"]", "sync a: NOT_COORDINATOR",
        "looked",
      ])
    #expect(table.unfinishedTopics == ["u", "v"])
  }

  @Test("offsets of a topic that is gone go as soon as they can")
  func topicsThroughFailure() {
    var table = table()
    settle(&table, [commit(["u"], of: "h")], now: 1)
    disk.isBroken = true
    settle(&table, [.topicsDeleted(["u", "gone"])], now: 2)
    #expect(table.unfinishedTopics == ["u", "gone"])
    #expect(table.nextDeadline == 1_002)
    disk.isBroken = false
    settle(&table, [], now: 1_002)
    #expect(table.unfinishedTopics.isEmpty)
    #expect(table.machines["h"] != nil, "the topic is there again, and the offsets may be of the new one")
    #expect(table.settle([commit(["u"], of: "h")], now: 2_000).count == 1)
    #expect(table.settle([.topicsDeleted(["u"])], now: 2_001).isEmpty)
    table.ended(nil, now: 2_002)
    #expect(!table.settle([], now: 2_003).isEmpty)
    table.ended(nil, now: 2_004)
    #expect(table.machines.isEmpty)
  }

  @Test("deadlines whose changes fail are met again after a pause")
  func deadlinesThroughFailure() throws {
    var table = table()
    settle(&table, [join("a")], now: 0)
    settle(&table, [], now: 0)
    settle(&table, [sync("a")], now: 0)
    disk.isBroken = true
    #expect(table.nextDeadline == 10_000)
    #expect(settle(&table, [], now: 10_000) != nil)
    #expect(table.nextDeadline == 11_000)
    #expect(settle(&table, [heartbeat("a")], now: 10_500) == nil)
    #expect(answers.take().last == "heartbeat a: NONE")
    disk.isBroken = false
    #expect(settle(&table, [], now: 11_000) == nil)
    #expect(table.machines["g"]?.state == .stable)  // its heartbeat came in time after all
    settle(&table, [], now: 20_500)
    #expect(table.machines["g"]?.state == .empty)
  }

  @Test("after a restart the members go on and the offsets are there")
  func restart() throws {
    var table = table()
    settle(&table, [join("a"), commit(["t"], of: "simple")], now: 0)
    settle(&table, [], now: 0)
    settle(&table, [sync("a")], now: 0)
    table = self.table()
    _ = answers.take()
    settle(&table, [heartbeat("a")], now: 0)
    #expect(answers.take() == ["heartbeat a: NONE"])
    #expect(table.machines["simple"]?.offsets.values.map(\.offset) == [7])
    #expect(table.nextDeadline == 10_000)
  }

  @Test("offsets of partitions that do not exist are refused in their places, and those of deleted topics go")
  func topicExistence() throws {
    var table = table()
    settle(&table, [commit(["gone", "t", "gone", "u"]), commit(["gone"], of: "none")], now: 0)
    #expect(
      answers.take() == [
        "commit: [\"gone-0 UNKNOWN_TOPIC_OR_PARTITION\"]",
        "commit: [\"gone-0 UNKNOWN_TOPIC_OR_PARTITION\", \"t-0 NONE\", \"gone-0 UNKNOWN_TOPIC_OR_PARTITION\", \"u-0 NONE\"]",
      ])
    #expect(table.machines.keys.sorted() == ["g"])
    settle(&table, [.topicsDeleted(["u"])], now: 1)
    #expect(
      disk.rounds.last == [GroupChanges(groupID: "g", changes: [.offsetDeleted(TopicPartition(topic: "u", partition: 0))])])
    let partitions = ["gone", "t"].map { TopicPartition(topic: $0, partition: 0) }
    settle(&table, [request("delete", .deleteOffsets(partitions))], now: 2)
    #expect(answers.take() == ["delete: NONE [UNKNOWN_TOPIC_OR_PARTITION, NONE]"])
  }

  @Test("expired offsets are looked for at intervals")
  func offsetRetention() throws {
    var table = table { $0.offsetsRetentionMinutes = 20 }
    settle(&table, [commit(["t"])], now: 0)
    #expect(table.nextDeadline == 600_000)
    settle(&table, [], now: 600_000)
    #expect(table.machines.count == 1)
    settle(&table, [], now: 1_200_000)
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
