public import Model

extension GroupMachine {
  /// Keeps offsets, if the request comes from a member of this generation, or if the group has no members.
  public mutating func commit(_ request: CommitRequest, token: RequestToken, now: TimestampMilliseconds) -> [GroupAction] {
    if let error = complaint(about: request) {
      let results = request.offsets.map { PartitionResult(partition: $0.partition, error: error) }
      return [.reply(token, .commit(results))]
    }
    var actions: [GroupAction] = []
    var results: [PartitionResult] = []
    if state == .dead { transition(to: .empty, now: now) }
    restartSession(of: request.member.memberID, now: now)
    for commit in request.offsets {
      guard commit.metadata.utf16.count <= configuration.offsetMetadataLengthMax else {
        results.append(PartitionResult(partition: commit.partition, error: .offsetMetadataTooLarge))
        continue
      }
      let committed = CommittedOffset(
        offset: commit.offset, leaderEpoch: commit.leaderEpoch, metadata: commit.metadata, commitTimestamp: now,
        expireTimestamp: request.retentionMilliseconds.map { now.saturatingAdd($0) })
      offsets[commit.partition] = committed
      actions.append(.persist(.offsetCommitted(commit.partition, committed)))
      results.append(PartitionResult(partition: commit.partition, error: .none))
    }
    actions.append(.reply(token, .commit(results)))
    dieIfNothingIsLeft()
    return actions
  }

  private func complaint(about request: CommitRequest) -> ErrorCode? {
    if request.generationID < 0, state == .empty || state == .dead { return nil }
    if state == .dead { return request.knowsGroupIDNotFound ? .groupIDNotFound : .illegalGeneration }
    // A simple consumer has no member id: once the group has members, only they may commit.
    if let error = complaint(about: request.member) { return error }
    if request.generationID != generationID { return .illegalGeneration }
    // While the group prepares a rebalance, members may still commit what they have consumed: they hear of it by the
    // heartbeat. Once the new generation has begun, what they consumed is no longer theirs.
    return state == .completingRebalance ? .rebalanceInProgress : nil
  }

  /// Removes committed offsets, except of topics that the group's members subscribe to.
  public mutating func deleteOffsets(_ partitions: [TopicPartition], token: RequestToken) -> [GroupAction] {
    if state == .dead { return [.reply(token, .deleteOffsets(.groupIDNotFound, []))] }
    if state != .empty, protocolType != ConsumerProtocol.type {
      return [.reply(token, .deleteOffsets(.nonEmptyGroup, []))]
    }
    var actions: [GroupAction] = []
    var results: [PartitionResult] = []
    for partition in partitions {
      // As in Kafka, what cannot be read may name every topic.
      if state != .empty, subscribedTopics?.contains(partition.topic) ?? true {
        results.append(PartitionResult(partition: partition, error: .groupSubscribedToTopic))
        continue
      }
      if offsets.removeValue(forKey: partition) != nil { actions.append(.persist(.offsetDeleted(partition))) }
      results.append(PartitionResult(partition: partition, error: .none))
    }
    actions.append(.reply(token, .deleteOffsets(.none, results)))
    dieIfNothingIsLeft()
    return actions
  }

  /// Topics are gone, and with them what was committed for them.
  public mutating func topicsDeleted(_ topics: Set<String>) -> [GroupAction] {
    let gone = offsets.keys.filter { topics.contains($0.topic) }.sorted()
    for partition in gone { offsets[partition] = nil }
    dieIfNothingIsLeft()
    return gone.map { .persist(.offsetDeleted($0)) }
  }

  /// Drops the offsets whose retention is over, and the group itself when nothing is left of it.
  ///
  /// A group that has had members keeps all its offsets until it has been empty for the retention time; one that is used
  /// now loses those of topics it has turned away from; a simple consumer's count from their own commit.
  public mutating func expireOffsets(now: TimestampMilliseconds) -> [GroupAction] {
    var actions: [GroupAction] = []
    for partition in offsets.keys.sorted() {
      guard let committed = offsets[partition], hasExpired(partition, committed, now) else { continue }
      offsets[partition] = nil
      actions.append(.persist(.offsetDeleted(partition)))
    }
    if state == .empty, offsets.isEmpty, pendingMembers.isEmpty {
      if isStored { actions.append(.persist(.groupDeleted)) }
      die()
    }
    return actions
  }

  private func hasExpired(_ partition: TopicPartition, _ committed: CommittedOffset, _ now: TimestampMilliseconds) -> Bool {
    let base: TimestampMilliseconds
    if protocolType == nil {
      base = committed.commitTimestamp
    } else if state == .empty {
      base = max(stateTimestamp, committed.commitTimestamp)
    } else if state == .stable, let subscribedTopics, !subscribedTopics.contains(partition.topic) {
      base = committed.commitTimestamp
    } else {
      return false
    }
    if let expireTimestamp = committed.expireTimestamp { return now >= expireTimestamp }
    return now >= base.saturatingAdd(configuration.offsetsRetentionMinutes.multipliedSaturating(by: 60_000))
  }
}

extension Int64 {
  /// Clients and configurations may name times beyond the end of time.
  fileprivate func saturatingAdd(_ other: Int64) -> Int64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? (other < 0 ? .min : .max) : sum
  }

  fileprivate func multipliedSaturating(by other: Int64) -> Int64 {
    let (product, overflow) = multipliedReportingOverflow(by: other)
    return overflow ? .max : product
  }
}
