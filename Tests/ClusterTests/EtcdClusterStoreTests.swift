import Glibc
import Logging
import Metadata
import Model
import Synchronization
import TestSupport
import Testing

@testable import Cluster

func openEtcdCluster(
  _ endpoints: [String], node: Int32, rack: String? = nil, sessionSeconds: Int64 = 30, registers: Bool = true,
  mayControl: Bool = false, port: Int = 9, directory: DirectoryIdentity? = nil, settings: NodeSettings = NodeSettings()
) async throws -> EtcdClusterStore {
  var options = EtcdClusterStore.Options(endpoints: endpoints)
  options.mayControl = mayControl
  options.directory = directory
  options.sessionSeconds = sessionSeconds
  let deadline = ContinuousClock.now + .seconds(20)
  while true {
    do {
      let cluster = try await EtcdClusterStore.open(
        options, clusterID: "the-cluster-\(node)", nodeID: NodeID(node), settings: settings,
        entropy: { UInt64.random(in: .min ... .max) }, now: { 1000 },
        logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
      if registers {
        do {
          try await cluster.register(NodeImage(id: NodeID(node), host: "127.0.0.1", port: Int32(port), rack: rack))
        } catch {
          cluster.close()
          throw error
        }
      }
      return cluster
    } catch let error as ClusterError where error.errorCode == .brokerNotAvailable && ContinuousClock.now < deadline {
      // etcd is still starting.
      try await Task.sleep(for: .milliseconds(100))
    }
  }
}

/// Polls until the condition holds.
func eventually(_ seconds: Int = 20, _ what: String = "", _ condition: () -> Bool) async throws {
  let deadline = ContinuousClock.now + .seconds(seconds)
  while !condition() {
    guard ContinuousClock.now < deadline else {
      Issue.record("not within \(seconds) s: \(what)")
      return
    }
    try await Task.sleep(for: .milliseconds(20))
  }
}

@Suite(.enabled(if: EtcdServer.binary != nil, "tools/install unpacks etcd")) struct EtcdClusterStoreTests {
  @Test("nodes see each other and what each of them changes; whoever leaves is gone at once, and another one decides")
  func severalNodes() async throws {
    let server = try EtcdServer()
    let one = try await openEtcdCluster([server.endpoint], node: 1, rack: "x", mayControl: true)
    try await eventually { one.controller == NodeID(1) }
    let two = try await openEtcdCluster([server.endpoint], node: 2, rack: "y", mayControl: true)
    try await eventually { one.image.nodes.count == 2 && two.image.nodes.count == 2 }
    #expect(one.image.clusterID == two.image.clusterID)
    #expect(two.image.nodes[NodeID(1)]?.rack == "x")
    try await eventually { one.controller == NodeID(1) && two.controller == NodeID(1) }

    let topic = try await one.createTopic(
      named: "a", partitionCount: 4, replicationFactor: 2, configuration: [("retention.ms", "5")], validateOnly: false)
    try await eventually { two.image.topic("a") == topic }
    #expect(Set(topic.partitions.map(\.leader)) == [NodeID(1), NodeID(2)])
    #expect(topic.partitions.allSatisfy { Set($0.replicas) == [NodeID(1), NodeID(2)] })
    try await two.createPartitions(topic: "a", count: 6, validateOnly: false)
    try await two.alterConfigurations(
      of: .topic("a"), [SettingChange(name: "retention.ms", operation: .set, value: "8")], validateOnly: false)
    try await eventually { one.image.topic("a") == two.image.topic("a") && one.image.topic("a")?.partitions.count == 6 }

    one.close()
    try await eventually(15, "node 1 is gone without its session having to end") {
      two.image.nodes.keys.sorted() == [NodeID(2)]
    }
    try await eventually { two.controller == NodeID(2) }
    try await two.deleteTopic(named: "a")
    #expect(two.image.clientTopics.isEmpty)
    two.close()
  }

  @Test("a node that says nothing is taken for gone when its session ends")
  func session() async throws {
    let server = try EtcdServer()
    let one = try await openEtcdCluster([server.endpoint], node: 1, sessionSeconds: 2)
    let client = EtcdClient(endpoints: [server.endpoint])
    let lease = try await client.grantLease(seconds: 2)
    let record = recordBytes(NodeRecord(host: "h", port: 1, rack: nil, incarnation: "x"))
    _ = try await client.transaction(if: [], [.put("/quire/nodes/7", record, lease: lease)])
    try await eventually { one.image.nodes[NodeID(7)] != nil }
    try await eventually { one.image.nodes[NodeID(7)] == nil }
    // The other one keeps its own alive, and comes back should it have been late.
    try await eventually { one.image.nodes[NodeID(1)] != nil }
    await #expect(throws: EtcdError.leaseGone) { try await client.keepAlive(lease) }
    await client.close()
    one.close()
  }

  @Test("a second node with the same id is refused")
  func duplicateNode() async throws {
    let server = try EtcdServer()
    let one = try await openEtcdCluster([server.endpoint], node: 1, sessionSeconds: 3)
    do {
      _ = try await openEtcdCluster([server.endpoint], node: 1, sessionSeconds: 3)
      Issue.record("it was let in")
    } catch let error as ClusterError { #expect(error.errorCode == .duplicateBrokerRegistration) }
    try await eventually { one.image.nodes[NodeID(1)] != nil }
    one.close()
  }

  @Test("a topic of 300 partitions is seen whole or not at all, and spread evenly")
  func manyPartitions() async throws {
    let server = try EtcdServer()
    var nodes: [EtcdClusterStore] = []
    for number: Int32 in 1...3 { nodes.append(try await openEtcdCluster([server.endpoint], node: number)) }
    try await eventually { nodes[0].image.nodes.count == 3 }
    let isDone = Atomic(false)
    let seen = Task { [two = nodes[1]] in
      var counts: Set<Int> = []
      while !isDone.load(ordering: .relaxed) {
        if let topic = two.image.topic("a") { counts.insert(topic.partitions.count) }
        try? await Task.sleep(for: .milliseconds(1))
      }
      return counts
    }
    let topic = try await nodes[0].createTopic(
      named: "a", partitionCount: 300, replicationFactor: 2, configuration: [], validateOnly: false)
    try await eventually { nodes[1].image.topic("a") == topic }
    try await Task.sleep(for: .milliseconds(20))
    isDone.store(true, ordering: .relaxed)
    #expect(await seen.value == [300])
    for number: Int32 in 1...3 {
      #expect(topic.partitions.count { $0.leader == NodeID(number) } == 100)
      #expect(topic.partitions.count { $0.replicas.contains(NodeID(number)) } == 200)
    }
    for node in nodes { node.close() }
  }

  @Test("of many partitions those that are as expected are changed, whoever changes others at the same time")
  func partitionChanges() async throws {
    let server = try EtcdServer()
    let one = try await openEtcdCluster([server.endpoint], node: 1)
    let two = try await openEtcdCluster([server.endpoint], node: 2)
    try await eventually { one.image.nodes.count == 2 && two.image.nodes.count == 2 }
    let topic = try await one.createTopic(
      named: "a", partitionCount: 250, replicationFactor: 2, configuration: [], validateOnly: false)
    try await eventually { two.image.topic("a") == topic }
    func changes(_ numbers: some Sequence<Int>, _ change: (inout PartitionImage) -> Void) -> [PartitionChange] {
      numbers.map { number in
        var next = topic.partitions[number]
        change(&next)
        return PartitionChange(topicID: topic.id, partition: Int32(number), expected: topic.partitions[number], next: next)
      }
    }
    let leaderless = changes(0..<250) {
      $0.leader = nil
      $0.leaderEpoch = $0.leaderEpoch.next
      $0.addingReplicas = [NodeID(3)]
    }
    let shrunk = changes(stride(from: 5, to: 250, by: 10)) { $0.isr = [$0.replicas[1]] }
    async let ofOne = one.changePartitions(leaderless)
    async let ofTwo = two.changePartitions(shrunk)
    let (first, second) = try await (ofOne, ofTwo)
    for (index, change) in shrunk.enumerated() { #expect(first[Int(change.partition)] != second[index]) }
    #expect(first.count { !$0 } == second.count { $0 })
    try await eventually { one.image.topic("a") == two.image.topic("a") }
    let partitions = try #require(one.image.topic("a")?.partitions)
    for (change, isMade) in zip(leaderless + shrunk, first + second) where isMade {
      #expect(partitions[Int(change.partition)].isDecided(as: change.next))
    }
    one.close()
    two.close()
  }

  @Test("a node tells where others fetch pages from it, and what becomes of it")
  func nodeRecord() throws {
    var node = NodeImage(id: NodeID(3), host: "h", port: 9, rack: "r", peer: HostPort("[::1]:7"))
    node.isStopping = true
    let entry = EtcdEntry(key: "k", value: recordBytes(NodeRecord(node, incarnation: "x")), modRevision: 1)
    #expect(try record(NodeRecord.self, entry).image(NodeID(3)) == node)
    // As an earlier version wrote it.
    let old = EtcdEntry(key: "k", value: Array(#"{"host":"h","port":9,"incarnation":"x"}"#.utf8), modRevision: 1)
    #expect(try record(NodeRecord.self, old).image(NodeID(3)) == NodeImage(id: NodeID(3), host: "h", port: 9, rack: nil))
  }

  @Test("while etcd is away the image stays and changes are refused; when it is back, both go on")
  func outage() async throws {
    let server = try EtcdServer()
    let one = try await openEtcdCluster([server.endpoint], node: 1)
    try await one.createTopic(named: "a", partitionCount: 1, configuration: [:])
    server.kill()
    do {
      try await one.createTopic(named: "b", partitionCount: 1, configuration: [:])
      Issue.record("a topic was created without etcd")
    } catch {
      #expect(error.errorCode == .brokerNotAvailable || error.errorCode == .requestTimedOut)
    }
    #expect(one.image.topics.keys.sorted() == ["a"])
    try server.start()
    try await eventually(30, "changes are possible again") {
      one.image.nodes[NodeID(1)] != nil
    }
    let other = try await openEtcdCluster([server.endpoint], node: 2)
    try await other.createTopic(named: "c", partitionCount: 1, configuration: [:])
    try await eventually(30, "the watch goes on") { one.image.topic("c") != nil && one.image.nodes.count == 2 }
    try await one.deleteTopic(named: "c")
    other.close()
    one.close()
  }

  @Test("an etcd that does not answer is left for the next endpoint")
  func endpoints() async throws {
    let server = try EtcdServer()
    let dead = "http://127.0.0.1:\(freePort())"
    let one = try await openEtcdCluster([dead, server.endpoint], node: 1)
    try await one.createTopic(named: "a", partitionCount: 1, configuration: [:])
    #expect(one.image.topic("a") != nil)
    one.close()
  }

  @Test("changes that etcd no longer keeps are made up for by reading everything anew")
  func compaction() async throws {
    let server = try EtcdServer()
    let one = try await openEtcdCluster([server.endpoint], node: 1)
    try await one.createTopic(named: "old", partitionCount: 1, configuration: [:])
    try await one.createTopic(named: "stays", partitionCount: 1, configuration: [:])
    let client = EtcdClient(endpoints: [server.endpoint])
    let begin = try await client.entries(withPrefix: "/quire/").revision
    // What one has seen is kept for a store that has seen no more than this.
    let behind = try await openEtcdCluster([server.endpoint], node: 2, registers: false)
    behind.stopFollowing()
    try await one.deleteTopic(named: "old")
    try await one.createTopic(named: "new", partitionCount: 2, configuration: [:])
    try await one.alterConfigurations(
      of: .topic("stays"), [SettingChange(name: "retention.ms", operation: .set, value: "8")], validateOnly: false)
    let end = try await client.entries(withPrefix: "/quire/").revision
    try await client.compact(before: end)
    await #expect(throws: EtcdError.compacted) {
      try await client.watch(prefix: "/quire/", from: begin) { _ in }
    }
    #expect(behind.image.topics.keys.sorted() == ["old", "stays"])
    behind.follow()
    try await eventually { behind.image.topics == one.image.topics }
    behind.close()
    one.close()
    await client.close()
  }
}
