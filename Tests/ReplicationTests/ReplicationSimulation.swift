import Model
import Replication
import TestSupport

/// One partition on three nodes, with a network that delays, loses and reorders, links that are cut one way, nodes that are killed and lose what
/// they had not synced, and a cluster store whose answers get lost. Everything that happens follows from the seed.
///
/// The decisions are the shipped ones (`LeaderReplica`, `FollowerReplica`, `PartitionState`); logs, disks, network and store are played.
struct ReplicationSimulation {
  struct Entry: Hashable {
    var epoch: LeaderEpoch
    /// What a client wrote; nil for the commit that begins an epoch.
    var value: Int?
  }

  /// A known bug that is put in, to see that it is found.
  enum Mutation: CaseIterable {
    /// Followers say what they have appended, not what is durable.
    case acknowledgesBeforeSync
    /// A follower keeps its own tail when the leader changes.
    case keepsTail
    /// Any replica may be elected.
    case electsAnybody
    /// A leader goes by the in-sync set that it proposed, not by the one that was decided.
    case trustsProposals
  }

  enum Role {
    case none
    case leader(LeaderReplica)
    case follower(FollowerReplica, leader: NodeID)
  }

  struct Node {
    var isUp = true
    var log: [Entry] = []
    /// How much of `log` a kill leaves.
    var durable = 0
    var highWatermark = 0
    /// The high watermark that a restart knows.
    var checkpointed = 0
    var role = Role.none
    /// The last epoch that it led, in whatever life.
    var led = LeaderEpoch(-1)
    /// What it has heard of the cluster, and how old that is.
    var seen: PartitionState
    var seenVersion = 0
    var seenAlive: Set<NodeID> = []
    /// Counts the lives of the node: what was sent to an earlier one is lost.
    var life = 0
    /// As leader: how far each follower was sent commits, and when it last said something.
    var sent: [NodeID: (next: Int, heard: Int64)] = [:]
    /// As leader: what clients wait for: the end and the value.
    var waiting: [(end: Int, value: Int)] = []

    init(seen: PartitionState) { self.seen = seen }
  }

  enum Message {
    case replica(ReplicaMessage, leaderEpoch: LeaderEpoch)
    case commits(from: Int, [Entry], highWatermark: Int, leaderEpoch: LeaderEpoch)
  }

  enum Event {
    case deliver(from: NodeID, to: NodeID, life: Int, Message)
    case synced(NodeID, life: Int, end: Int, role: LeaderEpoch)
    case tick(NodeID, life: Int)
    case watch(NodeID, life: Int, PartitionState, version: Int, alive: Set<NodeID>)
    case change(PartitionState, from: NodeID, life: Int, expected: Int, isProposal: Bool)
    case answer(NodeID, life: Int, epoch: LeaderEpoch, isMade: Bool)
    case heartbeat(NodeID)
    case expire
    case write
    case fault
    case restart(NodeID)
    case mendLinks
  }

  var random: SeededRandom
  let mutation: Mutation?
  var now: Int64 = 0
  private var queue: [(at: Int64, order: Int, event: Event)] = []
  private var order = 0
  let ids = [NodeID(1), NodeID(2), NodeID(3)]
  var nodes: [NodeID: Node] = [:]
  // The cluster store.
  var decided: PartitionState
  var version = 1
  private var lastHeartbeat: [NodeID: Int64] = [:]
  var alive: Set<NodeID>
  private var cut: Set<[NodeID]> = []
  private var isCalm = false
  private var lastValue = 0
  // What must hold.
  /// The longest log that any leader has called replicated.
  var committed: [Entry] = []
  var acknowledged: [Int] = []
  var violation: String?
  var trace: [String] = []
  private let keepsTrace: Bool
  // What happened, so that a seed that does nothing is noticed.
  var elections = 0
  var truncations = 0

  static let settings = LeaderReplica.Settings(lagMaxMilliseconds: 600, inSyncMin: 2)
  static let sessionMilliseconds: Int64 = 300

