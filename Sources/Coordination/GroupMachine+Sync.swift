public import Model

extension GroupMachine {
  /// A member asks for its share; the leader brings everybody's.
  public mutating func sync(_ request: SyncRequest, token: RequestToken, now: TimestampMilliseconds) -> [GroupAction] {
    var actions: [GroupAction] = []
    if let error = complaint(about: request) {
      actions.append(.reply(token, .sync(SyncReply(error: error))))
      return actions
    }
    let memberID = request.member.memberID
    members[memberID]?.isPendingSync = false
    switch state {
    case .completingRebalance:
      if let earlier = members[memberID]?.awaitingSync {
        // The client has given up waiting for it.
        actions.append(.reply(earlier, .sync(SyncReply(error: .rebalanceInProgress))))
      }
      members[memberID]?.awaitingSync = token
      if memberID == leaderID { assign(request.assignments, now, &actions) }
    case .stable:
      if let member = members[memberID] { actions.append(.reply(token, .sync(syncReply(for: member)))) }
      restartSession(of: memberID, now: now)
    case .preparingRebalance:
      actions.append(.reply(token, .sync(SyncReply(error: .rebalanceInProgress))))
    case .empty, .dead:
      actions.append(.reply(token, .sync(SyncReply(error: .unknownMemberID))))
    }
    if !members.values.contains(where: \.isPendingSync) { syncDeadline = nil }
    return actions
  }

  private func complaint(about request: SyncRequest) -> ErrorCode? {
    if let error = complaint(about: request.member) { return error }
    if request.generationID != generationID { return .illegalGeneration }
    let namesOtherType = request.protocolType.map { $0 != protocolType } ?? false
    let namesOtherProtocol = request.protocolName.map { $0 != protocolName } ?? false
    return namesOtherType || namesOtherProtocol ? .inconsistentGroupProtocol : nil
  }

  /// A member the leader forgot gets an empty share; one it made up gets none.
  private mutating func assign(
    _ assignments: [String: [UInt8]], _ now: TimestampMilliseconds, _ actions: inout [GroupAction]
  ) {
    for memberID in members.keys { members[memberID]?.assignment = assignments[memberID] ?? [] }
    transition(to: .stable, now: now)
    persist(&actions)
    for member in membersInOrder { answerSync(of: member, syncReply(for: member), now, &actions) }
  }

  private func syncReply(for member: GroupMember) -> SyncReply {
    var reply = SyncReply(error: .none)
    reply.protocolType = protocolType
    reply.protocolName = protocolName
    reply.assignment = member.assignment
    return reply
  }

  mutating func answerSync(
    of member: GroupMember, _ reply: SyncReply, _ now: TimestampMilliseconds, _ actions: inout [GroupAction]
  ) {
    guard let waiting = member.awaitingSync else { return }
    members[member.identity.memberID]?.awaitingSync = nil
    actions.append(.reply(waiting, .sync(reply)))
    // While it waited its session did not run.
    restartSession(of: member.identity.memberID, now: now)
  }

  mutating func endSyncPhase() {
    syncDeadline = nil
    for memberID in members.keys { members[memberID]?.isPendingSync = false }
  }

  /// Members that have joined a generation but never asked for their share are taken for gone.
  mutating func syncDeadlineReached(_ now: TimestampMilliseconds, _ actions: inout [GroupAction]) {
    syncDeadline = nil
    let missing = membersInOrder.filter(\.isPendingSync)
    for member in missing { removeMember(member.identity.memberID, &actions) }
    if !missing.isEmpty { membersHaveLeft(now, &actions) }
  }
}
