public import Model

/// One partition as the cluster knows it.
public struct PartitionImage: Hashable, Sendable {
  /// Nil while none of the in-sync replicas is there.
  public var leader: NodeID?
  /// Grows with each change of the leader.
  public var leaderEpoch: LeaderEpoch
  /// The first one is the preferred leader.
  public var replicas: [NodeID]
  /// The replicas that acks=all waits for.
  public var isr: [NodeID]
  /// Those of `replicas` that a reassignment brings: it is done when they are in sync.
  public var addingReplicas: [NodeID]
  /// Those of `replicas` that a reassignment takes away at its end.
  public var removingReplicas: [NodeID]
  /// Another one with each change, never again one that was: what a compare-and-swap compares. 0 where a node is alone, or nothing is decided yet.
  public var version: Int64 = 0

  public init(
    leader: NodeID?, leaderEpoch: LeaderEpoch, replicas: [NodeID], isr: [NodeID], addingReplicas: [NodeID] = [],
    removingReplicas: [NodeID] = []
  ) {
    self.leader = leader
    self.leaderEpoch = leaderEpoch
    self.replicas = replicas
    self.isr = isr
    self.addingReplicas = addingReplicas
    self.removingReplicas = removingReplicas
  }

  public var isBeingReassigned: Bool { !addingReplicas.isEmpty || !removingReplicas.isEmpty }

  /// Whether the same was decided, be it at another time.
  public func isDecided(as other: PartitionImage) -> Bool {
    var this = self
    this.version = other.version
    return this == other
  }
}

/// One partition, whatever its topic is called.
public struct PartitionIdentity: Hashable, Sendable {
  public var topicID: TopicID
  public var partition: Int32

  public init(topicID: TopicID, partition: Int32) {
    self.topicID = topicID
    self.partition = partition
  }
}

/// One topic as the cluster knows it.
public struct TopicImage: Hashable, Sendable {
  public var name: String
  public var id: TopicID
  /// By partition number: dense, from 0.
  public var partitions: [PartitionImage]
  /// What was set for this topic itself: key to text.
  public var settings: [String: String]
  /// The configuration in force: `settings` over the node's. Kept by the image.
  public internal(set) var configuration = TopicConfiguration()

  public init(name: String, id: TopicID, partitions: [PartitionImage], settings: [String: String]) {
    self.name = name
    self.id = id
    self.partitions = partitions
    self.settings = settings
  }

  /// Not a topic of clients: no door lists it, reads it or changes it.
  public var isInternal: Bool { name == CoordinatorTopic.name }

  /// Nil when there is no such partition.
  public func partition(_ number: Int32) -> PartitionImage? {
    number >= 0 && Int(number) < partitions.count ? partitions[Int(number)] : nil
  }
}

/// One broker of the cluster and where clients reach it.
public struct NodeImage: Hashable, Sendable {
  public var id: NodeID
  public var host: String
  public var port: Int32
  public var rack: String?
  /// Where other nodes fetch pages; nil: it takes no part in replication.
  public var peer: HostPort?
  /// It is about to stop: leads nothing any more, and is given nothing new.
  public var isStopping = false
  /// Its last end was not an orderly one, and its logs have not been compared with others' yet: it is elected only where nobody else is there.
  public var isRecovering = false

  public init(id: NodeID, host: String, port: Int32, rack: String?, peer: HostPort? = nil) {
    self.id = id
    self.host = host
    self.port = port
    self.rack = rack
    self.peer = peer
  }
}

/// Everything the cluster has agreed on at one moment. A value: whoever holds one is not disturbed by later changes.
///
/// - Invariant: topic names and topic ids are each unique, and every topic found by one is found by the other.   (Metadata #1)
/// - Invariant: each topic's `configuration` is its settings over the node settings of the same image.   (Metadata #2)
public struct ClusterImage: Sendable {
  public let clusterID: String
  public internal(set) var nodes: [NodeID: NodeImage] = [:]
  public internal(set) var topics: [String: TopicImage] = [:]
  public internal(set) var nodeSettings: NodeSettings
  /// How many changes this image has seen; grows by one with each.
  public internal(set) var version: Int64 = 0
  var namesByID: [TopicID: String] = [:]

  /// An image without nodes and topics.
  public init(clusterID: String, nodeSettings: NodeSettings) {
    self.clusterID = clusterID
    self.nodeSettings = nodeSettings
  }

  public func topic(_ name: String) -> TopicImage? { topics[name] }
  public func topic(_ id: TopicID) -> TopicImage? { namesByID[id].flatMap { topics[$0] } }
  public func topicName(_ id: TopicID) -> String? { namesByID[id] }

  /// The topics that clients may see, in no order.
  public var clientTopics: some Collection<TopicImage> { topics.values.lazy.filter { !$0.isInternal } }

  public var partitionCount: Int { topics.values.reduce(0) { $0 + $1.partitions.count } }

  /// A topic whose name differs from `name` only in '.' against '_'. Kafka refuses the pair, because metric names fold the two.
  public func topicColliding(with name: String) -> String? {
    func folded(_ name: String) -> [UInt8] { name.utf8.map { $0 == 0x2E ? 0x5F : $0 } }
    guard name.utf8.contains(where: { $0 == 0x2E || $0 == 0x5F }) else { return nil }
    let wanted = folded(name)
    return topics.keys.first { $0 != name && $0.utf8.count == wanted.count && folded($0) == wanted }
  }
}
