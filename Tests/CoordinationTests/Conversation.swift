import Model

@testable import Coordination

/// A group, a clock, and people who talk to the group: every event answers with the lines it caused.
struct Conversation {
  var group: GroupMachine
  var now: Int64 = 0
  private var labels: [RequestToken: String] = [:]
  private var tokenCount: UInt64 = 0

  init(_ configure: (inout GroupConfiguration) -> Void = { _ in }) {
    var configuration = GroupConfiguration()
    configure(&configuration)
    group = GroupMachine(groupID: "g", configuration: configuration)
  }

  /// A group of these members (static if written `id/instance`), stable in generation 1, led by the first.
  init(stable members: [String], configure: (inout GroupConfiguration) -> Void = { _ in }) {
    self.init(configure)
    if members.isEmpty { return }
    for member in members { _ = join(member) }
    while group.state == .preparingRebalance { _ = expire() }
    _ = sync(members[0], shares: Dictionary(uniqueKeysWithValues: members.map { (Self.id($0), "share of \(Self.id($0))") }))
    for member in members.dropFirst() { _ = sync(member) }
  }

  static func id(_ name: String) -> String { String(name.split(separator: "/")[0]) }
  static func instance(_ name: String) -> String? {
    name.contains("/") ? String(name.split(separator: "/")[1]) : nil
  }

  private mutating func token(_ label: String) -> RequestToken {
    tokenCount += 1
    labels[RequestToken(tokenCount)] = label
    return RequestToken(tokenCount)
  }

  // MARK: What people say

  /// A member joins. Known members come with their id, others are given their name as id.
  mutating func join(
    _ name: String, known: Bool? = nil, version: Int = 3, protocols: [String] = ["range"], topics: [String]? = ["t"],
    type: String = "consumer", session: Int32 = 10_000, rebalance: Int32 = 60_000
  ) -> [String] {
    let id = Self.id(name)
    let instance = Self.instance(name)
    let isKnown = known ?? (group.members[id] != nil || group.pendingMembers[id] != nil)
    let request = JoinRequest(
      member: MemberIdentity(memberID: isKnown ? id : "", instanceID: instance), clientID: "client", clientHost: "host",
      sessionTimeoutMilliseconds: session, rebalanceTimeoutMilliseconds: rebalance, protocolType: type,
      protocols: protocols.map { GroupProtocol(name: $0, metadata: topics.map(Self.subscription) ?? [0x6D]) }, newMemberID: id,
      requiresKnownMemberID: version >= 4 && instance == nil, supportsSkippingAssignment: version >= 9)
    let actions = group.join(request, token: token("join \(id)"), now: now)
    return tell(actions)
  }

  mutating func sync(
    _ name: String, generation: Int32? = nil, shares: [String: String] = [:], protocolName: String? = nil
  ) -> [String] {
    let request = SyncRequest(
      member: MemberIdentity(memberID: Self.id(name), instanceID: Self.instance(name)),
      generationID: generation ?? group.generationID, protocolName: protocolName,
      assignments: shares.mapValues { Array($0.utf8) })
    let actions = group.sync(request, token: token("sync \(Self.id(name))"), now: now)
    return tell(actions)
  }

  mutating func heartbeat(_ name: String, generation: Int32? = nil) -> [String] {
    let identity = MemberIdentity(memberID: Self.id(name), instanceID: Self.instance(name))
    let actions = group.heartbeat(
      identity, generationID: generation ?? group.generationID, token: token("heartbeat \(identity.memberID)"), now: now)
    return tell(actions)
  }

  mutating func leave(_ identities: MemberIdentity...) -> [String] {
    let actions = group.leave(identities, token: token("leave"), now: now)
    return tell(actions)
  }
  mutating func leave(_ id: String) -> [String] { leave(MemberIdentity(memberID: id)) }

