public import Model

/// All groups of a shard, and the requests that wait for them: a value that computes, on its caller's thread.
///
/// Events run through their groups' machines. What they change is given out as a round, to be made durable in one step; its replies leave when that
/// is said to have succeeded (`ended`). One round at a time is under way: groups that it does not concern go on meanwhile, and what they change is
/// the next one. Events of a group that it concerns wait for it, except heartbeats whose answer is the same whatever becomes of it.
public struct GroupTable: Sendable {
  /// With what is not durable yet.
  public internal(set) var machines: [String: GroupMachine] = [:]
  let configuration: GroupConfiguration
  let partitionExists: @Sendable (TopicPartition) -> Bool
  /// Requests without an answer that have reached their machines.
  var waiting: [RequestToken: Waiting] = [:]
  private var lastToken: UInt64 = 0
  private var deadlines = DeadlineQueue()
  private var offsetCheckDeadline: TimestampMilliseconds
  /// After a failure to make changes durable, deadlines are not acted on before this.
  private var resumeDeadline = TimestampMilliseconds.min
  /// Being made durable.
  private var underWay: Round?
  /// Gathers meanwhile.
  private var next = Round()
  /// What waits for the round that is under way, in the order in which it came.
  private var deferred: [CoordinatorEvent] = []
  /// Topics whose offsets are to go from a group when its round has ended.
  private var deferredTopics: [String: Set<String>] = [:]
  /// Topics whose offsets could not be removed.
  private var goneTopics: Set<String> = []
  private var touched: Set<String> = []

  struct Waiting: Sendable {
    var groupID: String
    var request: GroupRequest
    var reply: @Sendable (GroupReply) -> Void
  }

  /// Changes that become durable together.
  private struct Round {
    /// The groups that it changes, as they were; nil for one that did not exist.
    var before: [String: GroupMachine?] = [:]
    var changes: [GroupChanges] = []
    var indexOfChanges: [String: Int] = [:]
    var replies: [(token: RequestToken, reply: GroupReply)] = []
    /// Topics whose offsets it removes.
    var topics: Set<String> = []

    mutating func add(_ change: GroupChange, to groupID: String) {
      if let index = indexOfChanges[groupID] {
        changes[index].changes.append(change)
      } else {
        indexOfChanges[groupID] = changes.count
        changes.append(GroupChanges(groupID: groupID, changes: [change]))
      }
    }
  }

  public static let pauseAfterFailureMilliseconds: Int64 = 1_000

  /// The groups as they were stored: their members have a whole session from `now` on.
  ///
  /// - Parameter partitionExists: offsets of what does not exist are not kept.
  public init(
    _ stored: [StoredGroup], configuration: GroupConfiguration, now: TimestampMilliseconds,
    partitionExists: @escaping @Sendable (TopicPartition) -> Bool
  ) {
    self.configuration = configuration
    self.partitionExists = partitionExists
    offsetCheckDeadline = now + configuration.offsetsRetentionCheckIntervalMilliseconds
    for stored in stored {
      let machine = GroupMachine(
        groupID: stored.groupID, configuration: configuration, restoring: stored.snapshot, offsets: stored.offsets,
        now: now)
      guard machine.state != .dead else { continue }
      machines[stored.groupID] = machine
      deadlines.note(machine.nextDeadline, of: stored.groupID)
    }
  }

  /// When `settle` has something to do even without an event.
  public var nextDeadline: TimestampMilliseconds {
    max(goneTopics.isEmpty ? min(deadlines.earliest ?? .max, offsetCheckDeadline) : .min, resumeDeadline)
  }

  /// Runs the events, and the deadlines that have come.
  ///
  /// - Returns: a round that is to be made durable; `ended` is called when it is, or is not. Nothing while another is under way, or where nothing changes.
  public mutating func settle(_ events: [CoordinatorEvent], now: TimestampMilliseconds) -> [GroupChanges] {
    if underWay == nil { resume(now) }
    for event in events { perform(event, now) }
    if now >= resumeDeadline { meetDeadlines(now) }
    for groupID in touched { deadlines.note(machines[groupID]?.nextDeadline, of: groupID) }
    touched = []
    guard underWay == nil, !next.changes.isEmpty else { return [] }
    underWay = next
    next = Round()
    return underWay?.changes ?? []
  }

