public import Model

extension GroupMachine {
  private enum Timer {
    case pendingMember(String), session(String), join, sync
  }

  /// When `expire` next has something to do; nil if never.
  public var nextDeadline: TimestampMilliseconds? {
    [
      joinPhase?.deadline, syncDeadline, pendingMembers.values.min(),
      members.values.lazy.compactMap(\.sessionDeadline).min(),
    ].compactMap { $0 }.min()
  }

  /// Time has passed. Deadlines take effect in their order; calling it early or late is harmless.
  public mutating func expire(now: TimestampMilliseconds) -> [GroupAction] {
    var actions: [GroupAction] = []
    while let timer = earliestTimer(dueBy: now) {
      switch timer {
      case .join: joinDeadlineReached(now, &actions)
      case .sync: syncDeadlineReached(now, &actions)
      case .pendingMember(let memberID):
        pendingMembers[memberID] = nil
        completeJoinIfAllHaveJoined(now, &actions)
      case .session(let memberID): sessionExpired(of: memberID, now, &actions)
      }
      // A delay of zero that is extended while members come must not hold up those that are still to come.
      if case .join = timer, joinPhase != nil { break }
    }
    dieIfNothingIsLeft()
    return actions
  }

  private func earliestTimer(dueBy now: TimestampMilliseconds) -> Timer? {
    var earliest: (deadline: TimestampMilliseconds, timer: Timer)?
    func consider(_ deadline: TimestampMilliseconds?, _ timer: Timer) {
      guard let deadline, deadline <= now, deadline < earliest?.deadline ?? .max else { return }
      earliest = (deadline, timer)
    }
    for member in membersInOrder { consider(member.sessionDeadline, .session(member.identity.memberID)) }
    for (memberID, deadline) in pendingMembers.sorted(by: { $0.key < $1.key }) {
      consider(deadline, .pendingMember(memberID))
    }
    consider(syncDeadline, .sync)
    consider(joinPhase?.deadline, .join)
    return earliest?.timer
  }

  /// Whoever waits for a generation or an assignment is alive; only a member that has never been in a generation is not
  /// believed for ever.
  private mutating func sessionExpired(
    of memberID: String, _ now: TimestampMilliseconds, _ actions: inout [GroupAction]
  ) {
    guard let member = members[memberID] else { return }
    if member.isAwaiting && !member.isNew {
      members[memberID]?.sessionDeadline = nil
    } else {
      removeMember(memberID, &actions)
      membersHaveLeft(now, &actions)
    }
  }
}
