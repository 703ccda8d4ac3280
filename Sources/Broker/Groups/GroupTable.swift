internal import Coordination
internal import Model

/// All groups of a shard, and the requests that wait for them. Lives on the shard's thread.
///
/// `settle` is the whole of the coordinator's work: it runs the events through their groups' machines, makes all changes
/// durable at once, and only then answers.
struct GroupTable {
  private(set) var machines: [String: GroupMachine] = [:]
  private let configuration: GroupConfiguration
  private let shard: Int
  private let persistence: any CoordinatorPersistence
  private let partitionExists: @Sendable (TopicPartition) -> Bool
  private var waiting: [RequestToken: Waiting] = [:]
  private var lastToken: UInt64 = 0
  private var deadlines = DeadlineQueue()
  private var offsetCheckDeadline: TimestampMilliseconds
  /// After a failure to make changes durable, deadlines are not acted on before this.
  private var resumeDeadline = TimestampMilliseconds.min

  private struct Waiting {
    var request: GroupRequest
    var reply: @Sendable (GroupReply) -> Void
  }

  /// What the events of one round come to, until it is durable.
  private struct Round {
    var now: TimestampMilliseconds
    /// The groups that may have to be put back, as they were; nil for one that did not exist.
    var before: [String: GroupMachine?] = [:]
    var changes: [GroupChanges] = []
    var indexOfChanges: [String: Int] = [:]
    var replies: [(groupID: String, token: RequestToken, reply: GroupReply)] = []
    var tokens: [String: [RequestToken]] = [:]
    var touched: Set<String> = []
  }

  static let pauseAfterFailureMilliseconds: Int64 = 1_000

  /// - Throws: what `load` throws.
  init(
    configuration: GroupConfiguration, shard: Int, persistence: any CoordinatorPersistence, now: TimestampMilliseconds,
    partitionExists: @escaping @Sendable (TopicPartition) -> Bool
  ) throws {
    self.configuration = configuration
    self.shard = shard
    self.persistence = persistence
    self.partitionExists = partitionExists
    offsetCheckDeadline = now + configuration.offsetsRetentionCheckIntervalMilliseconds
    for stored in try persistence.load(shard: shard) {
      let machine = GroupMachine(
        groupID: stored.groupID, configuration: configuration, restoring: stored.snapshot, offsets: stored.offsets,
        now: now)
      guard machine.state != .dead else { continue }
      machines[stored.groupID] = machine
      deadlines.note(machine.nextDeadline, of: stored.groupID)
    }
  }

  /// When `settle` has something to do even without an event.
  var nextDeadline: TimestampMilliseconds {
    max(min(deadlines.earliest ?? .max, offsetCheckDeadline), resumeDeadline)
  }

  /// - Returns: what kept the changes of this round from becoming durable, if something did. The groups that it changed are as before, its
  ///   requests to them have been answered, earlier ones still wait. Where the outcome is not known, the table counts no more.
  @discardableResult
  mutating func settle(_ events: [CoordinatorEvent], now: TimestampMilliseconds) -> UnappliedChanges? {
    var round = Round(now: now)
    var reads: [@Sendable (Result<GroupTable, ErrorCode>) -> Void] = []
    for event in events {
      switch event {
      case .request(let groupID, let request, let reply): perform(request, of: groupID, reply, &round)
      case .read(let read): reads.append(read)
      case .topicsDeleted(let topics):
        for groupID in machines.keys.sorted() {
          run(groupID, &round) { $0.topicsDeleted(topics) }
        }
      }
    }
    if now >= resumeDeadline { meetDeadlines(&round) }
    let failure = commit(&round)
    for (_, token, reply) in round.replies { waiting.removeValue(forKey: token)?.reply(reply) }
    let isLost = failure?.isOutcomeKnown == false
    for read in reads { read(isLost ? .failure(.coordinatorLoadInProgress) : .success(self)) }
    return failure
  }

