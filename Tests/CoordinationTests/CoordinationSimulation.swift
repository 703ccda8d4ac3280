import Coordination
import Model
import Synchronization
import TestSupport

/// One shard of the coordinator on two nodes, with the members of a group and a simple consumer: connections that break, requests and replies that
/// are lost or late, nodes and clients that are killed, changes that are refused, late or of which nobody knows what became, and leaderships that
/// move while the former leader still believes in its own. Everything that happens follows from the seed.
///
/// The decisions are the shipped ones (`GroupTable` and the machines in it); the log, its replication, the network and the clients are played. As
/// where nodes run, a shard's thread is the shell around the table: here it is in `CoordinationSimulation+Nodes`.
struct CoordinationSimulation {
  /// A known bug that is put in, to see that it is found.
  enum Mutation: CaseIterable {
    /// Replies leave before changes are replicated.
    case answersBeforeDurable
    /// Changes of which nobody knows what became are taken for failed.
    case keepsWhatIsUnknown
    /// A leader reads what is not replicated yet.
    case loadsUnreplicated
    /// A shard that is released leaves its requests without an answer.
    case forgetsWhoWaits
    /// Offsets are taken from whoever was a member once.
    case ignoresGenerations
  }

  /// Changes in the log of a leader.
  struct Entry {
    var number: Int
    var epoch: Int
    var changes: [GroupChanges]
  }

  struct Node {
    var isUp = true
    var life = 0
    /// The last decision that it has heard of, and whether it leads by that.
    var heardEpoch = -1
    var leads = false
    /// Nil while the groups are read.
    var table: GroupTable?
    var queue: [CoordinatorEvent] = []
    var isWorking = false
    /// In its log, and not known to be replicated.
    var tail: [Entry] = []
    /// What is being made durable.
    var pending: Int?
    var refusesUntil: Int64 = 0
    var stallsUntil: Int64 = 0
    var wakeAt = Int64.max
  }

  enum Kind: CustomStringConvertible {
    case join, sync, heartbeat, fetch, leave
    case commit([Int: Int64])

    var description: String {
      switch self {
      case .join: "join"
      case .sync: "sync"
      case .heartbeat: "heartbeat"
      case .fetch: "fetch"
      case .leave: "leave"
      case .commit(let offsets): "commit \(offsets.sorted { $0.key < $1.key }.map { "\($0.key):\($0.value)" })"
      }
    }
  }

  struct Request {
    var client: Int
    var clientLife: Int
    var connection: Int
    var kind: Kind
    var sentAt: Int64
    var memberID: String
    var generation: Int32
    /// Where it arrived, in which life.
    var arrival: (node: Int, life: Int)?
    var answers = 0
    /// What was acknowledged when it was sent.
    var acknowledged: [Int: Int64] = [:]
  }

  /// Requests arrive in the order in which they were sent, and replies leave in that order too.
  struct Connection {
    var node: Int
    var life: Int
    var isOpen = true
    var lastArrival: Int64 = 0
    var lastDeparture: Int64 = 0
    var open: [Int] = []
    var answers: [Int: Answer] = [:]
  }

  enum Answer {
    case group(GroupReply)
    case offsets(Result<[Int: Int64], ErrorCode>)
  }

  struct Client {
    var instance: String?
    /// Commits without being a member.
    var isSimple = false
    var isUp = true
    var life = 0
    /// It does nothing until then, and goes on where it was.
    var sleepsUntil: Int64 = 0
    var memberID = ""
    var generation: Int32 = -1
    var isMember = false
    var coordinator: Int?
    /// It does not go back to a coordinator that it has left.
    var seenEpoch = -1
    var connection: Int?
    /// The request that it waits for, and the commit.
    var waitsFor: Int?
    var commits: Int?
    var share: [Int] = []
    var positions: [Int: Int64]?
  }

  enum Event {
    case tick(client: Int, life: Int)
    case found(client: Int, life: Int, node: Int, epoch: Int)
    case arrive(request: Int)
    case reply(request: Int, Answer)
    case work(node: Int, life: Int)
    case wake(node: Int, life: Int, at: Int64)
    case load(node: Int, life: Int, epoch: Int)
    case replicated(node: Int, life: Int, number: Int)
    case ended(node: Int, life: Int, number: Int, UnappliedChanges?)
    case elect
    case hear(node: Int, leader: Int, epoch: Int)
    case restartNode(Int)
    case restartClient(Int)
    case fault
  }

  struct Failure: Error {}

  var random: SeededRandom
  let mutation: Mutation?
  var now: Int64 = 0
  var queue: [(at: Int64, order: Int, event: Event)] = []
  var order = 0
  var isCalm = false
  var calmSince = Int64.max
  var nodes = [Node](repeating: Node(), count: 2)
  var clients: [Client] = []
  var requests: [Request] = []
  /// What leaders bring with their syncs.
  var shares: [Int: [(String, [UInt8])]] = [:]
  var connections: [Connection] = []
  let mailbox = Mailbox()
  let configuration: GroupConfiguration
  // What is decided and replicated.
  var leader = 0
  var epoch = 0
  var stored: [String: StoredGroup] = [:]
  var lastNumber = 0
  var lastMember = 0
  // What must hold.
  var durableCommits: Set<Int> = []
  var acknowledged: [Int: Int64] = [:]
  /// By generation: the sync whose shares were handed out, and who has which partition.
  var assignments: [Int32: Int] = [:]
  var owners: [Int32: [Int: String]] = [:]
  var violation: String?
  var trace: [String] = []
  let keepsTrace: Bool
  // What happened, so that a seed that does nothing is noticed.
  var generations = 0
  var acknowledgements = 0
  var reloads = 0
  var refusals = 0

