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
    case change(PartitionState, expected: Int)
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
  var queue: [(at: Int64, order: Int, event: Event)] = []
  var order = 0
  let ids = [NodeID(1), NodeID(2), NodeID(3)]
  var nodes: [NodeID: Node] = [:]
  // The cluster store.
  var decided: PartitionState
  var version = 1
  var lastHeartbeat: [NodeID: Int64] = [:]
  var alive: Set<NodeID>
  var cut: Set<[NodeID]> = []
  var isCalm = false
  /// When replicas are to be the same.
  var end: Int64 = .max
  var lastValue = 0
  // What must hold.
  /// The longest log that any leader has called replicated.
  var committed: [Entry] = []
  var acknowledged: [Int] = []
  var violation: String?
  var trace: [String] = []
  let keepsTrace: Bool
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
    end = milliseconds + calm
    advance(to: milliseconds)
    isCalm = true
    cut = []
    for id in ids where nodes[id]?.isUp == false { schedule(1, .restart(id)) }
    advance(to: milliseconds + calm)
    finish()
  }

  mutating func advance(to end: Int64) {
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

  func earliest() -> Int? { queue.isEmpty ? nil : 0 }

  func precedes(_ a: Int, _ b: Int) -> Bool { (queue[a].at, queue[a].order) < (queue[b].at, queue[b].order) }

  mutating func schedule(_ delay: Int64, _ event: Event) {
    order += 1
    queue.append((now + max(delay, 1), order, event))
    var child = queue.count - 1
    while child > 0, precedes(child, (child - 1) / 2) {
      queue.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func siftDown(_ start: Int) {
    var parent = start
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < queue.count && precedes(child, least) { least = child }
      if least == parent { return }
      queue.swapAt(parent, least)
      parent = least
    }
  }

  mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }

  mutating func note(_ text: @autoclosure () -> String) {
    if keepsTrace { trace.append("\(now) \(text())") }
  }

  mutating func violate(_ text: String) {
    note("VIOLATION \(text)")
    if violation == nil { violation = "at \(now) ms: \(text)" }
  }

  // MARK: Network

  mutating func send(_ message: Message, from: NodeID, to: NodeID) {
    guard let life = nodes[to]?.life else { return }
    if cut.contains([from, to]) || (!isCalm && chance(3)) { return }
    let delay = isCalm ? 2 : chance(10) ? Int64.random(in: 1...120, using: &random) : Int64.random(in: 1...6, using: &random)
    schedule(delay, .deliver(from: from, to: to, life: life, message))
  }

  /// To or from the store, which may be slow and lose messages too.
  mutating func storeDelay(_ node: NodeID) -> Int64? {
    if cut.contains([node, node]) || (!isCalm && chance(3)) { return nil }
    return isCalm ? 3 : Int64.random(in: 1...40, using: &random)
  }

  mutating func publish() {
    for id in ids {
      guard let life = nodes[id]?.life, let delay = storeDelay(id) else { continue }
      schedule(delay, .watch(id, life: life, decided, version: version, alive: alive))
    }
  }
}
