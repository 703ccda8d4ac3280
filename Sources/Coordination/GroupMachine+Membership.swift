public import Model

extension GroupMachine {
  /// A member says that it is alive, and hears whether it has to join again.
  public mutating func heartbeat(
    _ member: MemberIdentity, generationID: Int32, token: RequestToken, now: TimestampMilliseconds
  ) -> [GroupAction] {
    let answer: ErrorCode
    if let error = complaint(about: member) {
      answer = error
    } else if generationID != self.generationID {
      answer = .illegalGeneration
    } else {
      restartSession(of: member.memberID, now: now)
      answer = state == .preparingRebalance ? .rebalanceInProgress : .none
    }
    return [.reply(token, .heartbeat(answer))]
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
