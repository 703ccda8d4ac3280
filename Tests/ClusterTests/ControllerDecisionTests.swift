import Metadata
import Model
import Testing

@testable import Cluster

@Suite struct ControllerDecisionTests {
  /// An image with these nodes, and one topic with these partitions.
  func image(
    _ nodes: [Int32], stopping: [Int32] = [], recovering: [Int32] = [], isUnclean: Bool = false, _ partitions: [PartitionImage]
  ) throws -> ClusterImage {
    var image = ClusterImage(clusterID: "c", nodeSettings: NodeSettings())
    for number in nodes {
      var node = NodeImage(id: NodeID(number), host: "h", port: 9, rack: nil)
      node.isStopping = stopping.contains(number)
      node.isRecovering = recovering.contains(number)
      try image.apply(.nodeRegistered(node))
    }
    let settings = isUnclean ? ["unclean.leader.election.enable": "true"] : [:]
    let topic = TopicImage(name: "a", id: TopicID(high: 1, low: 2), partitions: partitions, settings: settings)
    try image.apply(.topicCreated(topic))
    return image
  }

  func partition(
    _ leader: Int32?, _ replicas: [Int32], isr: [Int32], adding: [Int32] = [], removing: [Int32] = []
  ) -> PartitionImage {
    func nodes(_ numbers: [Int32]) -> [NodeID] { numbers.map { NodeID($0) } }
    return PartitionImage(
      leader: leader.map { NodeID($0) }, leaderEpoch: LeaderEpoch(5), replicas: nodes(replicas), isr: nodes(isr),
      addingReplicas: nodes(adding), removingReplicas: nodes(removing))
  }

  /// What becomes of one partition: `leader(+epochs) replicas isr`, nil if nothing.
  func outcome(_ changes: [PartitionChange]) -> String? {
    guard let change = changes.first else { return nil }
    func text(_ nodes: [NodeID]) -> String { nodes.map(\.description).joined() }
    let next = change.next
    let epochs = next.leaderEpoch.rawValue - change.expected.leaderEpoch.rawValue
    return "\(next.leader?.description ?? "-")+\(epochs) \(text(next.replicas)) \(text(next.isr))"
      + (next.isBeingReassigned ? " moving" : "")
  }

  @Test("a leader that is gone is followed by the first in-sync replica that is there")
  func elections() throws {
    func elected(
      _ nodes: [Int32], stopping: [Int32] = [], recovering: [Int32] = [], isUnclean: Bool = false, _ partition: PartitionImage
    ) throws -> String? {
      outcome(
        ControllerDecisions(try image(nodes, stopping: stopping, recovering: recovering, isUnclean: isUnclean, [partition]))
          .changes)
    }
    #expect(try elected([1, 2, 3], partition(1, [1, 2, 3], isr: [1, 2, 3])) == nil)
    #expect(try elected([2, 3], partition(1, [1, 2, 3], isr: [1, 2, 3])) == "2+1 123 23")
    #expect(try elected([2, 3], partition(1, [1, 2, 3], isr: [1, 3])) == "3+1 123 3")
    // Gone followers are their leader's to leave out.
    #expect(try elected([1, 2], partition(1, [1, 2, 3], isr: [1, 2, 3])) == nil)
    // Nobody who has everything is there: nobody leads, and the set stays.
    #expect(try elected([2, 3], partition(1, [1, 2, 3], isr: [1])) == "-+1 123 1")
    #expect(try elected([2, 3], partition(nil, [1, 2, 3], isr: [1])) == nil)
    #expect(try elected([1, 2, 3], partition(nil, [1, 2, 3], isr: [1])) == "1+1 123 1")
    #expect(try elected([2, 3], isUnclean: true, partition(nil, [1, 2, 3], isr: [1])) == "2+1 123 2")
    #expect(try elected([2, 3], isUnclean: true, partition(1, [1, 2, 3], isr: [1, 3])) == "3+1 123 3")
    // Who stops or recovers leads only where nobody else can, but has what was acknowledged.
    #expect(try elected([2, 3], stopping: [2], partition(1, [1, 2, 3], isr: [1, 2, 3])) == "3+1 123 23")
    #expect(try elected([2, 3], recovering: [2], partition(1, [1, 2, 3], isr: [1, 2, 3])) == "3+1 123 23")
    #expect(try elected([2, 3], recovering: [2], partition(1, [1, 2, 3], isr: [1, 2])) == "2+1 123 2")
    #expect(try elected([2, 3], stopping: [2], recovering: [3], partition(1, [1, 2, 3], isr: [1, 2, 3])) == "3+1 123 23")
    // A stopping leader hands over by itself.
    #expect(try elected([1, 2, 3], stopping: [1], partition(1, [1, 2, 3], isr: [1, 2, 3])) == nil)
    // A disk that was replaced has nothing: its node is in no in-sync set, and its being there does not help.
    #expect(try elected([1, 2], partition(nil, [1, 2], isr: [])) == nil)
    #expect(try elected([1, 2], isUnclean: true, partition(nil, [1, 2], isr: [])) == "1+1 12 1")
  }

