public import Model

extension GroupMachine {
  /// A member wants to be in the next generation. The reply may come much later, with another event.
  public mutating func join(_ request: JoinRequest, token: RequestToken, now: TimestampMilliseconds) -> [GroupAction] {
    var actions: [GroupAction] = []
    let timeout = request.sessionTimeoutMilliseconds
    if timeout < configuration.sessionTimeoutMillisecondsMin || timeout > configuration.sessionTimeoutMillisecondsMax {
      refuseJoin(token, .invalidSessionTimeout, memberID: request.member.memberID, &actions)
      return actions
    }
    if state == .dead {
      guard request.member.memberID.isEmpty else {
        refuseJoin(token, .unknownMemberID, memberID: request.member.memberID, &actions)
        return actions
      }
      transition(to: .empty, now: now)
    }
    if !hasRoom(for: request.member) {
      removeMember(request.member.memberID, &actions)
      refuseJoin(token, .groupMaxSizeReached, memberID: "", &actions)
    } else if !supportsAnyProtocol(of: request) {
      refuseJoin(token, .inconsistentGroupProtocol, memberID: request.member.memberID, &actions)
    } else if request.member.memberID.isEmpty {
      joinWithoutMemberID(request, token, now, &actions)
    } else if pendingMembers[request.member.memberID] != nil, request.member.instanceID == nil {
      addMember(request.member.memberID, request, token, now, &actions)
    } else if let error = complaint(about: request.member) {
      refuseJoin(token, error, memberID: request.member.memberID, &actions)
    } else {
      joinAgain(request, token, now, &actions)
    }
    completeJoinIfAllHaveJoined(now, &actions)
    dieIfNothingIsLeft()
    return actions
  }

  private mutating func joinWithoutMemberID(
    _ request: JoinRequest, _ token: RequestToken, _ now: TimestampMilliseconds, _ actions: inout [GroupAction]
  ) {
    if let instanceID = request.member.instanceID, let replaced = staticMembers[instanceID] {
      replaceStaticMember(replaced, instanceID: instanceID, request, token, now, &actions)
    } else if request.member.instanceID == nil, request.requiresKnownMemberID {
      guard pendingMembers.count < Limits.groupPendingMembersMax else {
        refuseJoin(token, .groupMaxSizeReached, memberID: "", &actions)
        return
      }
      pendingMembers[request.newMemberID] = now + Int64(request.sessionTimeoutMilliseconds)
      refuseJoin(token, .memberIDRequired, memberID: request.newMemberID, &actions)
    } else {
      addMember(request.newMemberID, request, token, now, &actions)
    }
  }

  private mutating func addMember(
    _ memberID: String, _ request: JoinRequest, _ token: RequestToken, _ now: TimestampMilliseconds,
    _ actions: inout [GroupAction]
  ) {
    if members.isEmpty { protocolType = request.protocolType }
    var member = GroupMember(
      identity: MemberIdentity(memberID: memberID, instanceID: request.member.instanceID), clientID: request.clientID,
      clientHost: request.clientHost, sessionTimeoutMilliseconds: request.sessionTimeoutMilliseconds,
      rebalanceTimeoutMilliseconds: request.rebalanceTimeoutMilliseconds, protocols: request.protocols,
      ordinal: nextOrdinal)
    nextOrdinal += 1
    member.awaitingJoin = token
    member.sessionDeadline = now + Self.newMemberJoinTimeoutMilliseconds
    members[memberID] = member
    if let instanceID = request.member.instanceID { staticMembers[instanceID] = memberID }
    pendingMembers[memberID] = nil
    if leaderID == nil { leaderID = memberID }
    joinPhase?.initial?.hasNewMember = true
    if state != .preparingRebalance { prepareRebalance(now, &actions) }
  }

  /// A member that is known joins: after a change of its subscription, because it heard of a rebalance, or because an
  /// earlier answer was lost.
  private mutating func joinAgain(
    _ request: JoinRequest, _ token: RequestToken, _ now: TimestampMilliseconds, _ actions: inout [GroupAction]
  ) {
    let memberID = request.member.memberID
    let hasChanged = members[memberID]?.protocols != request.protocols
    switch state {
    case .completingRebalance where !hasChanged:
      // It did not get the answer to its join.
      let reply = joinReply(for: memberID, withMembers: memberID == leaderID)
      actions.append(.reply(token, .join(reply)))
      restartSession(of: memberID, now: now)
    case .stable where !hasChanged && memberID != leaderID:
      // A leader, in contrast, may join in order to have the group assign again, for instance when a topic has grown.
      actions.append(.reply(token, .join(joinReply(for: memberID, withMembers: false))))
      restartSession(of: memberID, now: now)
    case .preparingRebalance:
      updateMember(memberID, request, token, &actions)
    case .completingRebalance, .stable:
      updateMember(memberID, request, token, &actions)
      prepareRebalance(now, &actions)
    case .empty, .dead:
      refuseJoin(token, .unknownMemberID, memberID: memberID, &actions)
    }
  }

