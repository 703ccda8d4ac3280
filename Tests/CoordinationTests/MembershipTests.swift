import Model
import Testing

@testable import Coordination

@Suite("Membership of a group")
struct MembershipTests {
  @Test("the first rebalance waits for the initial delay, then the leader alone hears of everybody")
  func firstRebalance() {
    var c = Conversation()
    #expect(c.join("a") == [])
    #expect(c.join("b") == [])
    #expect(c.wait(2_999) == [])
    // b came during the delay, which is worth another one.
    #expect(c.wait(1) == [])
    #expect(
      c.wait(3_000) == [
        "join a → generation 1 of range led by a [a b]", "join b → generation 1 of range led by a",
      ])
    #expect(c.group.state == .completingRebalance)
    #expect(c.sync("b") == [])
    #expect(
      c.sync("a", shares: ["a": "p0", "b": "p1"]) == [
        "store generation 1 of [a b]", "sync a → 'p0'", "sync b → 'p1'",
      ])
    #expect(c.group.state == .stable)
    #expect(c.sync("b") == ["sync b → 'p1'"])
    #expect(c.heartbeat("b") == ["heartbeat b → NONE"])
  }

  @Test("the initial delay is extended while members come, up to the rebalance timeout")
  func initialDelayIsBounded() {
    var c = Conversation()
    _ = c.join("a", rebalance: 7_000)
    for i in 1...3 {
      #expect(
        c.wait(2_500)
          == (i == 3
            ? ["join a → generation 1 of range led by a [a m1 m2]"]
              + ["m1", "m2"].map { "join \($0) → generation 1 of range led by a" } : []))
      if i < 3 { _ = c.join("m\(i)", rebalance: 7_000) }
    }
  }

  @Test("a dynamic member is given an id first and has to come back with it")
  func memberIDRequired() {
    var c = Conversation { $0.initialRebalanceDelayMilliseconds = 0 }
    #expect(c.join("a", version: 4) == ["join a → MEMBER_ID_REQUIRED a"])
    #expect(c.group.state == .empty)
    #expect(c.join("a", version: 4) == [])
    #expect(c.expire() == ["join a → generation 1 of range led by a [a]"])
    #expect(c.join("b", version: 4) == ["join b → MEMBER_ID_REQUIRED b"])
    #expect(c.wait(9_999) == [])
    // The id lapses with the session timeout; a's own session with it, as it was silent too.
    #expect(c.wait(1) == ["store generation 2 of []"])
    #expect(c.join("b", known: true) == ["join b → UNKNOWN_MEMBER_ID b"])
  }

  @Test("a group of which only unused member ids are left ceases to exist when they lapse")
  func madeUpGroupsCostNothing() {
    var c = Conversation()
    _ = c.join("a", version: 5)
    #expect(c.group.state == .empty)
    #expect(c.wait(10_000) == [])
    #expect(c.group.state == .dead)
    #expect(c.group.nextDeadline == nil)
  }

  @Test("a newcomer makes the others join again, and the generation begins when all have")
  func newcomer() {
    var c = Conversation(stable: ["a", "b"])
    #expect(c.join("c") == [])
    #expect(c.heartbeat("a") == ["heartbeat a → REBALANCE_IN_PROGRESS"])
    #expect(c.sync("a") == ["sync a → REBALANCE_IN_PROGRESS"])
    #expect(c.join("a") == [])
    #expect(
      c.join("b") == [
        "join a → generation 2 of range led by a [a b c]", "join b → generation 2 of range led by a",
        "join c → generation 2 of range led by a",
      ])
    #expect(c.heartbeat("b", generation: 1) == ["heartbeat b → ILLEGAL_GENERATION"])
    #expect(c.sync("b", generation: 1) == ["sync b → ILLEGAL_GENERATION"])
    #expect(c.heartbeat("b") == ["heartbeat b → NONE"])
  }

  @Test("members that do not join again within the rebalance timeout are removed, heartbeats or not")
  func rebalanceTimeout() {
    var c = Conversation(stable: ["a", "b"])
    _ = c.join("c", rebalance: 20_000)
    _ = c.join("b")
    var lines: [String] = []
    for _ in 0..<12 {
      _ = c.heartbeat("a")
      lines += c.wait(5_000)
    }
    #expect(lines == ["join b → generation 2 of range led by b [b c]", "join c → generation 2 of range led by b"])
    #expect(c.heartbeat("a") == ["heartbeat a → UNKNOWN_MEMBER_ID"])
  }

  @Test("a member that falls silent is removed, and one that waits in a join or a sync is alive")
  func sessionTimeout() {
    var c = Conversation(stable: ["a", "b"])
    _ = c.wait(5_000)
    _ = c.heartbeat("b")
    #expect(c.wait(5_000) == [])
    #expect(c.group.members.keys.sorted() == ["b"])
    #expect(c.group.state == .preparingRebalance)
    #expect(c.join("b") == ["join b → generation 2 of range led by b [b]"])

    var d = Conversation(stable: ["a", "b"])
    _ = d.join("c")
    _ = d.join("b")
    // a is gone after its session; b and c have waited as long without a word.
    #expect(
      d.wait(10_000) == ["join b → generation 2 of range led by b [b c]", "join c → generation 2 of range led by b"])
    #expect(d.sync("c") == [])
    for _ in 0..<3 {
      _ = d.wait(9_000)
      #expect(d.heartbeat("b") == ["heartbeat b → NONE"])
    }
    #expect(d.sync("b", shares: ["c": "all"]) == ["store generation 2 of [b c]", "sync b → ''", "sync c → 'all'"])
  }

  @Test("a newcomer that has waited five minutes for its first generation is sent to join afresh")
  func newcomerIsNotBelievedForEver() {
    var c = Conversation(stable: ["a"])
    _ = c.join("a", rebalance: 1_200_000)
    _ = c.sync("a")
    _ = c.join("b")
    var lines: [String] = []
    for _ in 0..<60 {
      _ = c.heartbeat("a")
      lines += c.wait(5_000)
    }
    #expect(lines == ["join b → UNKNOWN_MEMBER_ID"])
  }

  @Test("when the leader goes before it has assigned, those who wait for it are sent to join again")
  func leaderGoesBeforeAssigning() {
    var c = Conversation(stable: ["a", "b"])
    _ = c.join("b", protocols: ["range", "other"])
    _ = c.join("a")
    #expect(c.sync("b") == [])
    #expect(c.leave("a") == ["sync b → REBALANCE_IN_PROGRESS", "leave → NONE"])
    #expect(c.join("b") == ["join b → generation 3 of range led by b [b]"])
  }

  @Test("members that never ask for their share are removed after the rebalance timeout")
  func missingSync() {
    var c = Conversation(stable: ["a", "b"])
    _ = c.join("b", topics: ["t", "u"])
    _ = c.join("a")
    _ = c.sync("a", shares: ["a": "p0"])
    for _ in 0..<12 {
      _ = c.wait(5_000)
      _ = c.heartbeat("a")
      _ = c.heartbeat("b")
    }
    #expect(c.group.members.keys.sorted() == ["a"])
    #expect(c.group.state == .preparingRebalance)
  }

  @Test("a follower that joins unchanged stays in its generation; a leader that does starts the next")
  func joinAgainUnchanged() {
    var c = Conversation(stable: ["a", "b"])
    #expect(c.join("b") == ["join b → generation 1 of range led by a"])
    #expect(c.group.state == .stable)
    #expect(c.join("b", topics: ["other"]) == [])
    #expect(
      c.join("a") == ["join a → generation 2 of range led by a [a b]", "join b → generation 2 of range led by a"])
    // b did not get the answer.
    #expect(c.join("b", topics: ["other"]) == ["join b → generation 2 of range led by a"])
    _ = c.sync("a")
    #expect(c.join("a") == [])
    #expect(c.group.state == .preparingRebalance)
  }

  @Test("a repeated join or sync frees the one the client has given up")
  func repeatedRequests() {
    var c = Conversation()
    _ = c.join("a")
    #expect(c.join("a") == ["join a → REBALANCE_IN_PROGRESS a"])
    _ = c.join("b")
    _ = c.wait(10_000)
    #expect(c.sync("b") == [])
    #expect(c.sync("b") == ["sync b → REBALANCE_IN_PROGRESS"])
  }

  @Test("the protocol is the one most members prefer of those that all support")
  func protocolSelection() {
    var c = Conversation()
    _ = c.join("a", protocols: ["range", "sticky", "rr"])
    _ = c.join("b", protocols: ["sticky", "rr"])
    #expect(c.join("c", protocols: ["range"]) == ["join c → INCONSISTENT_GROUP_PROTOCOL"])
    #expect(c.join("d", protocols: ["range"], type: "connect") == ["join d → INCONSISTENT_GROUP_PROTOCOL"])
    #expect(c.join("e", protocols: ["rr", "sticky"]) == [])
    #expect(c.wait(9_000).first == "join a → generation 1 of sticky led by a [a b e]")
    #expect(c.sync("b", protocolName: "rr") == ["sync b → INCONSISTENT_GROUP_PROTOCOL"])
    #expect(Conversation.answer { $0.join("x", protocols: []) } == ["join x → INCONSISTENT_GROUP_PROTOCOL"])
    #expect(Conversation.answer { $0.join("x", type: "") } == ["join x → INCONSISTENT_GROUP_PROTOCOL"])
  }

  @Test("session timeouts out of bounds and groups that are full are refused")
  func bounds() {
    #expect(Conversation.answer { $0.join("a", session: 5_999) } == ["join a → INVALID_SESSION_TIMEOUT"])
    #expect(Conversation.answer { $0.join("a", session: 1_800_001) } == ["join a → INVALID_SESSION_TIMEOUT"])
    var c = Conversation(stable: ["a", "b"]) { $0.groupSizeMax = 2 }
    #expect(c.join("c") == ["join c → GROUP_MAX_SIZE_REACHED"])
    #expect(c.group.state == .stable)
  }

  @Test("leaving is batched, each member with its own error, and empties the group in the end")
  func leaving() {
    var c = Conversation(stable: ["a", "b/i"])
    #expect(
      c.leave(
        MemberIdentity(memberID: "x"), MemberIdentity(memberID: "a", instanceID: "i"), MemberIdentity(memberID: "a"),
        MemberIdentity(memberID: "", instanceID: "i"), MemberIdentity(memberID: "", instanceID: "j"))
        == [
          "store generation 2 of []", "leave → UNKNOWN_MEMBER_ID FENCED_INSTANCE_ID NONE NONE UNKNOWN_MEMBER_ID",
        ])
    #expect(c.group.state == .empty)
    #expect(c.heartbeat("a") == ["heartbeat a → UNKNOWN_MEMBER_ID"])
    #expect(c.group.nextDeadline == nil)
  }

  @Test("unknown groups answer as Kafka does")
  func unknownGroup() {
    #expect(Conversation.answer { $0.heartbeat("a") } == ["heartbeat a → UNKNOWN_MEMBER_ID"])
    #expect(Conversation.answer { $0.sync("a") } == ["sync a → UNKNOWN_MEMBER_ID"])
    #expect(Conversation.answer { $0.leave("a") } == ["leave → UNKNOWN_MEMBER_ID"])
    #expect(Conversation.answer { $0.join("a", known: true) } == ["join a → UNKNOWN_MEMBER_ID a"])
    #expect(Conversation.answer { $0.commit("a", generation: 3) } == ["commit → ILLEGAL_GENERATION"])
    #expect(Conversation.answer { $0.commit("a", generation: 3, version: 9) } == ["commit → GROUP_ID_NOT_FOUND"])
    #expect(Conversation.answer { $0.deleteGroup() } == ["delete group → GROUP_ID_NOT_FOUND"])
    #expect(Conversation.answer { $0.deleteOffsets(of: "t") } == ["delete offsets → GROUP_ID_NOT_FOUND"])
  }
}

