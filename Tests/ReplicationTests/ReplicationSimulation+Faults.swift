import Model
import Replication
import TestSupport

// What must hold, and what goes wrong.

extension ReplicationSimulation {
  // MARK: What must hold

  mutating func raised(_ id: NodeID, _ end: Int) {
    guard var node = nodes[id] else { return }
    node.highWatermark = end
    nodes[id] = node
    let common = min(end, committed.count)
    if node.log.count < end {
      violate("\(id) calls \(end) commits replicated and has \(node.log.count)")
    } else if node.log[..<common] != committed[..<common] {
      violate("\(id) calls other commits replicated than a leader before it")
    } else if end > committed.count {
      committed += node.log[committed.count..<end]
    }
  }

  /// What a consumer, or SQL, may read at a follower.
  mutating func checkShown(_ id: NodeID, _ end: Int) {
    guard let node = nodes[id] else { return }
    if end > committed.count || node.log[..<end] != committed[..<end] {
      violate("\(id) shows \(end) commits that are not the replicated ones")
    }
  }

  /// Answers clients.
  mutating func settle(_ id: NodeID) {
    guard var node = nodes[id], case .leader(let leader) = node.role else { return }
    node.waiting.removeAll { wait in
      switch leader.acknowledgement(of: CommitSequence(Int64(wait.end))) {
      case .pending: return false
      case .tooFewInSync: return true
      case .acknowledged:
        acknowledged.append(wait.value)
        return true
      }
    }
    nodes[id] = node
  }

  mutating func finish() {
    guard violation == nil else { return }
    let logs = ids.compactMap { nodes[$0]?.log }
    if Set(logs).count != 1 { return violate("the replicas differ when all is calm: \(logs.map(\.count))") }
    let values = logs[0].compactMap(\.value)
    if committed.count != logs[0].count { return violate("not everything is replicated when all is calm") }
    var place = values.startIndex
    for value in acknowledged.sorted() {
      guard let found = values[place...].firstIndex(of: value) else { return violate("\(value) was acknowledged and is lost") }
      place = found + 1
    }
    if decided.isr.count != 3 { violate("not all replicas are in sync when all is calm: \(decided)") }
  }

  // MARK: Faults

  mutating func fault() {
    guard !isCalm else { return }
    schedule(Int64.random(in: 30...500, using: &random), .fault)
    switch Int.random(in: 0..<10, using: &random) {
    case 0..<3: kill(ids.randomElement(using: &random) ?? ids[0])
    case 3:
      // All at once: a power cut.
      for id in ids { kill(id) }
    case 4..<8:
      let a = ids.randomElement(using: &random) ?? ids[0]
      let b = ids.randomElement(using: &random) ?? ids[1]
      // A node and itself: its way to the store.
      cut.insert([a, b])
      if chance(50) { cut.insert([b, a]) }
      schedule(Int64.random(in: 50...900, using: &random), .mendLinks)
    case 8:
      // One node from all the others.
      let a = ids.randomElement(using: &random) ?? ids[0]
      for b in ids where b != a {
        cut.insert([a, b])
        cut.insert([b, a])
      }
      schedule(Int64.random(in: 50...900, using: &random), .mendLinks)
    default: break
    }
  }

  mutating func kill(_ id: NodeID) {
    guard var node = nodes[id], node.isUp else { return }
    note("\(id) is killed with \(node.log.count - node.durable) unsynced")
    node.isUp = false
    node.life += 1
    // Any part of what was not synced may have reached the disk.
    let left = Int.random(in: node.durable...node.log.count, using: &random)
    node.log.removeLast(node.log.count - left)
    node.durable = left
    node.highWatermark = min(node.checkpointed, left)
    node.role = .none
    node.waiting = []
    node.sent = [:]
    nodes[id] = node
    schedule(Int64.random(in: 20...800, using: &random), .restart(id))
  }

  mutating func restart(_ id: NodeID) {
    guard var node = nodes[id], !node.isUp else { return }
    note("\(id) is back with \(node.log.count)")
    node.isUp = true
    node.seenVersion = 0
    // It leads no epoch again: the next one has to be given to it.
    node.seen = PartitionState(leader: nil, leaderEpoch: LeaderEpoch(-1), replicas: ids, isr: ids)
    nodes[id] = node
    schedule(5, .tick(id, life: node.life))
  }
}
