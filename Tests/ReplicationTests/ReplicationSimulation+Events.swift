import Model
import Replication
import TestSupport

// What happens: to the cluster, to roles, and between replicas.

extension ReplicationSimulation {
  // MARK: Events

  mutating func handle(_ event: Event) {
    switch event {
    case .deliver(let from, let to, let life, let message):
      guard let node = nodes[to], node.isUp, node.life == life else { return }
      receive(message, from, at: to)
    case .synced(let id, let life, let end, let epoch): synced(id, life, end, epoch)
    case .tick(let id, let life): tick(id, life)
    case .watch(let id, let life, let state, let version, let alive): watch(id, life, state, version, alive)
    case .change(let state, let expected):
      // Who asked learns it from the watch, as everybody does.
      if expected == version {
        decided = state
        version += 1
        note("decided \(state)")
        publish()
      }
    case .heartbeat(let id):
      if nodes[id]?.isUp == true, storeDelay(id) != nil { lastHeartbeat[id] = now }
      schedule(60, .heartbeat(id))
    case .expire:
      let next = Set(ids.filter { now - (lastHeartbeat[$0] ?? 0) < Self.sessionMilliseconds })
      if next != alive {
        alive = next
        note("alive \(next.sorted())")
      }
      // A watch that got lost comes again.
      publish()
      schedule(50, .expire)
    case .write: write()
    case .fault: fault()
    case .restart(let id): restart(id)
    case .mendLinks: cut = []
    }
  }

  mutating func write() {
    schedule(isCalm ? 50 : Int64.random(in: 1...25, using: &random), .write)
    guard let id = ids.randomElement(using: &random), var node = nodes[id], node.isUp, case .leader(var leader) = node.role,
      leader.hasEnoughInSync
    else { return }
    for _ in 0..<Int.random(in: 1...3, using: &random) {
      lastValue += 1
      node.log.append(Entry(epoch: leader.epoch, value: lastValue))
      node.waiting.append((node.log.count, lastValue))
    }
    leader.appended(to: CommitSequence(Int64(node.log.count)))
    node.role = .leader(leader)
    nodes[id] = node
    syncLater(id, leader.epoch)
    ship(id)
  }

  mutating func syncLater(_ id: NodeID, _ epoch: LeaderEpoch) {
    guard let node = nodes[id] else { return }
    schedule(
      Int64.random(in: 1...12, using: &random), .synced(id, life: node.life, end: node.log.count, role: epoch))
  }

  mutating func synced(_ id: NodeID, _ life: Int, _ end: Int, _ epoch: LeaderEpoch) {
    guard var node = nodes[id], node.isUp, node.life == life else { return }
    switch node.role {
    case .leader(var leader) where leader.epoch == epoch:
      node.durable = max(node.durable, end)
      let actions = leader.synced(to: CommitSequence(Int64(end)))
      node.role = .leader(leader)
      nodes[id] = node
      act(id, actions)
    case .follower(var follower, let leader) where follower.leaderEpoch == epoch && end <= node.log.count:
      node.durable = max(node.durable, end)
      let actions = follower.synced(to: CommitSequence(Int64(end)))
      node.role = .follower(follower, leader: leader)
      nodes[id] = node
      act(id, actions, leader, follower.leaderEpoch)
    default: break
    }
  }

  mutating func tick(_ id: NodeID, _ life: Int) {
    guard var node = nodes[id], node.life == life else { return }
    schedule(20, .tick(id, life: life))
    guard node.isUp else { return }
    if chance(20) { node.checkpointed = node.highWatermark }
    nodes[id] = node
    switch node.role {
    case .leader(var leader):
      var actions: [LeaderReplica.Action] = []
      for other in ids where other != id {
        actions += leader.session(of: other, isAlive: node.seenAlive.contains(other), now: now)
      }
      actions += leader.tick(now: now)
      nodes[id]?.role = .leader(leader)
      act(id, actions)
      ship(id)
    case .follower(let follower, let leader):
      if chance(30) { send(.replica(follower.repeated(), leaderEpoch: follower.leaderEpoch), from: id, to: leader) }
    case .none:
      if node.seen.leaderEpoch <= node.led, let next = node.seen.restarted(id, alive: node.seenAlive) {
        propose(next, id)
      }
    }
    // The controller is whichever node takes itself for the first one: the store lets only one of several changes through.
    if let state = nodes[id]?.seen, node.seenAlive.min() == id {
      let candidates =
        mutation == .electsAnybody
        ? PartitionState(
          leader: state.leader, leaderEpoch: state.leaderEpoch, replicas: state.replicas.shuffled(using: &random),
          isr: state.replicas) : state
      var next = candidates.elected(alive: node.seenAlive, allowsUnclean: false)
      // Not at the end: replicas are compared then.
      if next == nil, now < end - 1_000, chance(2) { next = state.preferringFirst(alive: node.seenAlive) }
      if let next { propose(next, id) }
    }
  }

