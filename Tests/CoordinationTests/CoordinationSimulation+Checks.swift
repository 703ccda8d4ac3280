import Model

@testable import Coordination

/// What must hold, whatever happens.
extension CoordinationSimulation {
  /// Changes that nobody can undo any more.
  mutating func replicate(_ entries: [Entry]) {
    for entry in entries {
      for group in entry.changes {
        for change in group.changes { check(change, of: group.groupID) }
        Self.fold([group], into: &stored)
      }
    }
  }

  private mutating func check(_ change: GroupChange, of groupID: String) {
    let known = stored[groupID]
    switch change {
    case .groupPut(let snapshot):
      let generation = known?.snapshot?.generationID ?? 0
      note("generation \(snapshot.generationID) of \(snapshot.members.map(\.identity.memberID)) is stored")
      if snapshot.generationID < generation { violate("generation \(snapshot.generationID) is stored after \(generation)") }
    case .offsetCommitted(let partition, let committed):
      guard let id = Int(committed.metadata) else { return }
      durableCommits.insert(id)
      let before = known?.offsets[partition]?.offset ?? 0
      if committed.offset < before { violate("\(partition) goes from \(before) back to \(committed.offset), by commit \(id)") }
      let request = requests[id]
      guard !clients[request.client].isSimple else { return }
      if request.generation != known?.snapshot?.generationID {
        violate("commit \(id) of generation \(request.generation) is kept in \(known?.snapshot?.generationID ?? -1)")
      }
      if known?.snapshot?.members.contains(where: { $0.identity.memberID == request.memberID }) != true {
        violate("commit \(id) of \(request.memberID) is kept, who is no member")
      }
    case .groupDeleted, .offsetDeleted: violate("\(change) in \(groupID)")
    }
  }

  /// When a reply leaves its node.
  mutating func check(_ answer: Answer, to id: Int) {
    let request = requests[id]
    switch (answer, request.kind) {
    case (.group(.commit(let results)), .commit(let offsets)):
      guard results.allSatisfy({ $0.error == .none }) else { return }
      if !durableCommits.contains(id) { violate("commit \(id) is acknowledged and not replicated") }
      acknowledgements += 1
      for (partition, offset) in offsets { acknowledged[partition] = max(acknowledged[partition] ?? 0, offset) }
    case (.offsets(.success(let offsets)), _):
      // One that was deposed and does not know it may have older ones; nobody whom it tells can commit behind them.
      guard let arrival = request.arrival, arrival.node == leader, nodes[leader].heardEpoch == epoch else { return }
      for (partition, least) in request.acknowledged
      where clients[request.client].isSimple == (partition == 100) && offsets[partition] ?? 0 < least {
        violate("\(least) was acknowledged of \(partition), and \(offsets[partition] ?? 0) is read by \(id)")
      }
    case (.group(.join(let join)), _):
      if join.error == .none, !join.members.isEmpty, join.leaderID != join.memberID {
        violate("a follower is told the members")
      }
    case (.group(.sync(let sync)), _):
      if sync.error == .none, !sync.assignment.isEmpty { check(sync, request) }
    default: break
    }
  }

  private mutating func check(_ sync: SyncReply, _ request: Request) {
    let parts = String(decoding: sync.assignment, as: UTF8.self).split(separator: "|", omittingEmptySubsequences: false)
    guard parts.count == 3, let generation = Int32(parts[0]), let origin = Int(parts[1]) else {
      return violate("a share is no share")
    }
    if generation != request.generation { violate("a share of \(generation) is handed out in \(request.generation)") }
    if assignments[generation, default: origin] != origin {
      violate("shares of two assignments, \(assignments[generation] ?? -1) and \(origin), are handed out in \(generation)")
    }
    assignments[generation] = origin
    let owner = clients[request.client].instance ?? request.memberID
    for partition in parts[2].split(separator: ",").compactMap({ Int($0) }) {
      let other = owners[generation, default: [:]].updateValue(owner, forKey: partition)
      if let other, other != owner { violate("\(other) and \(owner) have \(partition) in \(generation)") }
    }
  }

  /// What is in memory is what a reader of the log would have.
  mutating func compare(_ node: Int) {
    guard mutation == nil, leader == node, nodes[node].heardEpoch == epoch, nodes[node].tail.isEmpty,
      let table = nodes[node].table
    else { return }
    let settled = Set(table.machines.keys).union(stored.keys)
    for groupID in settled.sorted() where !table.isUndurable(groupID) {
      let (machine, known) = (table.machines[groupID], stored[groupID])
      if machine?.offsets ?? [:] != known?.offsets ?? [:] {
        violate("the offsets of \(groupID) in memory are not those in the log")
      }
      guard let machine, machine.state == .stable else { continue }
      if machine.snapshot() != known?.snapshot { violate("the members of \(groupID) in memory are not those in the log") }
    }
  }

  /// After the calm.
  mutating func finish() {
    guard violation == nil else { return }
    compare(leader)
    for (id, request) in requests.enumerated() where request.answers == 0 && request.sentAt < now - 3_000 {
      guard let arrival = request.arrival, nodes[arrival.node].life == arrival.life else { continue }
      violate("\(request.kind) \(id), which arrived at node \(arrival.node), was never answered")
    }
    let members = clients.filter { !$0.isSimple }
    guard let machine = nodes[leader].table?.machines["g"] else { return violate("there is no group in the end") }
    if machine.state != .stable || machine.members.count != members.count {
      violate("in the end the group is \(machine.state) with \(machine.members.count) members")
    }
    for (id, member) in members.enumerated() where !member.isMember || member.generation != machine.generationID {
      violate("in the end client \(id) is not in generation \(machine.generationID): \(member)")
    }
    if members.flatMap(\.share).sorted() != Self.partitions { violate("in the end the shares are \(members.map(\.share))") }
  }
}