extension Conversation {
  /// What a group that does not exist answers.
  static func answer(_ event: (inout Conversation) -> [String]) -> [String] {
    var c = Conversation()
    let lines = event(&c)
    return c.group.state == .dead ? lines : lines + ["(but now the group exists)"]
  }
}

@Suite("Static members")
struct StaticMemberTests {
  @Test("a restarted static member takes its place without a rebalance and the earlier one is fenced")
  func replacementInStable() {
    var c = Conversation(stable: ["a", "b/i"]) { $0.groupSizeMax = 2 }
    #expect(c.join("b2/i") == ["store generation 1 of [a b2]", "join b2 → generation 1 of range led by a"])
    #expect(c.sync("b2/i") == ["sync b2 → 'share of b'"])
    #expect(c.heartbeat("b/i") == ["heartbeat b → FENCED_INSTANCE_ID"])
    #expect(c.commit("b/i") == ["commit → FENCED_INSTANCE_ID"])
    #expect(c.sync("b/i") == ["sync b → FENCED_INSTANCE_ID"])
    #expect(c.join("b/i", known: true) == ["join b → FENCED_INSTANCE_ID b"])
    #expect(c.leave(MemberIdentity(memberID: "b", instanceID: "i")) == ["leave → FENCED_INSTANCE_ID"])
    #expect(c.group.state == .stable)
  }