  init(seed: UInt64, mutation: Mutation? = nil, keepsTrace: Bool = false) {
    random = SeededRandom(seed: seed)
    self.mutation = mutation
    self.keepsTrace = keepsTrace
    decided = PartitionState(leader: ids[0], leaderEpoch: .zero, replicas: ids, isr: ids)
    alive = Set(ids)
    for id in ids {
      nodes[id] = Node(seen: PartitionState(leader: nil, leaderEpoch: LeaderEpoch(-1), replicas: ids, isr: ids))
      lastHeartbeat[id] = 0
      schedule(Int64(id.rawValue), .heartbeat(id))
      schedule(10, .tick(id, life: 0))
    }
    publish()
    schedule(50, .expire)
    schedule(20, .write)
    schedule(100, .fault)
  }

  // MARK: Running

  /// Faults for a while, then calm until every replica is the same.
  mutating func run(faultsFor milliseconds: Int64 = 6_000, calmFor calm: Int64 = 6_000) {
    advance(to: milliseconds)
    isCalm = true
    cut = []
    for id in ids where nodes[id]?.isUp == false { schedule(1, .restart(id)) }
    advance(to: milliseconds + calm)
    finish()
  }

  private mutating func advance(to end: Int64) {
    while violation == nil, let index = earliest(), queue[index].at <= end {
      let (at, _, event) = queue[index]
      queue.swapAt(index, queue.count - 1)
      queue.removeLast()
      siftDown(index)
      now = at
      handle(event)
    }
    now = end
  }

  private func earliest() -> Int? { queue.isEmpty ? nil : 0 }

  private func precedes(_ a: Int, _ b: Int) -> Bool { (queue[a].at, queue[a].order) < (queue[b].at, queue[b].order) }

  private mutating func schedule(_ delay: Int64, _ event: Event) {
    order += 1
    queue.append((now + max(delay, 1), order, event))
    var child = queue.count - 1
    while child > 0, precedes(child, (child - 1) / 2) {
      queue.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  private mutating func siftDown(_ start: Int) {
    var parent = start
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < queue.count && precedes(child, least) { least = child }
      if least == parent { return }
      queue.swapAt(parent, least)
      parent = least
    }
  }

  private mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }

  private mutating func note(_ text: @autoclosure () -> String) {
    if keepsTrace { trace.append("\(now) \(text())") }
  }

  private mutating func violate(_ text: String) {
    note("VIOLATION \(text)")
    if violation == nil { violation = "at \(now) ms: \(text)" }
  }

  // MARK: Network

  private mutating func send(_ message: Message, from: NodeID, to: NodeID) {
    guard let life = nodes[to]?.life else { return }
    if cut.contains([from, to]) || (!isCalm && chance(3)) { return }
    let delay = isCalm ? 2 : chance(10) ? Int64.random(in: 1...120, using: &random) : Int64.random(in: 1...6, using: &random)
    schedule(delay, .deliver(from: from, to: to, life: life, message))
  }

  /// To or from the store, which may be slow and lose messages too.
  private mutating func storeDelay(_ node: NodeID) -> Int64? {
    if cut.contains([node, node]) || (!isCalm && chance(3)) { return nil }
    return isCalm ? 3 : Int64.random(in: 1...40, using: &random)
  }

  private mutating func publish() {
    for id in ids {
      guard let life = nodes[id]?.life, let delay = storeDelay(id) else { continue }
      schedule(delay, .watch(id, life: life, decided, version: version, alive: alive))
    }
  }

  // MARK: Events

