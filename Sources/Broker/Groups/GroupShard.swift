internal import Coordination
internal import CoreMetrics
internal import Glibc
internal import Logging
internal import Model
internal import Synchronization

/// What all shards of a coordinator have in common.
struct GroupShardContext: Sendable {
  let configuration: GroupConfiguration
  let persistence: any CoordinatorPersistence
  let topicPartitionExists: @Sendable (TopicPartition) -> Bool
  let logger: Logger
  let now: @Sendable () -> TimestampMilliseconds

  /// - Throws: what kept the groups from being read.
  func table(of shard: Int) throws -> GroupTable {
    let stored = try persistence.load(shard: shard)
    return GroupTable(stored, configuration: configuration, now: now(), partitionExists: topicPartitionExists)
  }
}

/// The groups of one shard while this node leads it: a thread, on which their machines run, and what waits for it.
///
/// First the groups are read. Until then, and while they have to be read again, who asks hears COORDINATOR_LOAD_IN_PROGRESS.
final class GroupShard: Sendable {
  private let number: Int
  private let context: GroupShardContext
  private let inbox = CoordinatorInbox(eventsMax: Limits.coordinatorQueueMax)
  private let isLoaded = Atomic<Bool>(false)
  /// What is told to whoever comes when it is over, or waits then.
  private let lastWord = Atomic<Int16>(ErrorCode.coordinatorNotAvailable.rawValue)
  private let count = Atomic<Int>(0)

  /// Between two tries to read the groups.
  private static let retryMilliseconds: Int64 = 100

  /// Starts the thread.
  ///
  /// - Parameters:
  ///   - table: the groups, if they were read already.
  ///   - previous: the one that had the shard before in this node: it is waited for, since of a shard one thread writes.
  init(_ number: Int, _ context: GroupShardContext, table: GroupTable?, after previous: GroupShard?) {
    self.number = number
    self.context = context
    if let table {
      count.store(table.machines.count, ordering: .relaxed)
      isLoaded.store(true, ordering: .releasing)
    }
    startThread { [self] in
      previous?.inbox.waitUntilFinished()
      run(table)
    }
  }

  /// Groups that there are.
  var groupCount: Int { count.load(ordering: .relaxed) }

  /// Queues an event, or refuses it at once.
  func put(_ event: CoordinatorEvent) {
    var waits = false
    // Whoever deletes a topic does not come again.
    if case .topicsDeleted = event { waits = true }
    guard waits || isLoaded.load(ordering: .acquiring) else { return event.refuse(.coordinatorLoadInProgress) }
    if !inbox.put(event) { event.refuse(ErrorCode(rawValue: lastWord.load(ordering: .acquiring))) }
  }

  /// Another node leads the shard: whoever waits is told so, and the thread ends when what is being made durable is, or fails. Does not block.
  func release() {
    lastWord.store(ErrorCode.notCoordinator.rawValue, ordering: .releasing)
    for event in inbox.close(keeping: false) { event.refuse(.notCoordinator) }
  }

  /// Takes nothing more; what was queued is still done.
  func close() { inbox.close(keeping: true) }

  func waitUntilFinished() { inbox.waitUntilFinished() }

  // MARK: The thread

  private func run(_ initial: consuming GroupTable?) {
    var initial = initial
    var goneTopics: Set<String> = []
    while true {
      guard var table = initial ?? load(&goneTopics) else { break }
      initial = nil
      guard let unfinished = serve(&table, goneTopics) else { break }
      goneTopics = unfinished
    }
    inbox.finish()
  }

  /// - Parameter goneTopics: gets those whose deletion is heard of meanwhile.
  /// - Returns: nil when the end came before.
  private func load(_ goneTopics: inout Set<String>) -> GroupTable? {
    var complaint: String?
    while true {
      // Those who came before it was known that the groups have to be read.
      while let events = inbox.takeAll(waitingAtMost: 0, awaitsOutcome: false)?.events, !events.isEmpty {
        for event in events {
          if case .topicsDeleted(let topics) = event {
            goneTopics.formUnion(topics)
          } else {
            event.refuse(.coordinatorLoadInProgress)
          }
        }
      }
      do {
        let table = try context.table(of: number)
        count.store(table.machines.count, ordering: .relaxed)
        isLoaded.store(true, ordering: .releasing)
        return table
      } catch {
        // Once for each reason: it may be a disk, or replicas, that take their time.
        if complaint != "\(error)" {
          complaint = "\(error)"
          context.logger.warning(
            "the groups of a shard cannot be read yet", metadata: ["shard": "\(number)", "error": "\(error)"])
        }
      }
      guard inbox.rest(milliseconds: Self.retryMilliseconds) else {
        while let events = inbox.takeAll(waitingAtMost: 0, awaitsOutcome: false)?.events { refuse(events) }
        return nil
      }
    }
  }

  /// - Returns: topics whose offsets may still be there, where the groups are to be read again; nil at the end.
  private func serve(_ table: inout GroupTable, _ goneTopics: Set<String>) -> Set<String>? {
    let rounds = Counter(label: "quire_group_rounds_total")
    let failures = Counter(label: "quire_group_commit_failures_total")
    var isUnderWay = false
    if !goneTopics.isEmpty { _ = inbox.put(.topicsDeleted(goneTopics)) }
    // Deadlines of groups that are led elsewhere are nobody's here: the outcome is waited for.
    while let (events, outcome) = inbox.takeAll(
      waitingAtMost: isReleased ? Self.retryMilliseconds : table.nextDeadline - context.now(), awaitsOutcome: isUnderWay)
    {
      let now = context.now()
      if let outcome {
        isUnderWay = false
        table.ended(outcome.failure, now: now)
        if let failure = outcome.failure {
          failures.increment()
          context.logger.error(
            "changes of consumer groups could not be made durable",
            metadata: ["shard": "\(number)", "error": "\(failure.cause)", "outcome-is-known": "\(failure.isOutcomeKnown)"])
          if !failure.isOutcomeKnown {
            isLoaded.store(false, ordering: .releasing)
            return table.unfinishedTopics.union(refuse(events))
          }
        }
      }
      // What has gathered while the last changes were made durable belongs to another leader's groups.
      if isReleased {
        refuse(events)
        continue
      }
      let changes = table.settle(events, now: now)
      count.store(table.machines.count, ordering: .relaxed)
      if changes.isEmpty { continue }
      rounds.increment()
      isUnderWay = true
      context.persistence.apply(changes, to: number) { [inbox] in inbox.put(CoordinatorInbox.Outcome(failure: $0)) }
    }
    table.refuseAll(ErrorCode(rawValue: lastWord.load(ordering: .acquiring)))
    count.store(0, ordering: .relaxed)
    return nil
  }

  private var isReleased: Bool { lastWord.load(ordering: .acquiring) == ErrorCode.notCoordinator.rawValue }

  /// - Returns: topics that are said to be gone.
  @discardableResult
  private func refuse(_ events: [CoordinatorEvent]) -> Set<String> {
    var gone: Set<String> = []
    for event in events {
      event.refuse(ErrorCode(rawValue: lastWord.load(ordering: .acquiring)))
      if case .topicsDeleted(let topics) = event { gone.formUnion(topics) }
    }
    return gone
  }

  private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  private func startThread(_ run: @escaping @Sendable () -> Void) {
    var thread = pthread_t()
    let body = Unmanaged.passRetained(Body(run))
    let result = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, body.toOpaque())
    precondition(result == 0, "the operating system gives no thread for a shard of the groups: \(result)")
    pthread_detach(thread)
  }
}