  /// What became of the round that was under way; the caller goes on with `settle`.
  ///
  /// - Parameter failure: known to have failed, its groups are as before, and everybody who waits for them is answered. Where the outcome is not
  ///   known, everybody is, and the table counts no more.
  public mutating func ended(_ failure: UnappliedChanges?, now: TimestampMilliseconds) {
    guard let round = underWay else { preconditionFailure("no round is under way") }
    underWay = nil
    touched.formUnion(round.before.keys)
    guard let failure else {
      for (token, reply) in round.replies { answer(token, reply) }
      return
    }
    goneTopics.formUnion(round.topics)
    guard failure.isOutcomeKnown else { return refuseAll(failure.answer) }
    resumeDeadline = now + Self.pauseAfterFailureMilliseconds
    for (groupID, before) in round.before {
      machines[groupID] = before
      machines[groupID]?.nobodyWaits(now: now)
    }
    // Those too who have waited for longer: replies of a connection leave in the order of its requests, so that a client whose later request is
    // refused does not hear of that, and hangs.
    for (token, entry) in inOrder(waiting.filter { round.before[$0.value.groupID] != nil }) {
      answer(token, entry.request.refusal(failure.answer))
    }
  }

  /// Answers everybody who waits; the table counts no more.
  public mutating func refuseAll(_ error: ErrorCode) {
    for (token, entry) in inOrder(waiting) { answer(token, entry.request.refusal(error)) }
    for event in deferred { event.refuse(error) }
    deferred = []
  }

  /// Topics that are gone and whose offsets may still be there.
  public var unfinishedTopics: Set<String> {
    deferredTopics.values.reduce(into: goneTopics.union(next.topics).union(underWay?.topics ?? [])) { $0.formUnion($1) }
  }

  private func inOrder(_ some: [RequestToken: Waiting]) -> [(key: RequestToken, value: Waiting)] {
    some.sorted { $0.key.rawValue < $1.key.rawValue }
  }

  private mutating func answer(_ token: RequestToken, _ reply: GroupReply) {
    waiting.removeValue(forKey: token)?.reply(reply)
  }

  // MARK: Events

  private mutating func perform(_ event: CoordinatorEvent, _ now: TimestampMilliseconds) {
    switch event {
    case .read(let groupID, let look):
      if let groupID, isUndurable(groupID) {
        putOff(event)
      } else {
        look(.success(durable))
      }
    case .topicsDeleted(let topics):
      for groupID in machines.keys.sorted() {
        if underWay?.before[groupID] != nil {
          deferredTopics[groupID, default: []].formUnion(topics)
        } else {
          remove(topics, of: groupID)
        }
      }
    case .request(let groupID, .heartbeat(let member, let generationID), let reply):
      if let answer = undisputedAnswer(toHeartbeatOf: member, generationID, in: groupID, now) {
        reply(.heartbeat(answer))
      } else if underWay?.before[groupID] != nil {
        putOff(event)
      } else {
        enqueue(.heartbeat(member, generationID: generationID), of: groupID, reply, now)
      }
    case .request(let groupID, let request, let reply):
      if underWay?.before[groupID] != nil { return putOff(event) }
      perform(request, of: groupID, reply, now)
    }
  }

  private mutating func putOff(_ event: CoordinatorEvent) {
    if deferred.count < Limits.coordinatorQueueMax { deferred.append(event) } else { event.refuse(.coordinatorNotAvailable) }
  }

  /// A round has ended: goes on with what has waited for it.
  private mutating func resume(_ now: TimestampMilliseconds) {
    let (topics, events) = (deferredTopics, deferred)
    (deferredTopics, deferred) = ([:], [])
    for groupID in topics.keys.sorted() where machines[groupID] != nil { remove(topics[groupID] ?? [], of: groupID) }
    for event in events { perform(event, now) }
  }

  func isUndurable(_ groupID: String) -> Bool { underWay?.before[groupID] != nil || next.before[groupID] != nil }

  private var durable: DurableGroups {
    DurableGroups(machines: machines, undurable: next.before.merging(underWay?.before ?? [:]) { mine, _ in mine })
  }

  /// The answer that the group gives whether what is not durable of it becomes so or not; nil where that matters, or nothing is changing.
  private mutating func undisputedAnswer(
    toHeartbeatOf member: MemberIdentity, _ generationID: Int32, in groupID: String, _ now: TimestampMilliseconds
  ) -> ErrorCode? {
    let isUnderWay = underWay?.before[groupID] != nil
    guard let before = isUnderWay ? underWay?.before[groupID] : next.before[groupID], let before, let after = machines[groupID]
    else { return nil }
    let answer = after.answer(toHeartbeatOf: member, generationID: generationID)
    guard answer == before.answer(toHeartbeatOf: member, generationID: generationID) else { return nil }
    guard answer == .none || answer == .rebalanceInProgress else { return answer }
    touched.insert(groupID)
    machines[groupID]?.restartSession(of: member.memberID, now: now)
    if isUnderWay {
      underWay?.before[groupID]??.restartSession(of: member.memberID, now: now)
    } else {
      next.before[groupID]??.restartSession(of: member.memberID, now: now)
    }
    return answer
  }

