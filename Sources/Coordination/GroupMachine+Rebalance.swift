import Model

extension GroupMachine {
  /// Asks every member to join again; waits for them at most the longest rebalance timeout.
  mutating func prepareRebalance(_ now: TimestampMilliseconds, _ actions: inout [GroupAction]) {
    if state == .completingRebalance {
      for member in membersInOrder {
        members[member.identity.memberID]?.assignment = []
        answerSync(of: member, SyncReply(error: .rebalanceInProgress), now, &actions)
      }
    }
    endSyncPhase()
    let isInitial = state == .empty
    transition(to: .preparingRebalance, now: now)
    if isInitial {
      // The group has just begun: more members are likely to come, and each would cost another rebalance.
      let delay = configuration.initialRebalanceDelayMilliseconds
      joinPhase = JoinPhase(
        deadline: now + delay,
        initial: .init(delayMilliseconds: delay, remainingMilliseconds: max(rebalanceTimeoutMilliseconds - delay, 0)))
    } else {
      joinPhase = JoinPhase(deadline: now + rebalanceTimeoutMilliseconds)
      completeJoinIfAllHaveJoined(now, &actions)
    }
  }

  /// The members have changed otherwise than by joining.
  mutating func membersHaveLeft(_ now: TimestampMilliseconds, _ actions: inout [GroupAction]) {
    switch state {
    case .stable, .completingRebalance: prepareRebalance(now, &actions)
    case .preparingRebalance: completeJoinIfAllHaveJoined(now, &actions)
    case .empty, .dead: break
    }
  }

  mutating func completeJoinIfAllHaveJoined(_ now: TimestampMilliseconds, _ actions: inout [GroupAction]) {
    guard state == .preparingRebalance, let joinPhase, joinPhase.initial == nil, pendingMembers.isEmpty,
      members.values.allSatisfy({ $0.awaitingJoin != nil })
    else { return }
    completeJoin(now, &actions)
  }

  /// The time to join is over, or the delay of a first rebalance is, which is extended while members keep coming.
  mutating func joinDeadlineReached(_ now: TimestampMilliseconds, _ actions: inout [GroupAction]) {
    if let initial = joinPhase?.initial, initial.hasNewMember, initial.remainingMilliseconds > 0 {
      let delay = min(configuration.initialRebalanceDelayMilliseconds, initial.remainingMilliseconds)
      joinPhase = JoinPhase(
        deadline: now + delay,
        initial: .init(
          delayMilliseconds: delay,
          remainingMilliseconds: max(initial.remainingMilliseconds - initial.delayMilliseconds, 0)))
    } else {
      completeJoin(now, &actions)
    }
  }

  /// Begins a generation with the members that are there.
  private mutating func completeJoin(_ now: TimestampMilliseconds, _ actions: inout [GroupAction]) {
    // Static members may be restarting: only their session timeout removes them.
    for member in membersInOrder where member.awaitingJoin == nil && member.identity.instanceID == nil {
      removeMember(member.identity.memberID, &actions)
    }
    if !members.isEmpty, !electJoinedLeader() {
      // Only static members, none of which has come back yet.
      joinPhase = JoinPhase(deadline: now + max(rebalanceTimeoutMilliseconds, 1))
      return
    }
    joinPhase = nil
    generationID = generationID == .max ? 1 : generationID + 1
    if members.isEmpty {
      protocolName = nil
      subscribedTopics = protocolType == ConsumerProtocol.type ? [] : nil
      transition(to: .empty, now: now)
      persist(&actions)
      return
    }
    protocolName = selectProtocol()
    subscribedTopics = topicsSubscribed()
    transition(to: .completingRebalance, now: now)
    syncDeadline = now + rebalanceTimeoutMilliseconds
    for member in membersInOrder {
      let memberID = member.identity.memberID
      if let waiting = member.awaitingJoin {
        let reply = joinReply(for: memberID, withMembers: memberID == leaderID)
        actions.append(.reply(waiting, .join(reply)))
      }
      members[memberID]?.awaitingJoin = nil
      members[memberID]?.isNew = false
      members[memberID]?.isPendingSync = true
      restartSession(of: memberID, now: now)
    }
  }

  /// The leader must be somebody who is there to assign.
  private mutating func electJoinedLeader() -> Bool {
    if let leaderID, members[leaderID]?.awaitingJoin != nil { return true }
    guard let next = membersInOrder.first(where: { $0.awaitingJoin != nil }) else { return false }
    leaderID = next.identity.memberID
    return true
  }

  /// Each member votes for the first of its protocols that all support; of equally many votes the earlier one wins.
  func selectProtocol() -> String? {
    let inOrder = membersInOrder
    guard let first = inOrder.first else { return nil }
    let candidates = Set(
      first.protocols.map(\.name).filter { name in inOrder.allSatisfy { $0.supports(name) } })
    var votes: [(name: String, count: Int)] = []
    for member in inOrder {
      guard let vote = member.protocols.first(where: { candidates.contains($0.name) })?.name else { continue }
      if let index = votes.firstIndex(where: { $0.name == vote }) {
        votes[index].count += 1
      } else {
        votes.append((vote, 1))
      }
    }
    return votes.reduce(nil as (name: String, count: Int)?) { best, next in
      best.map { $0.count >= next.count ? $0 : next } ?? next
    }?.name
  }

  /// - Returns: nil if the group is not one of consumers, or a member's subscription cannot be read.
  func topicsSubscribed() -> Set<String>? {
    guard protocolType == ConsumerProtocol.type, let protocolName else { return nil }
    var all: Set<String> = []
    for member in members.values {
      guard let topics = ConsumerProtocol.topics(inSubscription: member.metadata(for: protocolName)) else { return nil }
      all.formUnion(topics)
    }
    return all
  }

  /// Takes a member out, answering what it waits for. The caller goes on with `membersHaveLeft`.
  mutating func removeMember(_ memberID: String, _ actions: inout [GroupAction]) {
    guard let member = members.removeValue(forKey: memberID) else { return }
    if let instanceID = member.identity.instanceID { staticMembers[instanceID] = nil }
    if let waiting = member.awaitingJoin { refuseJoin(waiting, .unknownMemberID, memberID: "", &actions) }
    if let waiting = member.awaitingSync { actions.append(.reply(waiting, .sync(SyncReply(error: .unknownMemberID)))) }
    if leaderID == memberID { leaderID = membersInOrder.first?.identity.memberID }
  }
}
