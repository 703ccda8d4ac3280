public import Model

/// A group as DescribeGroups shows it.
public struct GroupDescription: Hashable, Sendable {
  public struct Member: Hashable, Sendable {
    public var identity: MemberIdentity
    public var clientID: String
    public var clientHost: String
    public var sessionTimeoutMilliseconds: Int32
    public var rebalanceTimeoutMilliseconds: Int32
    public var metadata: [UInt8]
    public var assignment: [UInt8]
  }

  public var groupID: String
  public var state: GroupState
  public var protocolType: String
  /// Empty unless the group is stable.
  public var protocolName: String
  /// Without metadata and assignment unless the group is stable.
  public var members: [Member]
}

extension GroupMachine {
  public var description: GroupDescription {
    let isStable = state == .stable
    return GroupDescription(
      groupID: groupID, state: state, protocolType: protocolType ?? "", protocolName: isStable ? protocolName ?? "" : "",
      members: membersInOrder.map {
        GroupDescription.Member(
          identity: $0.identity, clientID: $0.clientID, clientHost: $0.clientHost,
          sessionTimeoutMilliseconds: $0.sessionTimeoutMilliseconds,
          rebalanceTimeoutMilliseconds: $0.rebalanceTimeoutMilliseconds,
          metadata: isStable ? $0.metadata(for: protocolName) : [], assignment: isStable ? $0.assignment : [])
      })
  }
}

extension GroupMachine {
  /// A group as it was stored, after a restart of the broker: its members go on where they were, and each has a whole
  /// session timeout from now on to be heard of.
  ///
  /// - Parameter snapshot: nil if only offsets were stored: a simple consumer's group.
  public init(
    groupID: String, configuration: GroupConfiguration, restoring snapshot: GroupSnapshot?,
    offsets: [TopicPartition: CommittedOffset], now: TimestampMilliseconds
  ) {
    self.init(groupID: groupID, configuration: configuration)
    self.offsets = offsets
    transition(to: .empty, now: now)
    guard let snapshot else {
      dieIfNothingIsLeft()
      return
    }
    isStored = true
    protocolType = snapshot.protocolType
    protocolName = snapshot.protocolName
    generationID = snapshot.generationID
    leaderID = snapshot.leaderID
    for stored in snapshot.members {
      var member = GroupMember(
        identity: stored.identity, clientID: stored.clientID, clientHost: stored.clientHost,
        sessionTimeoutMilliseconds: stored.sessionTimeoutMilliseconds,
        rebalanceTimeoutMilliseconds: stored.rebalanceTimeoutMilliseconds, protocols: stored.protocols,
        assignment: stored.assignment, ordinal: nextOrdinal)
      nextOrdinal += 1
      member.isNew = false
      members[stored.identity.memberID] = member
      if let instanceID = stored.identity.instanceID { staticMembers[instanceID] = stored.identity.memberID }
      restartSession(of: stored.identity.memberID, now: now)
    }
    if members.isEmpty {
      leaderID = nil
    } else {
      state = .stable
      if leaderID.map({ members[$0] == nil }) ?? true { leaderID = membersInOrder.first?.identity.memberID }
    }
    stateTimestamp = snapshot.stateTimestamp
    subscribedTopics = topicsSubscribed()
    if members.count > Int(configuration.groupSizeMax) {
      // The maximum was lowered. Nobody waits yet, so that nothing is to be answered.
      var actions: [GroupAction] = []
      prepareRebalance(now, &actions)
    }
  }
}