  private mutating func perform(
    _ request: GroupRequest, of groupID: String, _ reply: @escaping @Sendable (GroupReply) -> Void, _ now: TimestampMilliseconds
  ) {
    // Topics are looked up here and not where the request came in: one that is gone by now has sent, or will send,
    // `topicsDeleted`, and no offset of it can stay behind.
    switch request {
    case .commit(var commit):
      let asked = commit.offsets.map(\.partition)
      let exists = asked.map(partitionExists)
      guard exists.contains(false) else { break }
      commit.offsets = zip(commit.offsets, exists).filter(\.1).map(\.0)
      guard !commit.offsets.isEmpty else {
        return reply(.commit(Self.results(asked, exists, [])))
      }
      return enqueue(
        .commit(commit), of: groupID,
        { answer in
          guard case .commit(let results) = answer else { return reply(answer) }
          reply(.commit(Self.results(asked, exists, results)))
        }, now)
    case .deleteOffsets(let asked):
      let exists = asked.map(partitionExists)
      guard exists.contains(false) else { break }
      return enqueue(
        .deleteOffsets(zip(asked, exists).filter(\.1).map(\.0)), of: groupID,
        { answer in
          guard case .deleteOffsets(.none, let results) = answer else { return reply(answer) }
          reply(.deleteOffsets(.none, Self.results(asked, exists, results)))
        }, now)
    default: break
    }
    enqueue(request, of: groupID, reply, now)
  }

  /// Fits the results of the partitions that exist between those that do not.
  private static func results(
    _ asked: [TopicPartition], _ exists: [Bool], _ found: [PartitionResult]
  ) -> [PartitionResult] {
    var found = found.makeIterator()
    return zip(asked, exists).map { partition, exists in
      let known = exists ? found.next() : nil
      return known ?? PartitionResult(partition: partition, error: .unknownTopicOrPartition)
    }
  }

  private mutating func enqueue(
    _ request: GroupRequest, of groupID: String, _ reply: @escaping @Sendable (GroupReply) -> Void, _ now: TimestampMilliseconds
  ) {
    lastToken += 1
    let token = RequestToken(lastToken)
    waiting[token] = Waiting(groupID: groupID, request: request, reply: reply)
    var isVolatile = false
    if case .heartbeat = request { isVolatile = true }
    run(groupID, isVolatile: isVolatile) { machine in
      switch request {
      case .join(let join): machine.join(join, token: token, now: now)
      case .sync(let sync): machine.sync(sync, token: token, now: now)
      case .heartbeat(let member, let generationID):
        machine.heartbeat(member, generationID: generationID, token: token, now: now)
      case .leave(let members): machine.leave(members, token: token, now: now)
      case .commit(let commit): machine.commit(commit, token: token, now: now)
      case .deleteOffsets(let partitions): machine.deleteOffsets(partitions, token: token)
      case .delete: machine.delete(token: token)
      }
    }
  }

  private mutating func remove(_ topics: Set<String>, of groupID: String) {
    run(groupID) { $0.topicsDeleted(topics) }
    if next.before[groupID] != nil { next.topics.formUnion(topics) }
  }

  private mutating func meetDeadlines(_ now: TimestampMilliseconds) {
    if !goneTopics.isEmpty {
      // One that has come back may have offsets of its own by now.
      let topics = goneTopics.filter { !partitionExists(TopicPartition(topic: $0, partition: 0)) }
      goneTopics = []
      perform(.topicsDeleted(topics), now)
    }
    while let groupID = deadlines.next(dueBy: now) {
      // Of one that changes it is looked at again when that is over.
      if underWay?.before[groupID] != nil { continue }
      touched.insert(groupID)
      if machines[groupID] != nil { run(groupID) { $0.expire(now: now) } }
    }
    if now >= offsetCheckDeadline {
      offsetCheckDeadline = now + configuration.offsetsRetentionCheckIntervalMilliseconds
      for groupID in machines.keys.sorted() where underWay?.before[groupID] == nil {
        run(groupID) { $0.expireOffsets(now: now) }
      }
    }
  }

  /// Runs an event. Heartbeats, which are most of the events, take no copy of the group.
  private mutating func run(
    _ groupID: String, isVolatile: Bool = false, _ event: (inout GroupMachine) -> [GroupAction]
  ) {
    touched.insert(groupID)
    // Before the first change that is not durable: earlier events of the round may have been answered.
    let before: GroupMachine? = isVolatile || next.before[groupID] != nil ? nil : machines[groupID]
    let actions = event(
      &machines[groupID, default: GroupMachine(groupID: groupID, configuration: configuration)])
    if machines[groupID]?.state == .dead { machines[groupID] = nil }
    var isHeld = next.before[groupID] != nil
    for action in actions {
      guard case .persist(let change) = action else { continue }
      if !isHeld { next.before.updateValue(before, forKey: groupID) }
      isHeld = true
      next.add(change, to: groupID)
    }
    for case .reply(let token, let reply) in actions {
      if isHeld { next.replies.append((token, reply)) } else { answer(token, reply) }
    }
  }
}
