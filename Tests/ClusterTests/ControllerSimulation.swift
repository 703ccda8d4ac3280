import Metadata
import Model
import Testing

@testable import Cluster

/// Nodes, a controller here and there, and administrators, over a store of which everybody sees an older or newer image: a seed is a history.
///
/// Logs are lists of numbers. A leader adds one, followers take its list over, and it is acknowledged once every replica that the leader holds for
/// in sync has it. Whoever begins to lead must have all that was acknowledged.
final class ControllerSimulation {
  struct Replica {
    var log: [Int] = []
    /// In-sync sets that this node asked for as the leader and has not seen decided: they count as well.
    var asked: Set<NodeID> = []
    var leads: LeaderEpoch?
  }

  final class Node {
    let id: NodeID
    var view: ClusterImage
    var isUp = true
    var replicas: [Int: Replica] = [:]

    init(_ id: NodeID, _ view: ClusterImage) {
      self.id = id
      self.view = view
    }
  }

  let topicID = TopicID(high: 1, low: 1)
  var truth: ClusterImage
  var nodes: [Node] = []
  var acknowledged: [Int: [Int]] = [:]
  var nextRecord = 0
  private var state: UInt64
  private(set) var violations: [String] = []
  private(set) var elections = 0
  private(set) var acknowledgements = 0

  init(seed: UInt64, nodeCount: Int32 = 4, partitionCount: Int = 3) throws {
    state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    truth = ClusterImage(clusterID: "c", nodeSettings: NodeSettings())
    for number in 1...nodeCount {
      try truth.apply(.nodeRegistered(NodeImage(id: NodeID(number), host: "h", port: 1, rack: nil)))
    }
    let partitions = (0..<partitionCount).map { number in
      let replicas = (0..<3).map { NodeID(Int32((number + $0) % Int(nodeCount)) + 1) }
      return PartitionImage(
        leader: replicas[0], leaderEpoch: .zero, replicas: replicas, isr: replicas)
    }
    try truth.apply(
      .topicCreated(TopicImage(name: "a", id: topicID, partitions: partitions, settings: [:])))
    nodes = (1...nodeCount).map { Node(NodeID($0), truth) }
  }

  func random(_ bound: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(state >> 33) % bound
  }

  var partitions: [PartitionImage] { truth.topic(topicID)?.partitions ?? [] }

  // MARK: The store

  /// Compare-and-swap, as the stores do it. The answer may be lost; whoever asks again is told that it is not as expected.
  func change(_ changes: [PartitionChange]) throws {
    for change in changes {
      guard let now = truth.topic(change.topicID)?.partition(change.partition),
        now == change.expected
      else { continue }
      check(now, change.next, change.partition)
      var made = change.next
      made.version = now.version + 1
      try truth.apply(.partitionChanged(change.topicID, partition: change.partition, made))
    }
  }

  private func check(_ old: PartitionImage, _ new: PartitionImage, _ number: Int32) {
    func violated(_ what: String) {
      violations.append("partition \(number): \(what): \(old) -> \(new)")
    }
    if let leader = new.leader, !new.isr.contains(leader) { violated("the leader is not in sync") }
    if !Set(new.isr).isSubset(of: new.replicas) { violated("who is no replica is in sync") }
    if new.leader != old.leader {
      elections += 1
      if new.leaderEpoch <= old.leaderEpoch { violated("another leader in the same epoch") }
      if let leader = new.leader, !old.isr.contains(leader) {
        violated("a leader that was not in sync")
      }
    }
    if new.leaderEpoch < old.leaderEpoch { violated("the epoch falls") }
    if new.replicas.isEmpty || Set(new.replicas).count != new.replicas.count {
      violated("replicas")
    }
  }

  // MARK: What nodes do

