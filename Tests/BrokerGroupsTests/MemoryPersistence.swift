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
    var brokenGroups: Set<String> = []
    var beforeApply: (@Sendable () -> Void)?
  }
  private let state = Mutex(State())

  var rounds: [[GroupChanges]] { state.withLock { $0.rounds } }
  var isBroken: Bool {
    get { state.withLock { $0.isBroken } }
    set { state.withLock { $0.isBroken = newValue } }
  }
  /// Groups of a shard that fails, while the others work.
  func breakGroups(_ groupIDs: Set<String>) { state.withLock { $0.brokenGroups = groupIDs } }
  func beforeApply(_ look: @escaping @Sendable () -> Void) { state.withLock { $0.beforeApply = look } }

  func load() throws -> [StoredGroup] { state.withLock { Array($0.groups.values) } }

  func apply(_ changes: [GroupChanges]) throws(UnappliedChanges) {
    state.withLock { $0.beforeApply }?()
    let unapplied: Set<String> = state.withLock { state in
      let all = Set(changes.map(\.groupID))
      let unapplied = state.isBroken ? all : all.intersection(state.brokenGroups)
      if unapplied.count < all.count { state.rounds.append(changes.filter { !unapplied.contains($0.groupID) }) }
      for group in changes where !unapplied.contains(group.groupID) {
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
      return unapplied
    }
    if !unapplied.isEmpty { throw UnappliedChanges(groupIDs: unapplied, cause: Failure()) }
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
