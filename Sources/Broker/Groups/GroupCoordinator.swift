public import Coordination
internal import Glibc
public import Logging
public import Model
internal import Synchronization

/// The coordinator of the consumer groups whose shards this node leads: a thread for each shard, on which its groups' machines run.
///
/// Requests of any thread are queued. A shard's thread takes all there are, runs them, and answers what changes nothing. What they change becomes
/// durable in one go (group commit: while one round is being synced, the next gathers), and only then is answered, on the shard's thread.
public final class GroupCoordinator: Sendable {
  /// Where clients are told to find a coordinator.
  public struct Endpoint: Hashable, Sendable {
    public var nodeID: NodeID
    public var host: String
    public var port: Int32
    public init(nodeID: NodeID, host: String, port: Int32) {
      self.nodeID = nodeID
      self.host = host
      self.port = port
    }
  }

  private struct Led {
    var shards: [GroupShard?]
    /// Those that were released last: whoever leads next waits for them.
    var former: [GroupShard?]
    var isClosed = false
  }

  private let context: GroupShardContext
  private let led: Mutex<Led>
  /// Of a shard; nil while nobody leads it.
  let endpoint: @Sendable (_ shard: Int) -> Endpoint?

  /// Leads nothing yet.
  ///
  /// - Parameters:
  ///   - endpoint: who leads a shard, asked at each FindCoordinator; nil for nobody.
  ///   - topicPartitionExists: called on the shards' threads; offsets of what does not exist are not kept.
  ///   - now: milliseconds since 1970; sessions end by it, so it had better not jump: see `steadyClock`.
  public init(
    configuration: GroupConfiguration, persistence: any CoordinatorPersistence,
    endpoint: @escaping @Sendable (_ shard: Int) -> Endpoint?,
    topicPartitionExists: @escaping @Sendable (TopicPartition) -> Bool, logger: Logger,
    now: @escaping @Sendable () -> TimestampMilliseconds
  ) {
    self.endpoint = endpoint
    context = GroupShardContext(
      configuration: configuration, persistence: persistence, topicPartitionExists: topicPartitionExists, logger: logger,
      now: now)
    let none = [GroupShard?](repeating: nil, count: persistence.shardCount)
    led = Mutex(Led(shards: none, former: none))
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

  // MARK: Leading

  /// This node leads the shard from now on: its groups are read, and their members have a whole session from then on. Does not block; does
  /// nothing where it leads already.
  ///
  /// The shard's log is to be led first (`LogStore.lead`); until it is, the groups cannot be read, and it is tried again.
  public func lead(shard: Int) { lead(shard, table: nil) }

  /// As `lead(shard:)`, of every shard: for a node that is alone. Blocks until the groups are read.
  ///
  /// - Throws: what kept them from being read; some shards may be led.
  public func leadAll() throws {
    for shard in 0..<context.persistence.shardCount { lead(shard, table: try context.table(of: shard)) }
  }

  private func lead(_ shard: Int, table: GroupTable?) {
    led.withLock { led in
      guard !led.isClosed, led.shards[shard] == nil else { return }
      led.shards[shard] = GroupShard(shard, context, table: table, after: led.former[shard])
      led.former[shard] = nil
    }
  }

  /// This node leads the shard no more: whoever waits, and whoever asks from now on, hears NOT_COORDINATOR. Does not block; what is being made
  /// durable at this moment is, or fails with the shard's log.
  public func release(shard: Int) {
    let released = led.withLock { led in
      guard let known = led.shards[shard] else { return nil as GroupShard? }
      led.shards[shard] = nil
      led.former[shard] = known
      return known
    }
    released?.release()
  }

  /// Takes no more requests, finishes those that it has, answers who still waits with COORDINATOR_NOT_AVAILABLE, and
  /// returns when the threads have ended. Blocks; call it before the connections are drained, which wait for these answers.
  public func close() {
    let (shards, former) = led.withLock { led in
      led.isClosed = true
      return (led.shards, led.former)
    }
    for shard in shards { shard?.close() }
    for shard in shards + former { shard?.waitUntilFinished() }
  }

  /// The topics are no longer in the cluster's image; their committed offsets go too.
  public func topicsDeleted(_ topics: Set<String>) {
    // When an inbox is full the offsets stay behind until their retention is over; nobody can fetch by them.
    for shard in led.withLock({ $0.shards }) { shard?.put(.topicsDeleted(topics)) }
  }

  /// How many groups there are in the shards that this node leads.
  public var groupCount: Int { led.withLock { $0.shards }.reduce(0) { $0 + ($1?.groupCount ?? 0) } }

  /// Who coordinates a group; nil while nobody does, as far as this node knows.
  public func coordinator(of groupID: String) -> NodeID? { endpoint(shard(of: groupID))?.nodeID }

  // MARK: Requests

  func shard(of groupID: String) -> Int { context.persistence.shard(of: groupID) }

  private func put(_ event: CoordinatorEvent, to shard: Int) {
    guard let known = led.withLock({ $0.shards[shard] }) else { return event.refuse(.notCoordinator) }
    known.put(event)
  }

  /// Queues a request to a group; `reply` is called once, on its shard's thread (or on this one, if it is refused).
  func submit(_ request: GroupRequest, to groupID: String, reply: @escaping @Sendable (GroupReply) -> Void) {
    put(.request(groupID: groupID, request, reply: reply), to: shard(of: groupID))
  }

  /// Looks at some groups, each at a moment of its own shard.
  ///
  /// - Parameters:
  ///   - look: called for each of `groupIDs`, on their shards' threads, with why it cannot be looked at, or with the group's machine, if there is
  ///     one.
  ///   - reply: called once, with what `look` returned, in the order of `groupIDs`.
  func read<Part: Sendable>(
    _ groupIDs: [String], _ look: @escaping @Sendable (String, Result<GroupMachine?, ErrorCode>) -> Part,
    reply: @escaping @Sendable ([Part]) -> Void
  ) {
    let byShard = Dictionary(grouping: groupIDs.indices) { shard(of: groupIDs[$0]) }
    let gathering = Gathering<Part>(count: groupIDs.count, parts: byShard.count, reply)
    for (shard, indices) in byShard {
      put(
        .read(groupID: indices.count == 1 ? groupIDs[indices[0]] : nil) { groups in
          gathering.add(
            indices.map { index in
              (index, look(groupIDs[index], groups.map { $0[groupIDs[index]] }))
            })
        }, to: shard)
    }
  }

  /// Looks at all groups of the shards that this node leads, each shard at a moment of its own.
  ///
  /// - Parameter reply: called once, on a shard's thread or on this one.
  func readAll<Part: Sendable>(
    _ look: @escaping @Sendable ([GroupMachine]) -> Part, reply: @escaping @Sendable (Result<[Part], ErrorCode>) -> Void
  ) {
    let shards = led.withLock { $0.shards }.compactMap(\.self)
    let gathering = Gathering<Result<Part, ErrorCode>>(count: shards.count, parts: shards.count) { parts in
      reply(
        Result { () throws(ErrorCode) in
          var found: [Part] = []
          for part in parts {
            do throws(ErrorCode) { found.append(try part.get()) } catch {
              // It has another leader by now, where its groups are listed.
              if error != .notCoordinator { throw error }
            }
          }
          return found
        })
    }
    for (index, shard) in shards.enumerated() {
      shard.put(.read(groupID: nil) { groups in gathering.add([(index, groups.map { look($0.all) })]) })
    }
  }

  /// The committed offsets of one group, or of all (nil), by group; none where the coordinator is elsewhere, or has no time.
  public func committedOffsets(
    group: String?, reply: @escaping @Sendable ([String: [TopicPartition: CommittedOffset]]) -> Void
  ) {
    if let group {
      return read([group], { $1 }) { found in
        guard case .success(let machine?) = found[0] else { return reply([:]) }
        reply([group: machine.offsets])
      }
    }
    readAll({ groups in Dictionary(uniqueKeysWithValues: groups.map { ($0.groupID, $0.offsets) }) }) { found in
      guard case .success(let shards) = found else { return reply([:]) }
      reply(shards.reduce(into: [:]) { $0.merge($1) { $1 } })
    }
  }
}

/// Puts together what several shards answer.
private final class Gathering<Part: Sendable>: Sendable {
  private let state: Mutex<(parts: [Part?], open: Int)>
  private let reply: @Sendable ([Part]) -> Void

  /// - Parameter parts: calls of `add` that will come; `reply` is called with the last of them.
  init(count: Int, parts: Int, _ reply: @escaping @Sendable ([Part]) -> Void) {
    state = Mutex(([Part?](repeating: nil, count: count), parts))
    self.reply = reply
    if parts == 0 { reply([]) }
  }

  func add(_ some: [(index: Int, part: Part)]) {
    let all = state.withLock { state -> [Part]? in
      for (index, part) in some { state.parts[index] = part }
      state.open -= 1
      return state.open == 0 ? state.parts.compactMap(\.self) : nil
    }
    if let all { reply(all) }
  }
}
