internal import Bytes
public import Coordination
internal import Model
internal import SQLite
internal import Synchronization

/// Consumer groups and committed offsets on disk: a fixed number of shards, a group in the one its id hashes to.
///
/// A shard is a log that the store's lanes write: what `apply` changes is one commit of it, on disk, and on every in-sync replica, when that is said.
public final class CoordinatorStore: CoordinatorPersistence {
  private let store: LogStore
  public let shardCount: Int

  private let timeoutMilliseconds: Int64

  public convenience init(_ store: LogStore, shardCount: Int) {
    self.init(store, shardCount: shardCount, timeoutMilliseconds: Limits.coordinatorCommitMilliseconds)
  }

  /// - Parameter timeoutMilliseconds: for how long replicas are waited for.
  init(_ store: LogStore, shardCount: Int, timeoutMilliseconds: Int64) {
    self.store = store
    self.shardCount = shardCount
    self.timeoutMilliseconds = timeoutMilliseconds
  }

  /// CRC32C of the id, so that it is the same in every process.
  public func shard(of groupID: String) -> Int {
    var id = groupID
    return id.withUTF8 { Int(CRC32C.checksum(UnsafeRawBufferPointer($0)) % UInt32(shardCount)) }
  }

  /// Waits until everything in the shard is replicated: what is not may still be undone, and whoever was told of it would be told wrong.
  public func load(shard: Int) throws -> [StoredGroup] {
    let log = try led(shard)
    let handover = Handover<AppendOutcome>()
    commit([], to: log) { handover.give($0.outcome) }
    let outcome = handover.take()
    guard case .appended = outcome else { throw Refusal(outcome) }
    return try store.groups(in: log)
  }

  public func apply(
    _ changes: [GroupChanges], to shard: Int, completion: @escaping @Sendable (UnappliedChanges?) -> Void
  ) {
    let log: PartitionLog
    do throws(StorageError) { log = try led(shard) } catch {
      return completion(UnappliedChanges(answer: .notCoordinator, isOutcomeKnown: true, cause: error))
    }
    commit(changes, to: log) { request in
      if case .appended = request.outcome { return completion(nil) }
      let refusal = Refusal(request.outcome)
      // Whoever leads now knows what became of it.
      let isDeposed = refusal.code == .notLeaderOrFollower || refusal.code == .unknownTopicOrPartition
      completion(
        UnappliedChanges(
          answer: isDeposed ? .notCoordinator : .coordinatorNotAvailable, isOutcomeKnown: !request.isInLog, cause: refusal))
    }
  }

  /// As above, and waits: durable on return. Blocks.
  public func apply(_ changes: [GroupChanges], to shard: Int) throws(UnappliedChanges) {
    let handover = Handover<UnappliedChanges?>()
    apply(changes, to: shard) { handover.give($0) }
    if let failure = handover.take() { throw failure }
  }

  private func led(_ shard: Int) throws(StorageError) -> PartitionLog {
    let name = CoordinatorTopic.partition(shard)
    guard let log = store.attached(name) else { throw .unknownPartition(name) }
    guard !log.isReplica else { throw .notLeader(name) }
    return log
  }

  /// - Parameter completion: called on the shard's lane, or here.
  private func commit(
    _ changes: [GroupChanges], to log: PartitionLog, _ completion: @escaping @Sendable (AppendRequest) -> Void
  ) {
    let request = AppendRequest(
      changes, to: log, timeoutMilliseconds: timeoutMilliseconds, receiver: Arrival(completion: completion))
    log.store.lane(of: log).submit([request])
  }

  private final class Arrival: AppendReceiver {
    private let completion: @Sendable (AppendRequest) -> Void
    init(completion: @escaping @Sendable (AppendRequest) -> Void) { self.completion = completion }
    func appendsCompleted(_ group: [AppendRequest]) { for request in group { completion(request) } }
  }

  /// Why the lane did not do it.
  struct Refusal: Error, CustomStringConvertible {
    var code: ErrorCode
    var message: String
    var description: String { message.isEmpty ? "\(code)" : "\(message) (\(code))" }

    init(_ outcome: AppendOutcome) {
      guard case .rejected(let code, let message) = outcome else { preconditionFailure("\(outcome) is no refusal") }
      (self.code, self.message) = (code, message)
    }
  }
}
