import Metadata
import Model
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Testing

@testable import Cluster

/// What stands for a node's process: somebody listens, until it is killed.
final class Listening: Sendable {
  private let server: any Channel
  private let accepted = AcceptedChannels()
  let port: Int

  init() async throws {
    let accepted = accepted
    server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        accepted.add(channel)
        return channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(Answering(accepted))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    port = server.localAddress?.port ?? 0
  }

  /// As SIGSTOP would: connections stay, others are taken, and nothing is said.
  func mute() { accepted.isMute = true }
  func speak() { accepted.isMute = false }
  /// How many connections were answered.
  var answeredCount: Int { accepted.answeredCount }

  func kill() async {
    try? await server.close()
    for channel in accepted.all { channel.close(promise: nil) }
  }
}

/// Answers whatever it is asked, unless it is mute.
private final class Answering: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  private let accepted: AcceptedChannels
  init(_ accepted: AcceptedChannels) { self.accepted = accepted }
  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if accepted.isMute { return }
    context.writeAndFlush(data, promise: nil)
    accepted.noteAnswer(on: context.channel)
  }
}

private final class AcceptedChannels: Sendable {
  private let channels = Mutex<[any Channel]>([])
  private let mute = Mutex(false)
  var isMute: Bool {
    get { mute.withLock { $0 } }
    set { mute.withLock { $0 = newValue } }
  }
  private let answered = Mutex<Set<ObjectIdentifier>>([])
  var answeredCount: Int { answered.withLock { $0.count } }
  func noteAnswer(on channel: any Channel) { _ = answered.withLock { $0.insert(ObjectIdentifier(channel)) } }
  func add(_ channel: any Channel) { channels.withLock { $0.append(channel) } }
  var all: [any Channel] { channels.withLock { $0 } }
}

