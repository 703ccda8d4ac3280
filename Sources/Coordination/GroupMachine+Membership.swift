public import Model

extension GroupMachine {
  /// A member says that it is alive, and hears whether it has to join again.
  public mutating func heartbeat(
    _ member: MemberIdentity, generationID: Int32, token: RequestToken, now: TimestampMilliseconds
  ) -> [GroupAction] {
    let answer = answer(toHeartbeatOf: member, generationID: generationID)
    if answer == .none || answer == .rebalanceInProgress { restartSession(of: member.memberID, now: now) }
    return [.reply(token, .heartbeat(answer))]
  }

  func answer(toHeartbeatOf member: MemberIdentity, generationID: Int32) -> ErrorCode {
    if let error = complaint(about: member) { return error }
    if generationID != self.generationID { return .illegalGeneration }
    return state == .preparingRebalance ? .rebalanceInProgress : .none
  }

  /// The caller has answered everybody who waits with an error, on which clients come again: until then they are like members that are not there yet.
  public mutating func nobodyWaits(now: TimestampMilliseconds) {
    for member in members.values where member.isAwaiting {
      let memberID = member.identity.memberID
      members[memberID]?.awaitingJoin = nil
      if member.awaitingSync != nil {
        members[memberID]?.awaitingSync = nil
        members[memberID]?.isPendingSync = true
        syncDeadline = syncDeadline ?? now + rebalanceTimeoutMilliseconds
      }
      restartSession(of: memberID, now: now)
    }
  }

  /// Members go for good; static ones may be named by their instance id alone (an administrator's request).
  public mutating func leave(
    _ leaving: [MemberIdentity], token: RequestToken, now: TimestampMilliseconds
  ) -> [GroupAction] {
    var actions: [GroupAction] = []
    var results: [MemberResult] = []
    for identity in leaving {
      results.append(MemberResult(identity: identity, error: remove(identity, &actions)))
    }
    if results.contains(where: { $0.error == .none }) { membersHaveLeft(now, &actions) }
    actions.append(.reply(token, .leave(results)))
    dieIfNothingIsLeft()
    return actions
  }

  private mutating func remove(_ identity: MemberIdentity, _ actions: inout [GroupAction]) -> ErrorCode {
    if identity.memberID.isEmpty {
      guard let instanceID = identity.instanceID, let memberID = staticMembers[instanceID] else {
        return .unknownMemberID
      }
      removeMember(memberID, &actions)
      return .none
    }
    if pendingMembers.removeValue(forKey: identity.memberID) != nil { return .none }
    if let error = complaint(about: identity) { return error }
    removeMember(identity.memberID, &actions)
    return .none
  }

  /// The group is to be forgotten, with its offsets.
  public mutating func delete(token: RequestToken) -> [GroupAction] {
    switch state {
    case .dead: return [.reply(token, .deleteGroup(.groupIDNotFound))]
    case .preparingRebalance, .completingRebalance, .stable: return [.reply(token, .deleteGroup(.nonEmptyGroup))]
    case .empty:
      die()
      return [.persist(.groupDeleted), .reply(token, .deleteGroup(.none))]
    }
  }

  mutating func die() { self = GroupMachine(groupID: groupID, configuration: configuration) }
}
