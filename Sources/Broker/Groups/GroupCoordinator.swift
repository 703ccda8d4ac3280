public import Coordination
internal import CoreMetrics
internal import Glibc
public import Logging
public import Model

/// The coordinator of all consumer groups: one thread, on which every group's machine runs.
///
/// Requests of any thread are queued. The thread takes all there are, runs them, makes what they change durable in one go
/// (group commit: while one round is being synced, the next gathers), and only then answers, on its own thread.
public final class GroupCoordinator: Sendable {
  /// Where clients are told to find this node.
  public struct Endpoint: Sendable {
    public var nodeID: NodeID
    public var host: String
    public var port: Int32
    public init(nodeID: NodeID, host: String, port: Int32) {
      self.nodeID = nodeID
      self.host = host
      self.port = port
    }
  }

  private let inbox = CoordinatorInbox(eventsMax: Limits.coordinatorQueueMax)
  let endpoint: @Sendable () -> Endpoint

  /// Reads the groups from disk and starts the thread; members of groups that are kept have a whole session from now on.
  ///
  /// - Parameter endpoint: asked at each FindCoordinator, since the port may become known only later.
  /// - Parameter topicPartitionExists: called on the coordinator's thread; offsets of what does not exist are not kept.
  /// - Parameter now: milliseconds since 1970; sessions end by it, so it had better not jump: see `steadyClock`.
  /// - Throws: what kept the groups from being read; no thread is left.
  public init(
    configuration: GroupConfiguration, persistence: any CoordinatorPersistence,
    endpoint: @escaping @Sendable () -> Endpoint,
    topicPartitionExists: @escaping @Sendable (TopicPartition) -> Bool, logger: Logger,
    now: @escaping @Sendable () -> TimestampMilliseconds
  ) throws {
    self.endpoint = endpoint
    let table = try GroupTable(
      configuration: configuration, persistence: persistence, now: now(), partitionExists: topicPartitionExists)
    let inbox = inbox
    Self.startThread { Self.run(table, inbox, logger, now) }
  }

  /// A clock that begins with the wall clock and then only runs forward, at the pace of the machine's steady clock.
  public static func steadyClock() -> @Sendable () -> TimestampMilliseconds {
    @Sendable func milliseconds(_ clock: clockid_t) -> Int64 {
      var time = timespec()
      clock_gettime(clock, &time)
      return Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000
    }
    let difference = milliseconds(CLOCK_REALTIME) - milliseconds(CLOCK_MONOTONIC)
    return { difference + milliseconds(CLOCK_MONOTONIC) }
  }

  /// Takes no more requests, finishes those that it has, answers who still waits with COORDINATOR_NOT_AVAILABLE, and
  /// returns when the thread has ended. Blocks; call it before the connections are drained, which wait for these answers.
  public func close() {
    inbox.close()
    inbox.waitUntilFinished()
  }

  /// The topics are no longer in the cluster's image; their committed offsets go too.
  public func topicsDeleted(_ topics: Set<String>) {
    // When the inbox is full the offsets stay behind until their retention is over; nobody can fetch by them.
    _ = inbox.put(.topicsDeleted(topics))
  }

  /// The committed offsets of one group, or of all (nil), by group.
  public func committedOffsets(
    group: String?, reply: @escaping @Sendable ([String: [TopicPartition: CommittedOffset]]) -> Void
  ) {
    let isQueued = read { table in
      var found: [String: [TopicPartition: CommittedOffset]] = [:]
      for (groupID, machine) in table.machines where group == nil || group == groupID { found[groupID] = machine.offsets }
      reply(found)
    }
    if !isQueued { reply([:]) }
  }

  /// Queues a request to a group; `reply` is called once, on the coordinator's thread (or on this one, if it is refused).
  func submit(_ request: GroupRequest, to groupID: String, reply: @escaping @Sendable (GroupReply) -> Void) {
    if !inbox.put(.request(groupID: groupID, request, reply: reply)) { reply(request.refusal(.coordinatorNotAvailable)) }
  }

  /// Queues a look at all groups.
  ///
  /// - Returns: false if the coordinator is closed or overrun; `look` is not called then.
  func read(_ look: @escaping @Sendable (GroupTable) -> Void) -> Bool { inbox.put(.read(look)) }

  // MARK: The thread

  private static func run(
    _ initial: consuming GroupTable, _ inbox: CoordinatorInbox, _ logger: Logger,
    _ now: @Sendable () -> TimestampMilliseconds
  ) {
    var table = initial
    let groups = Gauge(label: "quire_groups")
    let rounds = Counter(label: "quire_group_rounds_total")
    let failures = Counter(label: "quire_group_commit_failures_total")
    while let events = inbox.takeAll(waitingAtMost: table.nextDeadline - now()) {
      if let failure = table.settle(events, now: now()) {
        failures.increment()
        logger.error("changes of consumer groups could not be made durable", metadata: ["error": "\(failure)"])
      }
      rounds.increment()
      groups.record(Int64(table.machines.count))
    }
    table.refuseAll(.coordinatorNotAvailable)
    inbox.finish()
  }

  private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  private static func startThread(_ run: @escaping @Sendable () -> Void) {
    var thread = pthread_t()
    let body = Unmanaged.passRetained(Body(run))
    let result = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, body.toOpaque())
    precondition(result == 0, "the operating system gives no thread for the group coordinator: \(result)")
    pthread_detach(thread)
  }
}