@Suite(.enabled(if: EtcdServer.binary != nil, "tools/install unpacks etcd")) struct EtcdControllerTests {
  struct Trio {
    var server: EtcdServer
    var nodes: [EtcdClusterStore]
    var ports: [Listening]

    /// Three nodes; the first one decides.
    init(sessionSeconds: Int64 = 120) async throws {
      server = try EtcdServer()
      nodes = []
      ports = []
      for number: Int32 in 1...3 {
        let port = try await Listening()
        ports.append(port)
        nodes.append(
          try await openEtcdCluster(
            [server.endpoint], node: number, sessionSeconds: sessionSeconds, mayControl: true, port: port.port))
        let nodes = nodes
        try await eventually { nodes[0].controller == NodeID(1) }
      }
      let nodes = nodes
      try await eventually { nodes.allSatisfy { $0.image.nodes.count == 3 } }
    }

    /// As kill -9 would: connections break, others are refused, leases stay.
    func kill(_ index: Int) async {
      nodes[index].abandon()
      await ports[index].kill()
    }

    func close(_ alive: Int...) async {
      for index in alive {
        nodes[index].close()
        await ports[index].kill()
      }
    }
  }

  func leads(_ node: Int32, _ cluster: EtcdClusterStore) -> Int {
    cluster.image.topics.values.reduce(0) { $0 + $1.partitions.count { $0.leader == NodeID(node) } }
  }

  @Test("a killed node is gone long before its session ends, and what it led is led by others; so is the node that decides")
  func kill() async throws {
    let trio = try await Trio()
    let nodes = trio.nodes
    try await nodes[1].createTopic(
      named: "a", partitionCount: 300, replicationFactor: 3, configuration: [], validateOnly: false)
    try await eventually { nodes[2].image.topics["a"] != nil }
    // Everybody has a connection to everybody.
    try await Task.sleep(for: .milliseconds(700))
    #expect(leads(1, nodes[2]) >= 100)
    await trio.kill(0)
    try await eventually(60, "the first node is gone") { nodes[2].image.nodes[NodeID(1)] == nil }
    try await eventually(60, "what it led is led by others") { leads(1, nodes[2]) == 0 }
    let topic = try #require(nodes[2].image.topics["a"])
    #expect(topic.partitions.allSatisfy { $0.leader != nil })
    #expect(topic.partitions.allSatisfy { $0.leaderEpoch == (($0.replicas[0] == NodeID(1)) ? LeaderEpoch(1) : .zero) })
    #expect([NodeID(2), NodeID(3)].contains(nodes[2].controller))
    // The last of its peers says so alone.
    await trio.kill(1)
    try await eventually(60, "the second node is gone") { leads(2, nodes[2]) == 0 && nodes[2].controller == NodeID(3) }
    #expect(nodes[2].image.topics["a"]?.partitions.allSatisfy { $0.leader == NodeID(3) } == true)
    await trio.close(2)
  }

  @Test("a node that says nothing any more is gone before its session ends; one that is merely not heard objects, and stays")
  func mute() async throws {
    let trio = try await Trio()
    let nodes = trio.nodes
    try await nodes[1].createTopic(
      named: "a", partitionCount: 30, replicationFactor: 3, configuration: [], validateOnly: false)
    try await eventually { nodes[2].image.topics["a"] != nil }
    try await eventually(60, "each has heard both others") { trio.ports.allSatisfy { $0.answeredCount >= 2 } }
    // Its port is silent, but it is there: it says so.
    trio.ports[1].mute()
    try await eventually(60, "the others do not hear it") {
      nodes[0].state.withLock { $0.unheard } == [NodeID(2)] && nodes[2].state.withLock { $0.unheard } == [NodeID(2)]
    }
    try await eventually(60, "it objects") {
      nodes[0].state.withLock { !$0.denials.isEmpty } && nodes[2].state.withLock { !$0.denials.isEmpty }
    }
    try await eventually(60, "it stays, or is there again") { nodes[0].image.nodes[NodeID(2)] != nil }
    trio.ports[1].speak()
    try await eventually(60, "it is heard again") { nodes.allSatisfy { $0.state.withLock { $0.unheard.isEmpty } } }
    // The first node is stopped: neither does it say anything, nor does it object.
    trio.ports[0].mute()
    nodes[0].abandon()
    try await eventually(60, "it is gone") { nodes[2].image.nodes[NodeID(1)] == nil }
    try await eventually(60, "what it led is led by others") { leads(1, nodes[2]) == 0 }
    await trio.close(1, 2)
    await trio.ports[0].kill()
  }

  @Test("a leader that cannot serve a partition gives it away, and is out of its in-sync set; alone it keeps it")
  func giveUp() async throws {
    let server = try EtcdServer()
    let one = try await openEtcdCluster([server.endpoint], node: 1)
    let two = try await openEtcdCluster([server.endpoint], node: 2)
    try await eventually { one.image.nodes.count == 2 }
    let topic = try await one.createTopic(
      named: "a", assignments: [[NodeID(1), NodeID(2)]], configuration: [], validateOnly: false)
    let identity = PartitionIdentity(topicID: topic.id, partition: 0)
    #expect(try await one.giveUp(identity, in: LeaderEpoch(3), by: NodeID(1)) == nil)
    #expect(try await one.giveUp(identity, in: .zero, by: NodeID(2)) == nil)
    #expect(try await one.giveUp(identity, in: .zero, by: NodeID(1)) == NodeID(2))
    let after = try #require(one.image.topics["a"]?.partitions[0])
    #expect(after.leader == NodeID(2) && after.leaderEpoch == LeaderEpoch(1) && after.isr == [NodeID(2)])
    #expect(try await one.giveUp(identity, in: LeaderEpoch(1), by: NodeID(2)) == nil)
    one.close()
    two.close()
  }

  @Test("a change is made of the version that it was computed from, and of no later one that looks the same")
  func versions() async throws {
    let server = try EtcdServer()
    let one = try await openEtcdCluster([server.endpoint], node: 1)
    let two = try await openEtcdCluster([server.endpoint], node: 2)
    try await eventually { one.image.nodes.count == 2 }
    let topic = try await one.createTopic(
      named: "a", assignments: [[NodeID(1), NodeID(2)]], configuration: [], validateOnly: false)
    func now() throws -> PartitionImage { try #require(one.image.topics["a"]?.partitions[0]) }
    func change(_ expected: PartitionImage, isr: [Int32]) async throws -> [Bool] {
      var next = expected
      next.isr = isr.map { NodeID($0) }
      return try await one.changePartitions([
        PartitionChange(topicID: topic.id, partition: 0, expected: expected, next: next)
      ])
    }
    let first = try now()
    #expect(try await change(first, isr: [1]) == [true])
    #expect(try await change(try now(), isr: [1, 2]) == [true])
    #expect(try now().isDecided(as: first) && now() != first)
    #expect(try await change(first, isr: [1]) == [false])
    #expect(try now().isr.count == 2)
    one.close()
    two.close()
  }

  @Test("who hears nobody of several others is itself cut off; of two nobody can tell")
  func cutOff() {
    func isCutOff(_ unheard: [Int32], _ others: [Int32]) -> Bool {
      EtcdImage.isCutOff(hearsNothingOf: Set(unheard.map { NodeID($0) }), of: Set(others.map { NodeID($0) }))
    }
    #expect(!isCutOff([], [2, 3]) && !isCutOff([2], [2, 3]) && isCutOff([2, 3], [2, 3]))
    #expect(!isCutOff([2], [2]) && !isCutOff([4, 5], [2, 3]) && isCutOff([2, 3], [2, 3, 4]))
  }

  @Test("who is wrongly said to be gone denies it; who was taken for gone comes back")
  func wronged() async throws {
    let trio = try await Trio()
    let (one, two) = (trio.nodes[0], trio.nodes[1])
    let client = EtcdClient(endpoints: [trio.server.endpoint])
    let incarnation = try #require(one.seen().node(NodeID(2))?.record.incarnation)
    let said = recordBytes(SuspicionRecord(incarnation: incarnation))
    _ = try await client.transaction(
      if: [], [.put("/quire/suspects/2/1", said), .put("/quire/suspects/2/3", said)])
    try await eventually { one.seen().suspicions.isEmpty && two.seen().suspicions.isEmpty }
    #expect(one.image.nodes[NodeID(2)] != nil)
    _ = try await client.transaction(if: [], [.delete("/quire/nodes/2")])
    try await eventually { one.seen().node(NodeID(2))?.record.incarnation == incarnation }
    await client.close()
    await trio.close(0, 1, 2)
  }

  @Test("a node that stops hands 1,000 partitions over")
  func handOver() async throws {
    let trio = try await Trio()
    let nodes = trio.nodes
    try await nodes[0].createTopic(
      named: "a", partitionCount: 1000, replicationFactor: 3, configuration: [], validateOnly: false)
    try await eventually { nodes[2].image.topics["a"] != nil }
    // All of them led by one node.
    let topic = try #require(nodes[2].image.topics["a"])
    _ = try await nodes[2].changePartitions(
      topic.partitions.enumerated().filter { $1.leader != NodeID(3) }.map { number, partition in
        var next = partition
        next.leader = NodeID(3)
        next.leaderEpoch = next.leaderEpoch.next
        return PartitionChange(topicID: topic.id, partition: Int32(number), expected: partition, next: next)
      })
    #expect(nodes[2].image.topics["a"]?.partitions.allSatisfy { $0.leader == NodeID(3) } == true)
    #expect(try await nodes[2].handOver(from: NodeID(3)) == 0)
    #expect(nodes[2].image.nodes[NodeID(3)]?.isStopping == true)
    let after = try #require(nodes[2].image.topics["a"])
    #expect(after.partitions.allSatisfy { $0.leader != nil && $0.leader != NodeID(3) && $0.isr.count == 2 })
    await trio.close(0, 1, 2)
  }

  @Test("a controller that is killed with its connections still open is followed by another one after its key's own lease")
  func silentController() async throws {
    let trio = try await Trio()
    trio.nodes[0].abandon()
    try await eventually(60) { [NodeID(2), NodeID(3)].contains(trio.nodes[2].controller) }
    // Its session has not ended, and it is not known that it is gone.
    #expect(trio.nodes[2].image.nodes[NodeID(1)] != nil)
    await trio.close(1, 2)
    await trio.ports[0].kill()
  }

  @Test("the coordinators' topic is there once a node is, and grows with the cluster up to three replicas")
  func coordinatorTopic() async throws {
    let server = try EtcdServer()
    let one = try await openEtcdCluster([server.endpoint], node: 1, mayControl: true)
    try await eventually { one.image.topics[CoordinatorTopic.name]?.partitions.count == Limits.coordinatorShardCount }
    #expect(one.image.topic(CoordinatorTopic.id)?.partitions.allSatisfy { $0.replicas == [NodeID(1)] } == true)
    #expect(one.image.clientTopics.isEmpty)
    let two = try await openEtcdCluster([server.endpoint], node: 2)
    try await eventually {
      one.image.topic(CoordinatorTopic.id)?.partitions.allSatisfy {
        $0.replicas == [NodeID(1), NodeID(2)] && $0.addingReplicas == [NodeID(2)] && $0.leader == NodeID(1)
      } == true
    }
    // As its leader would, once the new replica has everything.
    let topic = try #require(one.image.topic(CoordinatorTopic.id))
    _ = try await one.changePartitions(
      topic.partitions.enumerated().map { number, partition in
        var next = partition
        next.isr = next.replicas
        return PartitionChange(topicID: topic.id, partition: Int32(number), expected: partition, next: next)
      })
    try await eventually {
      one.image.topic(CoordinatorTopic.id)?.partitions.allSatisfy { !$0.isBeingReassigned && $0.isr.count == 2 } == true
    }
    two.close()
    one.close()
  }

  @Test("a node that comes with an empty directory is in sync nowhere; what it alone had waits for somebody to give it up")
  func lostDirectory() async throws {
    let server = try EtcdServer()
    let one = try await openEtcdCluster(
      [server.endpoint], node: 1, mayControl: true, directory: DirectoryIdentity(id: "first", place: nil))
    try await eventually { one.controller == NodeID(1) }
    let two = try await openEtcdCluster([server.endpoint], node: 2)
    try await eventually { one.image.nodes.count == 2 }
    try await one.createTopic(named: "shared", partitionCount: 2, replicationFactor: 2, configuration: [], validateOnly: false)
    try await one.createTopic(named: "single", partitionCount: 2, replicationFactor: 1, configuration: [], validateOnly: false)
    one.close()
    try await eventually { two.image.nodes[NodeID(1)] == nil }
    let again = try await openEtcdCluster(
      [server.endpoint], node: 1, mayControl: true, directory: DirectoryIdentity(id: "second", place: nil))
    let shared = try #require(again.image.topics["shared"])
    #expect(shared.partitions.allSatisfy { $0.isr == [NodeID(2)] && $0.leader == NodeID(2) })
    let single = try #require(again.image.topics["single"])
    let number = try #require(single.partitions.firstIndex { $0.replicas == [NodeID(1)] })
    #expect(single.partitions[number].isr == [] && single.partitions[number].leader == nil)
    try await eventually { again.controller == NodeID(1) }
    let partition = TopicPartition(topic: "single", partition: Int32(number))
    #expect(
      try await again.electLeaders(of: [partition], isUnclean: false)[partition]??.errorCode == .preferredLeaderNotAvailable)
    #expect(again.image.topics["single"]?.partitions[number].leader == nil)
    #expect(try await again.electLeaders(of: [partition], isUnclean: true)[partition] == .some(nil))
    #expect(again.image.topics["single"]?.partitions[number].leader == NodeID(1))
    #expect(try await again.electLeaders(of: [partition], isUnclean: true)[partition]??.errorCode == .electionNotNeeded)
    again.close()
    two.close()
  }

  @Test("a node that restarts in its directory does not wait for the session of its former life to end")
  func quickRestart() async throws {
    let server = try EtcdServer()
    let directory = DirectoryIdentity(id: "d", place: "here")
    let first = try await openEtcdCluster([server.endpoint], node: 1, sessionSeconds: 300, directory: directory)
    first.abandon()
    let second = try await openEtcdCluster([server.endpoint], node: 1, sessionSeconds: 300, directory: directory)
    #expect(second.seen().node(NodeID(1))?.record.incarnation == second.incarnation)
    second.close()
  }

  @Test("partitions are moved, and moves are taken back; what cannot be is refused with Kafka's code")
  func reassignment() async throws {
    let server = try EtcdServer()
    var nodes: [EtcdClusterStore] = []
    for number: Int32 in 1...3 { nodes.append(try await openEtcdCluster([server.endpoint], node: number, mayControl: true)) }
    try await eventually { nodes[0].image.nodes.count == 3 && nodes[2].controller != nil }
    let store = nodes[0]
    let topic = try await store.createTopic(
      named: "a", partitionCount: 1, replicationFactor: 1, configuration: [], validateOnly: false)
    let name = TopicPartition(topic: "a", partition: 0)
    let byHand = try await store.createTopic(
      named: "b", assignments: [[NodeID(3), NodeID(1)], [NodeID(2)]], configuration: [], validateOnly: false)
    #expect(byHand.partitions.map(\.replicas) == [[NodeID(3), NodeID(1)], [NodeID(2)]])
    let home = topic.partitions[0].replicas[0]
    let away = try #require([NodeID(1), NodeID(2), NodeID(3)].first { $0 != home })
    func partition() throws -> PartitionImage { try #require(store.image.topics["a"]?.partitions[0]) }
    func reassign(_ target: [NodeID]?) async throws -> ErrorCode? {
      try await store.reassign([name: target])[name]??.errorCode
    }
    #expect(try await reassign(nil) == .noReassignmentInProgress)
    #expect(try await reassign([]) == .invalidReplicaAssignment)
    #expect(try await reassign([away, away]) == .invalidReplicaAssignment)
    #expect(try await reassign([NodeID(77)]) == .invalidReplicaAssignment)
    let strange = TopicPartition(topic: "c", partition: 0)
    #expect(try await store.reassign([strange: [away]])[strange]??.errorCode == .unknownTopicOrPartition)

    #expect(try await reassign([away]) == nil)
    #expect(try partition().replicas == [away, home])
    #expect(try partition().addingReplicas == [away] && partition().removingReplicas == [home])
    #expect(try partition().leader == home && partition().isr == [home])
    #expect(try await reassign(nil) == nil)
    #expect(try partition().isDecided(as: topic.partitions[0]))

    #expect(try await reassign([away]) == nil)
    // As the leader would, once the new replica has everything: the controller does the rest.
    var caughtUp = try partition()
    caughtUp.isr = [home, away]
    _ = try await store.changePartitions([
      PartitionChange(topicID: topic.id, partition: 0, expected: try partition(), next: caughtUp)
    ])
    try await eventually { store.image.topics["a"]?.partitions[0].replicas == [away] }
    #expect(try partition().leader == away && partition().isr == [away] && partition().leaderEpoch == LeaderEpoch(1))
    for node in nodes { node.close() }
  }
}