  static let partitions = Array(0..<6)
  static let session: Int32 = 500
  static let rebalance: Int32 = 900

  init(seed: UInt64, mutation: Mutation? = nil, keepsTrace: Bool = false) {
    random = SeededRandom(seed: seed)
    self.mutation = mutation
    self.keepsTrace = keepsTrace
    var configuration = GroupConfiguration()
    configuration.sessionTimeoutMillisecondsMin = 100
    configuration.initialRebalanceDelayMilliseconds = 30
    self.configuration = configuration
    clients = [Client(), Client(), Client(), Client(instance: "i"), Client(isSimple: true)]
    for client in clients.indices { schedule(Int64(client * 7), .tick(client: client, life: 0)) }
    for node in nodes.indices { schedule(5, .hear(node: node, leader: leader, epoch: epoch)) }
    schedule(300, .fault)
  }

  // MARK: Running

  /// Faults for a while, then calm until every partition has its owner again.
  mutating func run(faultsFor milliseconds: Int64 = 6_000, calmFor calm: Int64 = 9_000) {
    advance(to: milliseconds)
    (isCalm, calmSince) = (true, now)
    for node in nodes.indices {
      (nodes[node].refusesUntil, nodes[node].stallsUntil) = (0, 0)
      if !nodes[node].isUp { schedule(1, .restartNode(node)) }
      schedule(20, .hear(node: node, leader: leader, epoch: epoch))
    }
    for client in clients.indices where !clients[client].isUp { schedule(1, .restartClient(client)) }
    advance(to: milliseconds + calm)
    finish()
  }

  mutating func advance(to end: Int64) {
    while violation == nil, let next = queue.first, next.at <= end {
      let last = queue.removeLast()
      if !queue.isEmpty {
        queue[0] = last
        siftDown()
      }
      now = next.at
      handle(next.event)
    }
    now = end
  }

  func precedes(_ a: Int, _ b: Int) -> Bool { (queue[a].at, queue[a].order) < (queue[b].at, queue[b].order) }

  mutating func schedule(_ delay: Int64, _ event: Event) {
    order += 1
    queue.append((now + max(delay, 0), order, event))
    var child = queue.count - 1
    while child > 0, precedes(child, (child - 1) / 2) {
      queue.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  private mutating func siftDown() {
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < queue.count && precedes(child, least) { least = child }
      if least == parent { return }
      queue.swapAt(parent, least)
      parent = least
    }
  }

  mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }
  mutating func some(_ range: ClosedRange<Int64>) -> Int64 { Int64.random(in: range, using: &random) }

  mutating func note(_ text: @autoclosure () -> String) {
    if keepsTrace { trace.append("\(now) \(text())") }
  }

  mutating func violate(_ text: String) {
    note("VIOLATION \(text)")
    if violation == nil { violation = "at \(now) ms: \(text)" }
  }

  private mutating func handle(_ event: Event) {
    switch event {
    case .tick(let client, let life):
      guard clients[client].isUp, clients[client].life == life else { return }
      if now >= clients[client].sleepsUntil { tick(client) }
      schedule(isCalm ? 60 : some(5...80), .tick(client: client, life: life))
    case .found(let client, let life, let node, let epoch): found(client, life, node, epoch)
    case .arrive(let request): arrive(request)
    case .reply(let request, let answer): hear(answer, to: request)
    case .work(let node, let life): if nodes[node].life == life { work(node) }
    case .wake(let node, let life, let at): if nodes[node].life == life, nodes[node].wakeAt == at { wake(node) }
    case .load(let node, let life, let epoch): load(node, life, epoch)
    case .replicated(let node, let life, let number): replicated(node, life, number)
    case .ended(let node, let life, let number, let failure):
      if nodes[node].life == life, nodes[node].pending == number { ended(node, failure) }
    case .elect: elect()
    case .hear(let node, let leader, let epoch): hear(node, leader, epoch)
    case .restartNode(let node): restart(node)
    case .restartClient(let client):
      guard !clients[client].isUp else { return }
      clients[client].isUp = true
      tickAnew(client)
    case .fault: fault()
    }
  }

  mutating func tickAnew(_ client: Int) { schedule(1, .tick(client: client, life: clients[client].life)) }
}

/// Where the table's replies go until the simulation looks.
final class Mailbox: Sendable {
  private let answers = Mutex<[(request: Int, answer: CoordinationSimulation.Answer)]>([])
  func put(_ answer: CoordinationSimulation.Answer, to request: Int) { answers.withLock { $0.append((request, answer)) } }
  func take() -> [(request: Int, answer: CoordinationSimulation.Answer)] {
    answers.withLock { answers in
      defer { answers = [] }
      return answers
    }
  }
}