  @Test("a node that stops gives every leadership away that somebody in sync can take")
  func handOver() throws {
    func given(_ nodes: [Int32], stopping: [Int32] = [1], _ partition: PartitionImage) throws -> String? {
      outcome(ControllerDecisions(try image(nodes, stopping: stopping, [partition])).handOver(from: NodeID(1)))
    }
    #expect(try given([1, 2, 3], partition(1, [1, 2, 3], isr: [1, 2, 3])) == "2+1 123 23")
    #expect(try given([1, 2, 3], partition(1, [1, 2, 3], isr: [1, 3])) == "3+1 123 3")
    #expect(try given([1, 2, 3], partition(1, [1, 2, 3], isr: [1])) == nil)
    #expect(try given([1, 3], partition(1, [1, 2, 3], isr: [1, 2])) == nil)
    #expect(try given([1, 2, 3], partition(2, [1, 2, 3], isr: [1, 2, 3])) == nil)
    #expect(try given([1, 2, 3], stopping: [1, 2], partition(1, [1, 2, 3], isr: [1, 2, 3])) == "3+1 123 23")
    #expect(try given([1, 2], stopping: [1, 2], partition(1, [1, 2], isr: [1, 2])) == "2+1 12 2")
  }

  @Test("a node that has restarted leads on in another epoch only where nobody else in sync can, without those that are gone")
  func restarted() throws {
    func restarted(
      _ nodes: [Int32], stopping: [Int32] = [], recovering: [Int32] = [1], _ partition: PartitionImage
    ) throws -> String? {
      let image = try image(nodes, stopping: stopping, recovering: recovering, [partition])
      return outcome(ControllerDecisions(image).restarted(NodeID(1)))
    }
    #expect(try restarted([1, 2, 3], partition(1, [1, 2, 3], isr: [1, 2, 3])) == "2+1 123 123")
    #expect(try restarted([1, 3], partition(1, [1, 2, 3], isr: [1, 2, 3])) == "3+1 123 13")
    #expect(try restarted([1], partition(1, [1, 2, 3], isr: [1, 2, 3])) == "1+1 123 1")
    #expect(try restarted([1, 2], stopping: [2], partition(1, [1, 2, 3], isr: [1, 2])) == "1+1 123 12")
    #expect(try restarted([1, 2], recovering: [1, 2], partition(1, [1, 2], isr: [1, 2])) == "1+1 12 12")
    #expect(try restarted([1, 2, 3], partition(2, [1, 2, 3], isr: [1, 2, 3])) == nil)
  }

  @Test("the preferred replica leads again when it is back and in sync")
  func preferred() throws {
    func preferred(_ nodes: [Int32], stopping: [Int32] = [], _ partition: PartitionImage) throws -> String? {
      outcome(ControllerDecisions(try image(nodes, stopping: stopping, [partition])).preferredLeaders)
    }
    #expect(try preferred([1, 2], partition(2, [1, 2], isr: [1, 2])) == "1+1 12 12")
    #expect(try preferred([1, 2], partition(2, [1, 2], isr: [2])) == nil)
    #expect(try preferred([2], partition(2, [1, 2], isr: [1, 2])) == nil)
    #expect(try preferred([1, 2], stopping: [1], partition(2, [1, 2], isr: [1, 2])) == nil)
    #expect(try preferred([1, 2], partition(1, [1, 2], isr: [1, 2])) == nil)
  }

  @Test("a reassignment ends when all that come are in sync, with a leader among those that stay")
  func reassignments() throws {
    func moved(_ nodes: [Int32], _ partition: PartitionImage) throws -> String? {
      outcome(ControllerDecisions(try image(nodes, [partition])).changes)
    }
    let all: [Int32] = [1, 2, 3, 4]
    #expect(try moved(all, partition(1, [3, 4, 1, 2], isr: [1, 2, 3], adding: [3, 4], removing: [1, 2])) == nil)
    #expect(try moved(all, partition(1, [3, 4, 1, 2], isr: [1, 2, 3, 4], adding: [3, 4], removing: [1, 2])) == "3+1 34 34")
    #expect(try moved(all, partition(1, [1, 3, 2], isr: [1, 3], adding: [3], removing: [2])) == "1+0 13 13")
    #expect(try moved(all, partition(1, [1, 2, 3], isr: [1, 2, 3], adding: [3])) == "1+0 123 123")
    #expect(try moved(all, partition(1, [1, 2, 3], isr: [1, 2], removing: [3])) == "1+0 12 12")
    // Nobody who stays is in sync: what is to go has the only good copy.
    #expect(try moved(all, partition(1, [1, 2], isr: [1], removing: [1])) == nil)
    // The leader dies at that moment: both happen at once.
    #expect(try moved([2, 3, 4], partition(1, [3, 4, 1], isr: [1, 3, 4], adding: [3, 4], removing: [1])) == "3+1 34 34")
    // One that comes dies: it waits for it, and is led on.
    #expect(try moved([2, 3], partition(1, [3, 4, 1], isr: [1, 3, 4], adding: [3, 4], removing: [1])) == "3+1 341 3 moving")
  }
}