  mutating func propose(_ state: PartitionState, _ id: NodeID) {
    guard let node = nodes[id], let delay = storeDelay(id) else { return }
    schedule(delay, .change(state, expected: node.seenVersion))
  }

  mutating func watch(_ id: NodeID, _ life: Int, _ state: PartitionState, _ version: Int, _ alive: Set<NodeID>) {
    guard var node = nodes[id], node.isUp, node.life == life, version >= node.seenVersion else { return }
    node.seenAlive = alive
    let isNew = version > node.seenVersion
    node.seenVersion = version
    let before = node.seen
    node.seen = state
    nodes[id] = node
    guard isNew else { return }
    if state.leaderEpoch > before.leaderEpoch { return changeRole(id, state) }
    if case .leader(var leader) = node.role, leader.epoch == state.leaderEpoch {
      let actions = leader.decided(isr: state.isr, now: now)
      nodes[id]?.role = .leader(leader)
      act(id, actions)
    }
  }

  mutating func changeRole(_ id: NodeID, _ state: PartitionState) {
    guard var node = nodes[id] else { return }
    if state.leader == id, state.leaderEpoch <= node.led {
      // An epoch of an earlier life. The tick asks for another.
      nodes[id]?.role = .none
      return
    }
    // Everything is synced before a role begins.
    node.durable = node.log.count
    node.waiting = []
    let end = CommitSequence(Int64(node.log.count))
    let highWatermark = CommitSequence(Int64(node.highWatermark))
    if state.leader == id {
      elections += 1
      note("\(id) leads epoch \(state.leaderEpoch) from \(end)")
      // Whoever hears late that it was elected may lead an epoch that is over: harmless, since nobody follows.
      let isCurrent = decided.leaderEpoch == state.leaderEpoch
      if isCurrent, node.log.count < committed.count || Array(node.log[..<committed.count]) != committed {
        violate("\(id) leads epoch \(state.leaderEpoch) without all that was replicated")
      }
      var leader = LeaderReplica(
        nodeID: id, partition: state, settings: Self.settings, durableEnd: end, highWatermark: highWatermark, now: now)
      node.log.append(Entry(epoch: state.leaderEpoch, value: nil))
      leader.appended(to: CommitSequence(Int64(node.log.count)))
      node.sent = [:]
      node.led = state.leaderEpoch
      node.role = .leader(leader)
      nodes[id] = node
      syncLater(id, state.leaderEpoch)
    } else if let leader = state.leader {
      var actions: [FollowerReplica.Action] = []
      let follower = FollowerReplica(
        leaderEpoch: state.leaderEpoch, history: history(node.log), end: end, highWatermark: highWatermark, actions: &actions)
      node.role = .follower(follower, leader: leader)
      nodes[id] = node
      act(id, actions, leader, state.leaderEpoch)
    } else {
      node.role = .none
      nodes[id] = node
    }
  }

  func history(_ log: [Entry]) -> EpochHistory {
    var history = EpochHistory()
    for (index, entry) in log.enumerated() { history.append(entry.epoch, at: CommitSequence(Int64(index))) }
    return history
  }

  // MARK: Messages