  @Test("a restarted static leader is told to keep the assignment, or if it is old, that another one leads")
  func replacedLeader() {
    var c = Conversation(stable: ["a/i", "b"])
    #expect(
      c.join("a2/i", version: 9) == [
        "store generation 1 of [a2 b]", "join a2 → generation 1 of range led by a2 [a2 b], keeps the assignment",
      ])
    var d = Conversation(stable: ["a/i", "b"])
    #expect(
      d.join("a2/i", version: 5) == ["store generation 1 of [a2 b]", "join a2 → generation 1 of range led by a"])
    #expect(d.group.leaderID == "a2")
  }

  @Test("a restarted static member that changes the choice of protocol starts a rebalance")
  func replacementChangesProtocol() {
    var c = Conversation(stable: ["a/i"])
    #expect(c.join("a2/i", protocols: ["sticky", "range"]) == ["join a2 → generation 2 of sticky led by a2 [a2]"])
  }

  @Test("a static member that restarts while the leader assigns starts the rebalance over")
  func replacementWhileCompleting() {
    var c = Conversation(stable: ["a", "b/i"])
    _ = c.join("a", topics: ["u"])
    _ = c.join("b/i")
    #expect(c.sync("b/i") == [])
    #expect(c.join("b2/i") == ["sync b → FENCED_INSTANCE_ID"])
    #expect(c.group.state == .preparingRebalance)
    #expect(c.join("b3/i") == ["join b2 → FENCED_INSTANCE_ID b2"])
  }

  @Test("a static member may miss a rebalance and keep its place until its session ends")
  func missesRebalance() {
    var c = Conversation(stable: ["a", "b/i"])
    _ = c.join("a", topics: ["u"], rebalance: 9_000)
    _ = c.join("b/i", rebalance: 9_000)
    _ = c.sync("a")
    _ = c.sync("b/i")
    _ = c.join("a", topics: ["t"], rebalance: 9_000)
    #expect(c.wait(9_000) == ["join a → generation 3 of range led by a [a b]"])
  }
}