  /// A node sees a newer image: its roles change.
  func look(_ node: Node) {
    node.view = truth
    for (number, partition) in partitions.enumerated() {
      guard partition.replicas.contains(node.id) else {
        node.replicas[number] = nil
        continue
      }
      var replica = node.replicas[number] ?? Replica()
      replica.asked.subtract(partition.isr)
      if partition.leader == node.id, replica.leads != partition.leaderEpoch {
        let acknowledged = acknowledged[number] ?? []
        if !replica.log.starts(with: acknowledged) {
          violations.append(
            "partition \(number): node \(node.id) leads without what was acknowledged")
        }
        replica.leads = partition.leaderEpoch
        replica.asked = []
      } else if partition.leader != node.id {
        replica.leads = nil
        replica.asked = []
      }
      node.replicas[number] = replica
    }
  }

  func leads(_ node: Node, _ number: Int) -> PartitionImage? {
    guard node.isUp, let seen = node.view.topic(topicID)?.partition(Int32(number)),
      seen.leader == node.id,
      node.replicas[number]?.leads == seen.leaderEpoch
    else { return nil }
    return seen
  }

  /// Both agree on who leads, and since when.
  func follows(_ follower: Node, _ leader: Node, _ number: Int) -> Bool {
    guard follower.isUp, follower !== leader, follower.replicas[number] != nil,
      let led = leads(leader, number),
      let seen = follower.view.topic(topicID)?.partition(Int32(number))
    else { return false }
    return seen.leader == leader.id && seen.leaderEpoch == led.leaderEpoch
  }

  func acknowledge(_ leader: Node, _ number: Int) {
    guard let seen = leads(leader, number), let replica = leader.replicas[number] else { return }
    let counted = Set(seen.isr).union(replica.asked)
    let others = nodes.filter { counted.contains($0.id) && $0 !== leader }
    guard others.count == counted.count - 1,
      others.allSatisfy({ follows($0, leader, number) && $0.replicas[number]?.log == replica.log })
    else { return }
    if replica.log.count > acknowledged[number, default: []].count {
      acknowledged[number] = replica.log
      acknowledgements += 1
    }
  }

  /// The leader asks for an in-sync set: without who is gone, and with who has everything.
  func propose(_ leader: Node, _ number: Int) throws {
    guard let seen = leads(leader, number), let log = leader.replicas[number]?.log else { return }
    var next = seen
    next.isr = seen.replicas.filter { id in
      guard id != leader.id, let node = nodes.first(where: { $0.id == id }) else {
        return id == leader.id
      }
      if !follows(node, leader, number) {
        return seen.isr.contains(id) && leader.view.nodes[id] != nil
      }
      return seen.isr.contains(id) || node.replicas[number]?.log == log
    }
    if next == seen { return }
    leader.replicas[number]?.asked.formUnion(next.isr)
    // It is asked now, or later, when it is not as expected any more.
    try change([
      PartitionChange(topicID: topicID, partition: Int32(number), expected: seen, next: next)
    ])
  }

  // MARK: What happens

  func step() throws {
    let node = nodes[random(nodes.count)]
    let number = random(partitions.count)
    switch random(100) {
    case ..<25: if node.isUp { look(node) }
    case ..<40:
      if leads(node, number) != nil {
        nextRecord += 1
        node.replicas[number]?.log.append(nextRecord)
      }
    case ..<60:
      if let leader = nodes.first(where: { follows(node, $0, number) }),
        let log = leader.replicas[number]?.log
      {
        node.replicas[number]?.log = log
      }
    case ..<70: acknowledge(node, number)
    case ..<78: try propose(node, number)
    // Anybody may believe to be the controller, with whatever it has seen.
    case ..<86: try change(ControllerDecisions(node.view).changes)
    case ..<88: try change(ControllerDecisions(node.view).preferredLeaders)
    case ..<91: if node.isUp { try end(node) }
    case ..<95: if !node.isUp { try start(node, isEmpty: random(6) == 0) }
    case ..<96: if node.isUp { try change(ControllerDecisions(node.view).handOver(from: node.id)) }
    case ..<97: try giveUp(node, number)
    default: try reassign(number, with: node.view)
    }
  }

