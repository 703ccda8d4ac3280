import Coordination
import Model
import Synchronization

@testable import Broker

/// What a disk would keep, and a way to have it fail.
final class MemoryPersistence: CoordinatorPersistence {
  struct Failure: Error {}
  private struct State {
    var groups: [String: StoredGroup] = [:]
    var rounds: [[GroupChanges]] = []
    var isBroken = false
    var brokenShards: Set<Int> = []
    var isOutcomeKnown = true
    var beforeApply: (@Sendable () -> Void)?
  }
  private let state = Mutex(State())

  var rounds: [[GroupChanges]] { state.withLock { $0.rounds } }
  var isBroken: Bool {
    get { state.withLock { $0.isBroken } }
    set { state.withLock { $0.isBroken = newValue } }
  }
  /// Shards that fail, while the others work.
  func breakShards(_ shards: Set<Int>) { state.withLock { $0.brokenShards = shards } }
  /// A failure may have come after the change was made: it is made.
  func loseOutcomes() { state.withLock { ($0.isBroken, $0.isOutcomeKnown) = (true, false) } }
  func beforeApply(_ look: @escaping @Sendable () -> Void) { state.withLock { $0.beforeApply = look } }

  let shardCount: Int
  init(shardCount: Int = 1) { self.shardCount = shardCount }
  /// By the last digit of the id.
  func shard(of groupID: String) -> Int { (groupID.last?.wholeNumberValue ?? 0) % shardCount }

  func load() -> [StoredGroup] { state.withLock { Array($0.groups.values) } }
  func load(shard: Int) throws -> [StoredGroup] {
    try state.withLock { state in
      if state.brokenShards.contains(shard) { throw Failure() }
      return state.groups.values.filter { self.shard(of: $0.groupID) == shard }
    }
  }

  func apply(_ changes: [GroupChanges], to shard: Int, completion: @escaping @Sendable (UnappliedChanges?) -> Void) {
    completion(apply(changes, to: shard))
  }

  func apply(_ changes: [GroupChanges], to shard: Int) -> UnappliedChanges? {
    state.withLock { $0.beforeApply }?()
    return state.withLock { state -> UnappliedChanges? in
      let isBroken = state.isBroken || state.brokenShards.contains(shard)
      let failure = UnappliedChanges(
        answer: .coordinatorNotAvailable, isOutcomeKnown: state.isOutcomeKnown, cause: Failure())
      if isBroken, state.isOutcomeKnown { return failure }
      state.rounds.append(changes)
      for group in changes {
        var stored = state.groups[group.groupID] ?? StoredGroup(groupID: group.groupID, snapshot: nil, offsets: [:])
        for change in group.changes {
          switch change {
          case .groupPut(let snapshot): stored.snapshot = snapshot
          case .groupDeleted: stored = StoredGroup(groupID: group.groupID, snapshot: nil, offsets: [:])
          case .offsetCommitted(let partition, let committed): stored.offsets[partition] = committed
          case .offsetDeleted(let partition): stored.offsets[partition] = nil
          }
        }
        state.groups[group.groupID] = stored.snapshot == nil && stored.offsets.isEmpty ? nil : stored
      }
      if isBroken { (state.isBroken, state.isOutcomeKnown) = (false, true) }
      return isBroken ? failure : nil
    }
  }
}

/// Replies in the order they came.
final class Answers: Sendable {
  private let lines = Mutex<[String]>([])
  func add(_ line: String) { lines.withLock { $0.append(line) } }
  /// The replies since the last call.
  func take() -> [String] {
    lines.withLock { lines in
      defer { lines = [] }
      return lines
    }
  }
}