  /// Answers everybody who waits, because the node stops.
  mutating func refuseAll(_ error: ErrorCode) {
    let all = waiting
    waiting = [:]
    for (_, entry) in all.sorted(by: { $0.key.rawValue < $1.key.rawValue }) { entry.reply(entry.request.refusal(error)) }
  }

  private mutating func perform(
    _ request: GroupRequest, of groupID: String, _ reply: @escaping @Sendable (GroupReply) -> Void, _ round: inout Round
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
        }, &round)
    case .deleteOffsets(let asked):
      let exists = asked.map(partitionExists)
      guard exists.contains(false) else { break }
      return enqueue(
        .deleteOffsets(zip(asked, exists).filter(\.1).map(\.0)), of: groupID,
        { answer in
          guard case .deleteOffsets(.none, let results) = answer else { return reply(answer) }
          reply(.deleteOffsets(.none, Self.results(asked, exists, results)))
        }, &round)
    default: break
    }
    enqueue(request, of: groupID, reply, &round)
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
    _ request: GroupRequest, of groupID: String, _ reply: @escaping @Sendable (GroupReply) -> Void, _ round: inout Round
  ) {
    lastToken += 1
    let token = RequestToken(lastToken)
    let now = round.now
    waiting[token] = Waiting(request: request, reply: reply)
    round.tokens[groupID, default: []].append(token)
    run(groupID, isVolatile: request.isVolatile, &round) { machine in
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

  private mutating func meetDeadlines(_ round: inout Round) {
    let now = round.now
    while let groupID = deadlines.next(dueBy: now) {
      round.touched.insert(groupID)
      if machines[groupID] != nil { run(groupID, &round) { $0.expire(now: now) } }
    }
    if now >= offsetCheckDeadline {
      offsetCheckDeadline = now + configuration.offsetsRetentionCheckIntervalMilliseconds
      for groupID in machines.keys.sorted() { run(groupID, &round) { $0.expireOffsets(now: now) } }
    }
  }

  /// Runs an event in place. Heartbeats, which are most of the events, take no copy of the group.
  private mutating func run(
    _ groupID: String, isVolatile: Bool = false, _ round: inout Round, _ event: (inout GroupMachine) -> [GroupAction]
  ) {
    if !isVolatile, round.before[groupID] == nil { round.before[groupID] = .some(machines[groupID]) }
    round.touched.insert(groupID)
    let actions = event(
      &machines[groupID, default: GroupMachine(groupID: groupID, configuration: configuration)])
    if machines[groupID]?.state == .dead { machines[groupID] = nil }
    for action in actions {
      switch action {
      case .reply(let token, let reply): round.replies.append((groupID, token, reply))
      case .persist(let change):
        if let index = round.indexOfChanges[groupID] {
          round.changes[index].changes.append(change)
        } else {
          round.indexOfChanges[groupID] = round.changes.count
          round.changes.append(GroupChanges(groupID: groupID, changes: [change]))
        }
      }
    }
  }

  /// Makes the round durable, or undoes it for the groups whose changes could not be made so.
  private mutating func commit(_ round: inout Round) -> UnappliedChanges? {
    var failure: UnappliedChanges?
    if !round.changes.isEmpty {
      do throws(UnappliedChanges) { try persistence.apply(round.changes, to: shard) } catch {
        failure = error
        resumeDeadline = round.now + Self.pauseAfterFailureMilliseconds
        let changed = Set(round.changes.map(\.groupID))
        for groupID in round.changes.map(\.groupID) {
          if let before = round.before[groupID] { machines[groupID] = before }
          for token in round.tokens[groupID] ?? [] {
            guard let entry = waiting.removeValue(forKey: token) else { continue }
            entry.reply(entry.request.refusal(error.answer))
          }
        }
        round.replies.removeAll { changed.contains($0.groupID) }
      }
    }
    for groupID in round.touched { deadlines.note(machines[groupID]?.nextDeadline, of: groupID) }
    return failure
  }
}
