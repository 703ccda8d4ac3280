public import Model

/// Where partitions are to go so that nodes have equally many replicas and lead equally many partitions, with few moves.
///
/// In this order: replicas leave nodes that are to be empty; a partition has replicas in as many racks as it can; nodes have equally many
/// replicas, each topic's spread over them; each node is the preferred leader of equally many partitions, by the order of replicas alone.
///
/// A value that computes; the same input gives the same plan.
public struct RebalancePlan: Sendable {
  /// One partition's replicas, the preferred leader first.
  public struct Placement: Hashable, Sendable {
    public var partition: TopicPartition
    public var replicas: [NodeID]

    public init(_ partition: TopicPartition, replicas: [NodeID]) {
      self.partition = partition
      self.replicas = replicas
    }
  }

  /// Why there is no plan, in a sentence.
  public struct Impossible: Error, Hashable, Sendable, CustomStringConvertible {
    public var description: String
  }

  /// Partitions that change, with what they have and what they are to have.
  public private(set) var moves: [(partition: TopicPartition, from: [NodeID], to: [NodeID])] = []
  /// Replicas that have to be copied.
  public private(set) var copyCount = 0
  /// Replicas on each node, and partitions that it is the preferred leader of, before and after.
  public private(set) var before: [NodeID: Load] = [:]
  public private(set) var after: [NodeID: Load] = [:]

  public struct Load: Hashable, Sendable {
    public var replicas = 0
    public var leaders = 0

    public init() {}
  }

  private var placements: [Placement]
  private let racks: [NodeID: String]
  private let targets: [NodeID]
  private var load: [NodeID: Int] = [:]
  private var topicLoad: [String: [NodeID: Int]] = [:]

  /// - Parameters:
  ///   - placements: every partition, as it is.
  ///   - nodes: those that are there, with their racks.
  ///   - drained: of those, the ones that are to keep nothing. Nodes that are not there keep what they have: they may come back.
  /// - Throws: there are too few nodes left.
  public init(
    _ placements: [Placement], nodes: [NodeID: String?], drained: Set<NodeID> = []
  ) throws(Impossible) {
    self.placements = placements.sorted { $0.partition < $1.partition }
    racks = nodes.mapValues { $0 ?? "" }
    targets = nodes.keys.filter { !drained.contains($0) }.sorted()
    if targets.isEmpty { throw Impossible(description: "no node would be left") }
    for node in targets { load[node] = 0 }
    for placement in self.placements {
      for node in placement.replicas {
        load[node, default: 0] += 1
        topicLoad[placement.partition.topic, default: [:]][node, default: 0] += 1
      }
    }
    before = loads()
    try drain(drained)
    spreadRacks()
    balanceReplicas()
    balanceLeaders()
    after = loads()
    let old = Dictionary(uniqueKeysWithValues: placements.map { ($0.partition, $0.replicas) })
    for placement in self.placements {
      let from = old[placement.partition] ?? []
      if from == placement.replicas { continue }
      moves.append((placement.partition, from, placement.replicas))
      copyCount += placement.replicas.count { !from.contains($0) }
    }
  }

  private func loads() -> [NodeID: Load] {
    var loads = Dictionary(uniqueKeysWithValues: targets.map { ($0, Load()) })
    for placement in placements {
      for node in placement.replicas { loads[node, default: Load()].replicas += 1 }
      if let first = placement.replicas.first { loads[first, default: Load()].leaders += 1 }
    }
    return loads
  }

  // MARK: Replicas

  private mutating func drain(_ drained: Set<NodeID>) throws(Impossible) {
    for index in placements.indices {
      for node in placements[index].replicas where drained.contains(node) {
        guard let heir = best(for: index, insteadOf: node) else {
          let name = placements[index].partition
          throw Impossible(
            description:
              "\(name) has \(placements[index].replicas.count) replicas, and only \(targets.count) nodes would be left")
        }
        replace(node, by: heir, in: index)
      }
    }
  }

  private mutating func spreadRacks() {
    for index in placements.indices {
      // Each step gains a rack, so that it ends.
      while let (node, heir) = rackGain(index) { replace(node, by: heir, in: index) }
    }
  }

  /// A replica that shares its rack with another one, and a node in a rack that has none.
  private func rackGain(_ index: Int) -> (NodeID, NodeID)? {
    let replicas = placements[index].replicas
    let taken = replicas.compactMap { racks[$0] }
    guard let double = replicas.last(where: { node in taken.count { $0 == racks[node] } > 1 && targets.contains(node) }) else {
      return nil
    }
    let heirs = targets.filter { node in !taken.contains(racks[node] ?? "") }
    return heirs.min { weight($0, index) < weight($1, index) }.map { (double, $0) }
  }