@Suite("A group after a restart of the broker")
struct RestoredGroupTests {
  @Test("its members go on as if nothing had happened, with whole sessions before them")
  func goesOn() {
    let before = Conversation(stable: ["a", "b/i"])
    var c = Conversation()
    c.now = 1_000_000
    c.group = GroupMachine(
      groupID: "g", configuration: GroupConfiguration(), restoring: before.group.snapshot(), offsets: [:], now: c.now)
    #expect(c.group.description == before.group.description)
    #expect(c.wait(9_999) == [])
    #expect(c.heartbeat("a", generation: 1) == ["heartbeat a → NONE"])
    #expect(c.sync("b/i") == ["sync b → 'share of b'"])
    #expect(c.commit("a") == ["store t-0 at 42", "commit → NONE"])
    // b syncs, so that it is alive too.
    #expect(c.group.state == .stable)
    #expect(c.join("b2/i") == ["store generation 1 of [a b2]", "join b2 → generation 1 of range led by a"])
    #expect(c.deleteOffsets(of: "t") == ["delete offsets → GROUP_SUBSCRIBED_TO_TOPIC"])
  }

  @Test("one that has become too large is rebalanced down to the maximum")
  func tooLarge() {
    let before = Conversation(stable: ["a", "b"])
    var configuration = GroupConfiguration()
    configuration.groupSizeMax = 1
    var c = Conversation()
    c.group = GroupMachine(
      groupID: "g", configuration: configuration, restoring: before.group.snapshot(), offsets: [:], now: 0)
    #expect(c.join("b") == [])
    #expect(
      c.join("a") == ["join a → GROUP_MAX_SIZE_REACHED", "join b → generation 2 of range led by b [b]"])
  }
}