  /// Sometimes it is not noticed that a node is gone, and it is back before.
  func end(_ node: Node) throws {
    // Whose only copy may be lost has nobody to save it: what is tested is what the cluster does with the others.
    node.isUp = false
    if random(3) > 0 { try truth.apply(.nodeUnregistered(node.id)) }
  }

  func start(_ node: Node, isEmpty: Bool) throws {
    let sole = partitions.contains { $0.isr == [node.id] }
    if isEmpty && !sole {
      // Its directory is another one: before anybody sees it, it is in sync nowhere.
      while true {
        let changes = ControllerDecisions(truth).lost(by: node.id)
        if changes.isEmpty { break }
        try change(changes)
      }
      node.replicas = [:]
    }
    // An epoch that it led before is not gone on with.
    try change(ControllerDecisions(truth).restarted(node.id))
    for number in node.replicas.keys { node.replicas[number]?.leads = nil }
    node.isUp = true
    var image = NodeImage(id: node.id, host: "h", port: 1, rack: nil)
    image.isRecovering = random(2) == 0
    try truth.apply(.nodeRegistered(image))
    look(node)
  }

  /// A leader finds its log damaged: it has lost what is behind some record, and lets another one lead.
  private func giveUp(_ node: Node, _ number: Int) throws {
    guard let seen = leads(node, number), let next = ControllerDecisions(node.view).handedOver(seen, from: node.id)
    else { return }
    guard truth.topic(topicID)?.partition(Int32(number)) == seen else { return }
    try change([PartitionChange(topicID: topicID, partition: Int32(number), expected: seen, next: next)])
    look(node)
    let log = node.replicas[number]?.log ?? []
    node.replicas[number]?.log = Array(log.prefix(random(log.count + 1)))
  }

  private func reassign(_ number: Int, with image: ClusterImage) throws {
    guard let seen = image.topic(topicID)?.partition(Int32(number)) else { return }
    var ids = nodes.map(\.id)
    for place in ids.indices { ids.swapAt(place, random(ids.count)) }
    let target = random(4) == 0 ? nil : Array(ids.prefix(1 + random(3)))
    guard let next = try? ControllerDecisions(image).moved(seen, to: target) else { return }
    try change([
      PartitionChange(topicID: topicID, partition: Int32(number), expected: seen, next: next)
    ])
  }

  /// Everybody is back, sees everything, and has time.
  func settle() throws {
    for node in nodes where !node.isUp { try start(node, isEmpty: false) }
    for node in nodes {
      try truth.apply(.nodeRegistered(NodeImage(id: node.id, host: "h", port: 1, rack: nil)))
    }
    for _ in 0..<20 {
      for node in nodes { look(node) }
      try change(ControllerDecisions(truth).changes)
      for node in nodes { look(node) }
      for number in partitions.indices {
        for leader in nodes where leads(leader, number) != nil {
          for node in nodes where follows(node, leader, number) {
            node.replicas[number]?.log = leader.replicas[number]?.log ?? []
          }
          try propose(leader, number)
        }
      }
    }
    for (number, partition) in partitions.enumerated() {
      if partition.leader == nil || partition.isBeingReassigned
        || Set(partition.isr) != Set(partition.replicas)
      {
        violations.append("partition \(number) does not come to rest: \(partition)")
      }
    }
  }
}

@Suite struct ControllerSimulationTests {
  @Test(
    "whoever decides with whatever it has seen: nothing acknowledged is lost, and all comes to rest",
    arguments: 0..<8)
  func histories(_ block: Int) throws {
    var elections = 0
    var acknowledgements = 0
    for seed in block * 50..<block * 50 + 50 {
      let simulation = try ControllerSimulation(seed: UInt64(seed))
      for _ in 0..<2000 { try simulation.step() }
      try simulation.settle()
      #expect(simulation.violations.isEmpty, "seed \(seed): \(simulation.violations.prefix(3))")
      elections += simulation.elections
      acknowledgements += simulation.acknowledgements
    }
    #expect(
      elections > 500 && acknowledgements > 300,
      "\(elections) elections, \(acknowledgements) acknowledgements")
  }
}