  private mutating func balanceReplicas() {
    while let (index, from, to) = nextMove() { replace(from, by: to, in: index) }
  }

  /// One that takes a replica from a node to one that has at least two fewer, and leaves it in as many racks.
  private func nextMove() -> (Int, NodeID, NodeID)? {
    let ascending = targets.sorted { (load[$0]!, $0) < (load[$1]!, $1) }
    for from in ascending.reversed() {
      for to in ascending where load[from]! - load[to]! > 1 {
        var best: (index: Int, gain: Int)?
        for (index, placement) in placements.enumerated() {
          guard placement.replicas.contains(from), !placement.replicas.contains(to), keepsRacks(index, from, to) else {
            continue
          }
          let topic = topicLoad[placement.partition.topic, default: [:]]
          let gain = topic[from, default: 0] - topic[to, default: 0]
          if gain > best?.gain ?? .min { best = (index, gain) }
        }
        if let best { return (best.index, from, to) }
      }
    }
    return nil
  }

  private func keepsRacks(_ index: Int, _ from: NodeID, _ to: NodeID) -> Bool {
    let others = placements[index].replicas.filter { $0 != from }.compactMap { racks[$0] }
    return !others.contains(racks[to]!) || others.contains(racks[from] ?? "")
  }

  /// The node with the least to do that keeps the partition in most racks.
  private func best(for index: Int, insteadOf node: NodeID) -> NodeID? {
    let others = placements[index].replicas.filter { $0 != node }
    let taken = Set(others.compactMap { racks[$0] })
    return targets.filter { !others.contains($0) }.min { a, b in
      let (newA, newB) = (!taken.contains(racks[a]!), !taken.contains(racks[b]!))
      return newA == newB ? weight(a, index) < weight(b, index) : newA
    }
  }

  private func weight(_ node: NodeID, _ index: Int) -> (Int, Int, NodeID) {
    (load[node] ?? 0, topicLoad[placements[index].partition.topic]?[node] ?? 0, node)
  }

  private mutating func replace(_ node: NodeID, by heir: NodeID, in index: Int) {
    guard let place = placements[index].replicas.firstIndex(of: node) else { return }
    placements[index].replicas[place] = heir
    let topic = placements[index].partition.topic
    load[node, default: 0] -= 1
    load[heir, default: 0] += 1
    topicLoad[topic, default: [:]][node, default: 0] -= 1
    topicLoad[topic, default: [:]][heir, default: 0] += 1
  }

  // MARK: Leaders

  /// Takes leaderships from the node with most to the one with fewest, along a chain of partitions, until none has two more than another.
  private mutating func balanceLeaders() {
    while let chain = leaderChain() {
      for (index, to) in chain {
        guard let place = placements[index].replicas.firstIndex(of: to) else { continue }
        placements[index].replicas.swapAt(0, place)
      }
    }
  }

  private func leaderChain() -> [(index: Int, to: NodeID)]? {
    var leads = Dictionary(uniqueKeysWithValues: targets.map { ($0, 0) })
    // From each leader, to each node that could lead instead, by one partition.
    var edges: [NodeID: [NodeID: Int]] = [:]
    for (index, placement) in placements.enumerated() {
      guard let leader = placement.replicas.first, leads[leader] != nil else { continue }
      leads[leader]! += 1
      for other in placement.replicas.dropFirst() where leads[other] != nil { edges[leader, default: [:]][other] = index }
    }
    for from in targets.sorted(by: { (leads[$1]!, $0) < (leads[$0]!, $1) }) {
      var cameFrom: [NodeID: (NodeID, Int)] = [:]
      var queue = [from]
      var next = 0
      while next < queue.count {
        let node = queue[next]
        next += 1
        if leads[from]! - leads[node]! > 1 {
          var chain: [(index: Int, to: NodeID)] = []
          var at = node
          while at != from, let (previous, index) = cameFrom[at] {
            chain.append((index, at))
            at = previous
          }
          return chain
        }
        for (other, index) in edges[node, default: [:]].sorted(by: { $0.key < $1.key })
        where other != from && cameFrom[other] == nil {
          cameFrom[other] = (node, index)
          queue.append(other)
        }
      }
    }
    return nil
  }
}
