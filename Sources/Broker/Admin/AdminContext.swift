public import Cluster
internal import KafkaProtocol
internal import Metadata
public import Model
public import Storage

/// What the administrative requests work on. Their handlers answer by return value, off the event loops.
public struct AdminContext: Sendable {
  let cluster: any ClusterStore
  let store: LogStore
  let partitions: LocalPartitions
  let nodeID: NodeID
  /// Absolute path of the directory everything is kept in.
  let dataDirectory: String
  /// Called with the names of topics that are gone.
  let topicsDeleted: @Sendable (Set<String>) -> Void

  public init(
    cluster: any ClusterStore, store: LogStore, nodeID: NodeID, dataDirectory: String,
    topicsDeleted: @escaping @Sendable (Set<String>) -> Void
  ) {
    self.cluster = cluster
    self.store = store
    partitions = LocalPartitions(store: store, nodeID: nodeID, isStandby: { cluster.isStandby })
    self.nodeID = nodeID
    self.dataDirectory = dataDirectory
    self.topicsDeleted = topicsDeleted
  }

  /// Runs `work` on a thread that may block.
  func onReadThread<Result: Sendable>(_ work: @escaping @Sendable () -> Result) async -> Result {
    await withCheckedContinuation { continuation in
      store.runOnReadThread { continuation.resume(returning: work()) }
    }
  }

  /// What is wrong with an assignment of one partition to nodes, if anything.
  func complaint(aboutReplicas nodes: [Int32]) -> String? {
    let known = cluster.image.nodes
    if nodes.isEmpty { return "a partition is assigned to no node" }
    if Set(nodes).count != nodes.count { return "a partition is assigned to the same node twice" }
    if let strange = nodes.first(where: { $0 != nodeID.rawValue && known[NodeID($0)] == nil }) {
      return "a partition is assigned to node \(strange), which is unknown"
    }
    return nil
  }
}

/// Sets of operations as DescribeCluster and others report them (bit n for Kafka's AclOperation n): without an authorizer, all there are.
enum AuthorizedOperations {
  private static func bits(_ operations: [Int32]) -> Int32 { operations.reduce(0) { $0 | 1 << $1 } }
  /// Create, Alter, Describe, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite.
  static let cluster = bits([5, 7, 8, 9, 10, 11, 12])
  /// Read, Write, Create, Delete, Alter, Describe, DescribeConfigs, AlterConfigs.
  static let topic = bits([3, 4, 5, 6, 7, 8, 10, 11])
  /// Read, Delete, Describe, DescribeConfigs, AlterConfigs.
  static let group = bits([3, 6, 8, 10, 11])
}

/// Kafka's kinds of resources with configurations (ConfigResource.Type).
enum ResourceType {
  static let topic: Int8 = 2
  static let broker: Int8 = 4
}

extension Sequence where Element: Hashable {
  /// The elements that occur more than once.
  func repeated() -> Set<Element> {
    var seen: Set<Element> = []
    return Set(filter { !seen.insert($0).inserted })
  }
}