  mutating func receive(_ message: Message, _ from: NodeID, at id: NodeID) {
    guard var node = nodes[id] else { return }
    switch (message, node.role) {
    case (.replica(.compare(let asked), let epoch), .leader(let leader)) where leader.epoch == epoch:
      let answer = history(node.log).comparison(to: asked, logEnd: CommitSequence(Int64(node.log.count)))
      send(.replica(answer, leaderEpoch: epoch), from: id, to: from)
    case (.replica(.durable(let end), let epoch), .leader(var leader)) where leader.epoch == epoch:
      let actions = leader.acknowledged(by: from, epoch: epoch, end: end, now: now)
      node.role = .leader(leader)
      let known = node.sent[from]
      let next = Int(end.rawValue)
      // Sent again from there when nothing came of what was sent.
      if known == nil || known.map({ now - $0.heard > 60 || $0.next < next }) == true { node.sent[from] = (next, now) }
      nodes[id] = node
      act(id, actions)
      ship(id)
    case (.replica(.comparison(let asked, let theirs, let end), let epoch), .follower(var follower, let leader))
    where follower.leaderEpoch == epoch:
      var actions = follower.compared(asked: asked, epoch: theirs, end: end)
      if mutation == .keepsTail {
        actions.removeAll { if case .truncate = $0 { true } else { false } }
      }
      node.role = .follower(follower, leader: leader)
      nodes[id] = node
      act(id, actions, leader, epoch)
    case (.commits(let start, let entries, let highWatermark, let epoch), .follower(var follower, let leader))
    where follower.leaderEpoch == epoch:
      if !entries.isEmpty, follower.accepts(from: CommitSequence(Int64(start)), leaderEpoch: epoch) {
        if mutation == .keepsTail { node.log.removeLast(max(0, min(node.log.count - start, 0))) }
        for entry in entries {
          node.log.append(entry)
          follower.appended(entry.epoch)
        }
        syncLater(id, epoch, node.log.count)
        if mutation == .acknowledgesBeforeSync {
          send(.replica(.durable(end: follower.end), leaderEpoch: epoch), from: id, to: leader)
        }
      }
      follower.heard(highWatermark: CommitSequence(Int64(highWatermark)))
      node.role = .follower(follower, leader: leader)
      node.highWatermark = max(node.highWatermark, Int(follower.highWatermark.rawValue))
      let shown = Int(follower.highWatermark.rawValue)
      nodes[id] = node
      checkShown(id, shown)
    default: break
    }
  }

  mutating func syncLater(_ id: NodeID, _ epoch: LeaderEpoch, _ end: Int) {
    guard let node = nodes[id] else { return }
    schedule(Int64.random(in: 1...12, using: &random), .synced(id, life: node.life, end: end, role: epoch))
  }

  /// Sends each follower what it has not been sent.
  mutating func ship(_ id: NodeID) {
    guard var node = nodes[id], case .leader(let leader) = node.role else { return }
    var outgoing: [(NodeID, Message)] = []
    for (follower, place) in node.sent.sorted(by: { $0.key < $1.key }) {
      let end = min(node.log.count, place.next + 8)
      guard place.next <= node.log.count else { continue }
      outgoing.append(
        (
          follower,
          .commits(
            from: place.next, Array(node.log[place.next..<end]), highWatermark: Int(leader.highWatermark.rawValue),
            leaderEpoch: leader.epoch)
        ))
      if end > place.next { node.sent[follower] = (end, now) }
    }
    nodes[id] = node
    for (follower, message) in outgoing { send(message, from: id, to: follower) }
  }

  mutating func act(_ id: NodeID, _ actions: [LeaderReplica.Action]) {
    for action in actions {
      switch action {
      case .highWatermark(let end): raised(id, Int(end.rawValue))
      case .propose(let isr):
        guard let state = nodes[id]?.seen, case .leader(var leader)? = nodes[id]?.role, leader.epoch == state.leaderEpoch else {
          continue
        }
        var next = state
        next.isr = isr
        propose(next, id)
        if mutation == .trustsProposals {
          let further = leader.decided(isr: isr, now: now)
          nodes[id]?.role = .leader(leader)
          act(id, further)
        }
      }
    }
    settle(id)
  }

  mutating func act(_ id: NodeID, _ actions: [FollowerReplica.Action], _ leader: NodeID, _ epoch: LeaderEpoch) {
    for action in actions {
      switch action {
      case .send(let message): send(.replica(message, leaderEpoch: epoch), from: id, to: leader)
      case .truncate(let end):
        truncations += 1
        let end = Int(end.rawValue)
        guard var node = nodes[id] else { continue }
        note("\(id) truncates \(node.log.count) to \(end)")
        let common = zip(node.log, committed).prefix { $0 == $1 }.count
        // One that is not in sync may follow a leader that has been replaced: it has to come back before it counts.
        if end < common, decided.isr.contains(id) {
          violate("\(id) undoes what was replicated: cut to \(end), had \(common) of it")
        }
        node.log.removeLast(node.log.count - end)
        node.durable = min(node.durable, end)
        node.highWatermark = min(node.highWatermark, end)
        node.checkpointed = min(node.checkpointed, end)
        nodes[id] = node
      }
    }
  }
}
