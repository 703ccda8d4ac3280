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
    try GroupTable(
      configuration: configuration, shard: shard, persistence: persistence, now: now(), partitionExists: topicPartitionExists)
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
    while true {
      guard var table = initial ?? load() else { break }
      initial = nil
      if serve(&table) { break }
    }
    inbox.finish()
  }

  /// - Returns: nil when the end came before.
  private func load() -> GroupTable? {
    var complaint: String?
    while true {
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
        while let events = inbox.takeAll(waitingAtMost: 0) { refuse(events) }
        return nil
      }
    }
  }

  /// - Returns: false where the groups are to be read again.
  private func serve(_ table: inout GroupTable) -> Bool {
    let rounds = Counter(label: "quire_group_rounds_total")
    let failures = Counter(label: "quire_group_commit_failures_total")
    while let events = inbox.takeAll(waitingAtMost: table.nextDeadline - context.now()) {
      let failure = table.settle(events, now: context.now())
      rounds.increment()
      count.store(table.machines.count, ordering: .relaxed)
      guard let failure else { continue }
      failures.increment()
      context.logger.error(
        "changes of consumer groups could not be made durable",
        metadata: ["shard": "\(number)", "error": "\(failure.cause)", "outcome-is-known": "\(failure.isOutcomeKnown)"])
      if !failure.isOutcomeKnown {
        isLoaded.store(false, ordering: .releasing)
        table.refuseAll(failure.answer)
        return false
      }
    }
    table.refuseAll(ErrorCode(rawValue: lastWord.load(ordering: .acquiring)))
    count.store(0, ordering: .relaxed)
    return true
  }

  private func refuse(_ events: [CoordinatorEvent]) {
    for event in events { event.refuse(ErrorCode(rawValue: lastWord.load(ordering: .acquiring))) }
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