  mutating func commit(
    _ name: String?, generation: Int32? = nil, _ offset: Int64 = 42, topic: String = "t", metadata: String = "",
    retention: Int64? = nil, version: Int16 = 8
  ) -> [String] {
    let identity = MemberIdentity(memberID: name.map(Self.id) ?? "", instanceID: name.flatMap(Self.instance))
    let request = CommitRequest(
      member: identity, generationID: generation ?? (name == nil ? -1 : group.generationID),
      retentionMilliseconds: retention,
      offsets: [OffsetToCommit(partition: TopicPartition(topic: topic, partition: 0), offset: offset, metadata: metadata)],
      knowsGroupIDNotFound: version >= 9)
    let actions = group.commit(request, token: token("commit"), now: now)
    return tell(actions)
  }

  mutating func deleteOffsets(of topics: String...) -> [String] {
    let actions = group.deleteOffsets(topics.map { TopicPartition(topic: $0, partition: 0) }, token: token("delete offsets"))
    return tell(actions)
  }
  mutating func deleteGroup() -> [String] {
    let actions = group.delete(token: token("delete group"))
    return tell(actions)
  }
  mutating func deleteTopics(_ topics: String...) -> [String] {
    let actions = group.topicsDeleted(Set(topics))
    return tell(actions)
  }

  // MARK: What time does

  /// Lets time pass, stopping at every deadline on the way.
  mutating func wait(_ milliseconds: Int64) -> [String] {
    let end = now + milliseconds
    var lines: [String] = []
    while let deadline = group.nextDeadline, deadline <= end {
      now = max(now, deadline)
      lines += tell(group.expire(now: now))
    }
    now = end
    return lines
  }

  /// Lets time pass to the next deadline.
  mutating func expire() -> [String] {
    guard let deadline = group.nextDeadline else { return [] }
    return wait(max(deadline - now, 0))
  }

  mutating func expireOffsets() -> [String] {
    let actions = group.expireOffsets(now: now)
    return tell(actions)
  }

  // MARK: How it reads

  private func tell(_ actions: [GroupAction]) -> [String] {
    actions.map { action in
      switch action {
      case .persist(let change): "store \(Self.text(change))"
      case .reply(let token, let reply): "\(labels[token] ?? "?") → \(Self.text(reply))"
      }
    }
  }

  static func text(_ change: GroupChange) -> String {
    switch change {
    case .groupPut(let snapshot):
      "generation \(snapshot.generationID) of [\(snapshot.members.map(\.identity.memberID).joined(separator: " "))]"
    case .groupDeleted: "no group"
    case .offsetCommitted(let partition, let committed): "\(partition) at \(committed.offset)"
    case .offsetDeleted(let partition): "no \(partition)"
    }
  }

  static func text(_ reply: GroupReply) -> String {
    switch reply {
    case .join(let join) where join.error != .none:
      "\(join.error)" + (join.memberID.isEmpty ? "" : " \(join.memberID)")
    case .join(let join):
      "generation \(join.generationID) of \(join.protocolName ?? "-") led by \(join.leaderID)"
        + (join.members.isEmpty ? "" : " [\(join.members.map(\.identity.memberID).joined(separator: " "))]")
        + (join.skipsAssignment ? ", keeps the assignment" : "")
    case .sync(let sync): sync.error == .none ? "'\(String(decoding: sync.assignment, as: UTF8.self))'" : "\(sync.error)"
    case .heartbeat(let error), .deleteGroup(let error): "\(error)"
    case .leave(let results): results.map { "\($0.error)" }.joined(separator: " ")
    case .commit(let results): results.map { "\($0.error)" }.joined(separator: " ")
    case .deleteOffsets(let error, let results):
      error == .none ? results.map { "\($0.error)" }.joined(separator: " ") : "\(error)"
    }
  }

  static func subscription(_ topics: [String]) -> [UInt8] {
    var bytes: [UInt8] = [0, 1, 0, 0, 0, UInt8(topics.count)]
    for topic in topics { bytes += [0, UInt8(topic.utf8.count)] + Array(topic.utf8) }
    return bytes + [0, 0, 0, 0]
  }
}
