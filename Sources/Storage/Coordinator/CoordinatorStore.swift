internal import Bytes
public import Coordination
internal import Model
internal import SQLite
internal import Synchronization

/// Consumer groups and committed offsets on disk: a fixed number of shards, a group in the one its id hashes to.
///
/// A shard is a log that the store's lanes write: what `apply` changes is one commit of it, on disk, and on every in-sync replica, on return.
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
    let outcome = commit([], to: log).outcome
    guard case .appended = outcome else { throw Refusal(outcome) }
    return try store.groups(in: log)
  }

  public func apply(_ changes: [GroupChanges], to shard: Int) throws(UnappliedChanges) {
    let log: PartitionLog
    do throws(StorageError) { log = try led(shard) } catch {
      throw UnappliedChanges(answer: .notCoordinator, isOutcomeKnown: true, cause: error)
    }
    let request = commit(changes, to: log)
    if case .appended = request.outcome { return }
    let refusal = Refusal(request.outcome)
    // Whoever leads now knows what became of it.
    let isDeposed = refusal.code == .notLeaderOrFollower || refusal.code == .unknownTopicOrPartition
    throw UnappliedChanges(
      answer: isDeposed ? .notCoordinator : .coordinatorNotAvailable, isOutcomeKnown: !request.isInLog, cause: refusal)
  }

  private func led(_ shard: Int) throws(StorageError) -> PartitionLog {
    let name = CoordinatorTopic.partition(shard)
    guard let log = store.attached(name) else { throw .unknownPartition(name) }
    guard !log.isReplica else { throw .notLeader(name) }
    return log
  }

  private func commit(_ changes: [GroupChanges], to log: PartitionLog) -> AppendRequest {
    let arrival = Arrival()
    let request = AppendRequest(changes, to: log, timeoutMilliseconds: timeoutMilliseconds, receiver: arrival)
    log.store.lane(of: log).submit([request])
    arrival.handover.take()
    return request
  }

  private final class Arrival: AppendReceiver {
    let handover = Handover<Void>()
    func appendsCompleted(_ group: [AppendRequest]) { handover.give(()) }
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