  private mutating func handle(_ event: Event) {
    switch event {
    case .deliver(let from, let to, let life, let message):
      guard let node = nodes[to], node.isUp, node.life == life else { return }
      receive(message, from, at: to)
    case .synced(let id, let life, let end, let epoch): synced(id, life, end, epoch)
    case .tick(let id, let life): tick(id, life)
    case .watch(let id, let life, let state, let version, let alive): watch(id, life, state, version, alive)
    case .change(let state, let from, let life, let expected, let isProposal):
      let isMade = expected == version
      if isMade {
        decided = state
        version += 1
        note("decided \(state)")
        publish()
      }
      if isProposal, let delay = storeDelay(from) {
        schedule(delay, .answer(from, life: life, epoch: state.leaderEpoch, isMade: isMade))
      }
    case .answer(let id, let life, let epoch, let isMade):
      // What was made comes with the watch.
      guard !isMade, let node = nodes[id], node.life == life, case .leader(var leader) = node.role, leader.epoch == epoch else {
        return
      }
      leader.refused()
      nodes[id]?.role = .leader(leader)
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

  private mutating func write() {
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

  private mutating func syncLater(_ id: NodeID, _ epoch: LeaderEpoch) {
    guard let node = nodes[id] else { return }
    schedule(
      Int64.random(in: 1...12, using: &random), .synced(id, life: node.life, end: node.log.count, role: epoch))
  }

  private mutating func synced(_ id: NodeID, _ life: Int, _ end: Int, _ epoch: LeaderEpoch) {
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

  private mutating func tick(_ id: NodeID, _ life: Int) {
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
        propose(next, id, isProposal: false)
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
      if next == nil, chance(2) { next = state.preferringFirst(alive: node.seenAlive) }
      if let next { propose(next, id, isProposal: false) }
    }
  }

  private mutating func propose(_ state: PartitionState, _ id: NodeID, isProposal: Bool) {
    guard let node = nodes[id], let delay = storeDelay(id) else { return }
    schedule(delay, .change(state, from: id, life: node.life, expected: node.seenVersion, isProposal: isProposal))
  }

  private mutating func watch(_ id: NodeID, _ life: Int, _ state: PartitionState, _ version: Int, _ alive: Set<NodeID>) {
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

  private mutating func changeRole(_ id: NodeID, _ state: PartitionState) {
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

  private func history(_ log: [Entry]) -> EpochHistory {
    var history = EpochHistory()
    for (index, entry) in log.enumerated() { history.append(entry.epoch, at: CommitSequence(Int64(index))) }
    return history
  }

  // MARK: Messages

  private mutating func receive(_ message: Message, _ from: NodeID, at id: NodeID) {
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

  private mutating func syncLater(_ id: NodeID, _ epoch: LeaderEpoch, _ end: Int) {
    guard let node = nodes[id] else { return }
    schedule(Int64.random(in: 1...12, using: &random), .synced(id, life: node.life, end: end, role: epoch))
  }

  /// Sends each follower what it has not been sent.
  private mutating func ship(_ id: NodeID) {
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

  private mutating func act(_ id: NodeID, _ actions: [LeaderReplica.Action]) {
    for action in actions {
      switch action {
      case .highWatermark(let end): raised(id, Int(end.rawValue))
      case .propose(let isr):
        guard let state = nodes[id]?.seen, case .leader(var leader)? = nodes[id]?.role, leader.epoch == state.leaderEpoch else {
          continue
        }
        var next = state
        next.isr = isr
        propose(next, id, isProposal: true)
        if mutation == .trustsProposals {
          let further = leader.decided(isr: isr, now: now)
          nodes[id]?.role = .leader(leader)
          act(id, further)
        }
      }
    }
    settle(id)
  }

  private mutating func act(_ id: NodeID, _ actions: [FollowerReplica.Action], _ leader: NodeID, _ epoch: LeaderEpoch) {
    for action in actions {
      switch action {
      case .send(let message): send(.replica(message, leaderEpoch: epoch), from: id, to: leader)
      case .truncate(let end):
        truncations += 1
        let end = Int(end.rawValue)
        guard var node = nodes[id] else { continue }
        note("\(id) truncates \(node.log.count) to \(end)")
        let common = zip(node.log, committed).prefix { $0 == $1 }.count
        if end < common { violate("\(id) undoes what was replicated: cut to \(end), had \(common) of it") }
        node.log.removeLast(node.log.count - end)
        node.durable = min(node.durable, end)
        node.highWatermark = min(node.highWatermark, end)
        node.checkpointed = min(node.checkpointed, end)
        nodes[id] = node
      }
    }
  }

  // MARK: What must hold

  private mutating func raised(_ id: NodeID, _ end: Int) {
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
  private mutating func checkShown(_ id: NodeID, _ end: Int) {
    guard let node = nodes[id] else { return }
    if end > committed.count || node.log[..<end] != committed[..<end] {
      violate("\(id) shows \(end) commits that are not the replicated ones")
    }
  }

  /// Answers clients.
  private mutating func settle(_ id: NodeID) {
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

  private mutating func finish() {
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

  private mutating func fault() {
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

  private mutating func kill(_ id: NodeID) {
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

  private mutating func restart(_ id: NodeID) {
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
