internal import Export
internal import KafkaClient
internal import Metadata
internal import Model

/// Plans which partitions go where, shows the plan, and carries it out.
enum PartitionMoves {
  private static let pause = Duration.milliseconds(300)

  /// - Throws: the plan cannot be, or not all of it could be carried out.
  static func run(
    _ client: KafkaClient, drained: Set<NodeID>, _ options: MovingOptions, executes: Bool
  ) async throws {
    let asked = try await AskedCluster.ask(client)
    let known = Set(asked.placements.flatMap(\.replicas)).union(asked.nodes.keys)
    if let strange = drained.first(where: { !known.contains($0) }) { throw CommandFailure("there is no node \(strange)") }
    let plan: RebalancePlan
    do throws(RebalancePlan.Impossible) {
      plan = try RebalancePlan(asked.placements, nodes: asked.nodes, drained: drained)
    } catch { throw CommandFailure(error.description) }
    try show(plan, options.format)
    if !asked.underWay.isEmpty { say("\(asked.underWay.count) partitions are being moved already") }
    guard executes else {
      if !plan.moves.isEmpty { say("this is a plan: --execute carries it out") }
      return
    }
    if let throttle = options.throttle { try await client.alterConfigurationOfNodes([(throttleKey, "\(throttle)")]) }
    do { try await carryOut(plan, client, concurrency: options.concurrency) } catch let error as CancellationError {
      say(
        "what has begun goes on; the same command does the rest, `quire cluster rebalance --cancel` takes back what is under way"
      )
      if options.throttle != nil { say("\(throttleKey) stays set until the command ends by itself, or somebody sets it") }
      throw error
    }
    if options.throttle != nil { try await client.alterConfigurationOfNodes([(throttleKey, nil)]) }
  }

  private static let throttleKey = "quire.peer.catchup.bytes.per.second"

  static func cancel(_ client: KafkaClient) async throws {
    let underWay = try await client.reassignments()
    let refused = try await client.reassign(Dictionary(uniqueKeysWithValues: underWay.map { ($0.partition, [Int32]?.none) }))
    try tell(refused)
    say("took back \(underWay.count) \(underWay.count == 1 ? "move" : "moves")")
  }

  // MARK: The plan

  private static func show(_ plan: RebalancePlan, _ format: ListFormat) throws {
    let output = OutputStream.standardOutput()
    let nodes = Set(plan.before.keys).union(plan.after.keys).sorted()
    switch format {
    case .table:
      var table = TextTable([("NODE", .right), ("REPLICAS", .right), ("LEADERS", .right)])
      for node in nodes {
        let (before, after) = (plan.before[node] ?? RebalancePlan.Load(), plan.after[node] ?? RebalancePlan.Load())
        table.row("\(node)", change(before.replicas, after.replicas), change(before.leaders, after.leaders))
      }
      try output.write(table.text)
      let copies = "\(plan.copyCount) \(plan.copyCount == 1 ? "replica" : "replicas")"
      let partitions = "\(plan.moves.count) \(plan.moves.count == 1 ? "partition" : "partitions")"
      try output.write(
        plan.moves.isEmpty ? "nothing to move\n" : "\(partitions) to change, \(copies) to copy\n")
    case .json:
      try output.line(
        JSON.object([
          (
            "nodes",
            .array(
              nodes.map { node in
                let (before, after) = (plan.before[node] ?? RebalancePlan.Load(), plan.after[node] ?? RebalancePlan.Load())
                return .object([
                  ("node", .number(Int(node.rawValue))), ("replicas", .number(before.replicas)),
                  ("leaders", .number(before.leaders)), ("planned_replicas", .number(after.replicas)),
                  ("planned_leaders", .number(after.leaders)),
                ])
              })
          ),
          (
            "moves",
            .array(
              plan.moves.map { move in
                .object([
                  ("topic", .string(move.partition.topic)), ("partition", .number(Int(move.partition.partition))),
                  ("from", .array(move.from.map { .number(Int($0.rawValue)) })),
                  ("to", .array(move.to.map { .number(Int($0.rawValue)) })),
                ])
              })
          ),
        ]).text)
    }
    try output.flush()
  }

  private static func change(_ before: Int, _ after: Int) -> String { before == after ? "\(after)" : "\(before) -> \(after)" }

  // MARK: Carrying it out

  private static func carryOut(_ plan: RebalancePlan, _ client: KafkaClient, concurrency: Int) async throws {
    var waiting = plan.moves[...]
    var refused: [TopicPartition: String] = [:]
    var line = StatusLine(sharesTerminal: true)
    defer { line.clear() }
    while true {
      let underWay = try await client.reassignments().count
      let begun = waiting.prefix(max(0, concurrency - underWay))
      waiting = waiting.dropFirst(begun.count)
      if !begun.isEmpty {
        let targets = begun.map { ($0.partition, Optional($0.to.map(\.rawValue))) }
        refused.merge(try await client.reassign(Dictionary(uniqueKeysWithValues: targets))) { $1 }
      } else if underWay == 0 {
        break
      }
      if line.isDue {
        let done = max(0, plan.moves.count - waiting.count - begun.count - underWay)
        line.show("moved \(done) of \(plan.moves.count) partitions, \(underWay + begun.count) under way")
      }
      try await Task.sleep(for: pause)
    }
    line.clear()
    try tell(refused)
    let partitions = try await AskedCluster.ask(client).notLedByPreferred
    let elected = partitions.isEmpty ? 0 : try await client.electPreferredLeaders(of: partitions)
    say("moved \(plan.moves.count) partitions; \(elected) of all have another leader now")
  }

  private static func tell(_ refused: [TopicPartition: String]) throws {
    for (partition, why) in refused.sorted(by: { $0.key < $1.key }) { say("\(partition) is not moved: \(why)") }
    if !refused.isEmpty { throw FailureAlreadyTold() }
  }
}

/// What a plan begins with.
private struct AskedCluster {
  var nodes: [NodeID: String?]
  /// Where partitions are, or are on the way to.
  var placements: [RebalancePlan.Placement] = []
  var underWay: Set<TopicPartition>
  var notLedByPreferred: [TopicPartition] = []

  static func ask(_ client: KafkaClient) async throws -> AskedCluster {
    let nodes = try await client.nodes()
    let underWay = try await client.reassignments()
    let removing = Dictionary(uniqueKeysWithValues: underWay.map { ($0.partition, $0.removing) })
    var asked = AskedCluster(
      nodes: Dictionary(uniqueKeysWithValues: nodes.map { (NodeID($0.id), $0.rack) }), underWay: Set(removing.keys))
    var topics = try await client.topics()
    // The coordinators' topic is in no list. A node that is alone has none.
    topics += try await client.describe([CoordinatorTopic.name]).filter { $0.errorCode == .none }
    for topic in topics {
      for partition in topic.partitions {
        let name = TopicPartition(topic: topic.name, partition: partition.index)
        let replicas = partition.replicas.filter { !removing[name, default: []].contains($0) }
        asked.placements.append(RebalancePlan.Placement(name, replicas: replicas.map { NodeID($0) }))
        if partition.leaderID != partition.replicas.first { asked.notLedByPreferred.append(name) }
      }
    }
    return asked
  }
}
