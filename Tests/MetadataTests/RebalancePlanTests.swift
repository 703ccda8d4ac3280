import Metadata
import Model
import Testing

@Suite struct RebalancePlanTests {
  typealias Placement = RebalancePlan.Placement

  func placement(_ topic: String, _ number: Int32, _ replicas: [Int32]) -> Placement {
    Placement(TopicPartition(topic: topic, partition: number), replicas: replicas.map { NodeID($0) })
  }

  func nodes(_ numbers: [Int32], racks: [Int32: String] = [:]) -> [NodeID: String?] {
    Dictionary(uniqueKeysWithValues: numbers.map { (NodeID($0), racks[$0]) })
  }

  func applied(_ plan: RebalancePlan, to placements: [Placement]) -> [Placement] {
    let moved = Dictionary(uniqueKeysWithValues: plan.moves.map { ($0.partition, $0.to) })
    return placements.map { Placement($0.partition, replicas: moved[$0.partition] ?? $0.replicas) }
  }

  /// As topics are created on these nodes.
  func created(_ topics: [String: Int32], on numbers: [Int32], factor: Int, racks: [Int32: String] = [:]) -> [Placement] {
    let images = numbers.map { NodeImage(id: NodeID($0), host: "h", port: 1, rack: racks[$0]) }
    var placements: [Placement] = []
    for (topic, count) in topics.sorted(by: { $0.key < $1.key }) {
      let placing = ReplicaPlacement(nodes: images, random: UInt64(topic.utf8.count) &* 0x9E37_79B9_7F4A_7C15)
      for number in 0..<Int(count) {
        let replicas = placing.replicas(ofPartition: number, replicationFactor: factor)
        placements.append(Placement(TopicPartition(topic: topic, partition: Int32(number)), replicas: replicas))
      }
    }
    return placements
  }

  @Test("a cluster that is balanced stays as it is")
  func nothing() throws {
    let placements = (Int32(0)..<6).map { placement("a", $0, [$0 % 3 + 1, ($0 + 1) % 3 + 1]) }
    let plan = try RebalancePlan(placements, nodes: nodes([1, 2, 3]))
    #expect(plan.moves.isEmpty && plan.copyCount == 0)
    #expect(plan.before == plan.after)
  }

  @Test("a new node gets its share of replicas and leaders, and no more is copied than that")
  func newNode() throws {
    let placements = created(["a": 30, "bb": 50, "ccc": 7], on: [1, 2, 3], factor: 2)
    let plan = try RebalancePlan(placements, nodes: nodes([1, 2, 3, 4]))
    let share = placements.count * 2 / 4
    #expect(plan.copyCount == share)
    #expect(plan.before[NodeID(4)] == RebalancePlan.Load())
    #expect(plan.after.values.allSatisfy { [share, share + 1].contains($0.replicas) })
    let leaders = plan.after.values.map(\.leaders)
    #expect(leaders.max()! - leaders.min()! <= 1)
    let after = applied(plan, to: placements)
    #expect(after.allSatisfy { Set($0.replicas).count == 2 })
    // Each topic is spread, too.
    let ofA = after.filter { $0.partition.topic == "a" && $0.replicas.contains(NodeID(4)) }.count
    #expect((9...21).contains(ofA))
    let again = try RebalancePlan(after, nodes: nodes([1, 2, 3, 4]))
    #expect(again.moves.isEmpty)
  }

  @Test("a node is drained: all that it has goes, nothing else is copied")
  func drain() throws {
    let placements = created(["a": 40, "bb": 20], on: [1, 2, 3, 4], factor: 3)
    let had = placements.count { $0.replicas.contains(NodeID(2)) }
    let plan = try RebalancePlan(placements, nodes: nodes([1, 2, 3, 4]), drained: [NodeID(2)])
    #expect(plan.copyCount == had)
    #expect(applied(plan, to: placements).allSatisfy { !$0.replicas.contains(NodeID(2)) && Set($0.replicas).count == 3 })
    #expect(plan.after[NodeID(2)] == nil || plan.after[NodeID(2)] == RebalancePlan.Load())
    #expect(throws: RebalancePlan.Impossible.self) {
      try RebalancePlan(placements, nodes: nodes([1, 2, 3]), drained: [NodeID(2)])
    }
    #expect(throws: RebalancePlan.Impossible.self) { try RebalancePlan([], nodes: nodes([1]), drained: [NodeID(1)]) }
  }

  @Test("a node that is not there keeps what it has: it may come back")
  func absent() throws {
    let placements = [placement("a", 0, [1, 9]), placement("a", 1, [2, 9])]
    let plan = try RebalancePlan(placements, nodes: nodes([1, 2]))
    #expect(plan.moves.isEmpty)
  }

  @Test("a partition is in as many racks as it can be, before nodes are balanced")
  func racks() throws {
    let racks: [Int32: String] = [1: "x", 2: "x", 3: "y", 4: "z"]
    let placements = (0..<12).map { placement("a", Int32($0), [1, 2]) }
    let plan = try RebalancePlan(placements, nodes: nodes([1, 2, 3, 4], racks: racks))
    let after = applied(plan, to: placements)
    #expect(after.allSatisfy { Set($0.replicas.map { racks[$0.rawValue]! }).count == 2 })
    #expect(plan.after.values.allSatisfy { (5...7).contains($0.replicas) && (2...4).contains($0.leaders) })
  }

  @Test("whatever it begins with, the plan ends, balances, keeps replicas apart, and is stable", arguments: 0..<60)
  func anything(_ seed: Int) throws {
    var state = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 | 1
    func random(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % bound
    }
    let count = Int32(2 + random(6))
    let all = Array(1...count)
    let racked = random(2) == 0
    let racks = racked ? Dictionary(uniqueKeysWithValues: all.map { ($0, "r\($0 % 3)") }) : [:]
    let drained: Set<NodeID> = random(3) == 0 && count > 3 ? [NodeID(1)] : []
    var placements: [Placement] = []
    for number in 0..<random(80) {
      var replicas = all
      for place in replicas.indices { replicas.swapAt(place, random(replicas.count)) }
      let factor = 1 + random(min(3, Int(count) - drained.count))
      placements.append(placement("t\(number % 5)", Int32(number / 5), Array(replicas.prefix(factor))))
    }
    let known = nodes(all, racks: racks)
    let plan = try RebalancePlan(placements, nodes: known, drained: drained)
    let after = applied(plan, to: placements)
    let targets = Set(all.map { NodeID($0) }).subtracting(drained)
    for (old, new) in zip(placements, after) {
      #expect(new.replicas.count == old.replicas.count && Set(new.replicas).count == new.replicas.count)
      #expect(Set(new.replicas).isSubset(of: targets))
      if racked {
        let there = Set(targets.map { racks[$0.rawValue]! }).count
        #expect(Set(new.replicas.map { racks[$0.rawValue]! }).count == min(there, new.replicas.count))
      }
    }
    let loads = targets.map { plan.after[$0] ?? RebalancePlan.Load() }
    if !racked { #expect(loads.map(\.replicas).max()! - loads.map(\.replicas).min()! <= 1) }
    #expect(try RebalancePlan(after, nodes: known, drained: drained).moves.isEmpty)
  }
}
