import Metadata
import Model
import Testing

@testable import Broker

@Suite("Nodes that clients are told of")
struct ListedNodesTests {
  private func nodes(_ ids: Int32...) -> [NodeID: NodeImage] {
    Dictionary(uniqueKeysWithValues: ids.map { (NodeID($0), NodeImage(id: NodeID($0), host: "h\($0)", port: 9092, rack: nil)) })
  }

  private func image(_ nodes: [NodeID: NodeImage]) throws -> ClusterImage {
    var image = ClusterImage(clusterID: "c", nodeSettings: NodeSettings())
    for node in nodes.values { try image.apply(.nodeRegistered(node)) }
    return image
  }

  private func listed(_ known: ListedNodes, _ ids: [NodeID: NodeImage], at now: Int64) throws -> [Int32] {
    known.nodes(of: try image(ids), now: now).map(\.id.rawValue)
  }

  @Test("whose sessions ended all at once are listed until they are back")
  func stayAWhile() throws {
    let known = ListedNodes()
    known.note(nodes(1, 2, 3), now: 0)
    known.note(nodes(2), now: 1_000)
    #expect(try listed(known, nodes(2), at: 1_000) == [1, 2, 3])
    known.note(nodes(2, 3), now: 2_000)
    #expect(try listed(known, nodes(2, 3), at: 2_000) == [1, 2, 3])
    #expect(try listed(known, nodes(2, 3), at: 1_000 + ListedNodes.goneMilliseconds + 1) == [2, 3])
  }

  @Test("that said they would stop are listed no more when they are gone")
  func leaveAtOnce() throws {
    let known = ListedNodes()
    var all = nodes(1, 2)
    all[NodeID(1)]?.isStopping = true
    known.note(all, now: 0)
    known.note(nodes(2), now: 10)
    #expect(try listed(known, nodes(2), at: 10) == [2])
  }
}