  private mutating func updateMember(
    _ memberID: String, _ request: JoinRequest, _ token: RequestToken, _ actions: inout [GroupAction]
  ) {
    guard var member = members[memberID] else { return }
    // The client has given up waiting for the earlier one; its connection is to be freed all the same.
    if let earlier = member.awaitingJoin { refuseJoin(earlier, .rebalanceInProgress, memberID: memberID, &actions) }
    member.awaitingJoin = token
    member.protocols = request.protocols
    member.sessionTimeoutMilliseconds = request.sessionTimeoutMilliseconds
    member.rebalanceTimeoutMilliseconds = request.rebalanceTimeoutMilliseconds
    member.clientID = request.clientID
    member.clientHost = request.clientHost
    members[memberID] = member
  }

  /// A static member has restarted: it gets a new member id, and whoever still uses the old one is fenced.
  private mutating func replaceStaticMember(
    _ replacedID: String, instanceID: String, _ request: JoinRequest, _ token: RequestToken,
    _ now: TimestampMilliseconds, _ actions: inout [GroupAction]
  ) {
    guard var member = members.removeValue(forKey: replacedID) else { return }
    if let waiting = member.awaitingJoin { refuseJoin(waiting, .fencedInstanceID, memberID: replacedID, &actions) }
    if let waiting = member.awaitingSync { actions.append(.reply(waiting, .sync(SyncReply(error: .fencedInstanceID)))) }
    let memberID = request.newMemberID
    let leaderBefore = leaderID
    member.identity.memberID = memberID
    member.awaitingJoin = nil
    member.awaitingSync = nil
    member.isPendingSync = false
    members[memberID] = member
    staticMembers[instanceID] = memberID
    if leaderID == replacedID { leaderID = memberID }
    updateMember(memberID, request, token, &actions)
    restartSession(of: memberID, now: now)

    switch state {
    case .stable where selectProtocol() == protocolName:
      members[memberID]?.awaitingJoin = nil
      persist(&actions)
      let isLeader = leaderID == memberID
      var reply = joinReply(for: memberID, withMembers: isLeader && request.supportsSkippingAssignment)
      if request.supportsSkippingAssignment {
        reply.skipsAssignment = isLeader
      } else {
        // Named as leader it would assign again, and a stable group would not hand that out. With the old id as leader
        // it takes itself for a follower and fetches the assignment there is.
        reply.leaderID = leaderBefore ?? ""
      }
      actions.append(.reply(token, .join(reply)))
    case .stable, .completingRebalance:
      // In the latter the leader may be about to assign to the old member id.
      prepareRebalance(now, &actions)
    case .preparingRebalance, .empty, .dead:
      break
    }
  }

  /// An empty or new group takes anybody. Once the group is full, those wait or stay who are first; counting the ones that
  /// wait lets a group shrink to a maximum that was lowered. A static member that restarts takes its own place.
  private func hasRoom(for identity: MemberIdentity) -> Bool {
    if members.count < Int(configuration.groupSizeMax) { return true }
    let memberID = identity.instanceID.flatMap { staticMembers[$0] } ?? identity.memberID
    return switch state {
    case .empty, .dead: true
    case .preparingRebalance:
      members[memberID]?.awaitingJoin != nil
        || members.values.count { $0.awaitingJoin != nil } < Int(configuration.groupSizeMax)
    case .completingRebalance, .stable: members[memberID] != nil
    }
  }

  private func supportsAnyProtocol(of request: JoinRequest) -> Bool {
    if members.isEmpty { return !request.protocolType.isEmpty && !request.protocols.isEmpty }
    guard request.protocolType == protocolType else { return false }
    return request.protocols.contains { offered in members.values.allSatisfy { $0.supports(offered.name) } }
  }

  func refuseJoin(_ token: RequestToken, _ error: ErrorCode, memberID: String, _ actions: inout [GroupAction]) {
    actions.append(.reply(token, .join(JoinReply(error: error, memberID: memberID))))
  }

  func joinReply(for memberID: String, withMembers: Bool) -> JoinReply {
    var reply = JoinReply(error: .none, memberID: memberID)
    reply.generationID = generationID
    reply.protocolType = protocolType
    reply.protocolName = protocolName
    reply.leaderID = leaderID ?? ""
    if withMembers {
      reply.members = membersInOrder.map {
        JoinReply.Member(identity: $0.identity, metadata: $0.metadata(for: protocolName))
      }
    }
    return reply
  }
}
