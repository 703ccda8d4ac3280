/// The cluster as one of its nodes sees it: what system tables, the HTTP door, metrics and `quire cluster status` show.
public struct ClusterFacts: Sendable {
  /// One node.
  public struct Node: Sendable {
    public var id: Int32
    /// What it is: `leader` or `standby` of two, `fenced` (it led, and was deposed), `broker` of several.
    public var role: String
    /// `HOST:PORT` for Kafka clients; nil if that is not known.
    public var kafka: String?
    /// `HOST:PORT` of its peer listener; nil if it has none, or that is not known.
    public var peer: String?
    public var rack: String?
    public var isThisNode: Bool
    public var isController: Bool
    /// Whether it is there, as far as this node can tell.
    public var isConnected: Bool

    public init(
      id: Int32, role: String, kafka: String?, peer: String?, rack: String? = nil, isThisNode: Bool, isController: Bool,
      isConnected: Bool
    ) {
      self.id = id
      self.role = role
      self.kafka = kafka
      self.peer = peer
      self.rack = rack
      self.isThisNode = isThisNode
      self.isController = isController
      self.isConnected = isConnected
    }
  }

  /// One copy of one partition.
  public struct Replica: Sendable {
    public var topic: String
    public var partition: Int32
    public var node: Int32
    public var leaderEpoch: Int32
    public var isLeader: Bool
    public var isInSync: Bool
    /// `leading`; of a follower `streaming`, `resyncing`, `starting`, `failed`, `away`, or `unknown` where another node leads.
    public var state: String
    /// Of what the leader has and this copy has not made durable; nil if this node does not know.
    public var lagCommits: Int64?
    public var lagBytes: Int64?
    public var lagMilliseconds: Int64?

    public init(
      topic: String, partition: Int32, node: Int32, leaderEpoch: Int32, isLeader: Bool, isInSync: Bool, state: String,
      lagCommits: Int64? = nil, lagBytes: Int64? = nil, lagMilliseconds: Int64? = nil
    ) {
      self.topic = topic
      self.partition = partition
      self.node = node
      self.leaderEpoch = leaderEpoch
      self.isLeader = isLeader
      self.isInSync = isInSync
      self.state = state
      self.lagCommits = lagCommits
      self.lagBytes = lagBytes
      self.lagMilliseconds = lagMilliseconds
    }
  }

  /// Whether a standby may be made the leader.
  public struct Promotion: Sendable {
    public var isPossible: Bool
    /// One sentence.
    public var reason: String

    public init(isPossible: Bool, reason: String) {
      self.isPossible = isPossible
      self.reason = reason
    }
  }

  public var clusterID: String
  /// The node that decides for the cluster; nil while there is none.
  public var controller: Int32?
  /// In order of their ids.
  public var nodes: [Node] = []
  /// In order of topics, partitions and nodes, the preferred leader first.
  public var replicas: [Replica] = []
  public var partitionCount = 0
  /// Partitions with fewer replicas in sync, and there, than they have.
  public var underReplicatedCount = 0
  /// Partitions without a leader.
  public var offlineCount = 0
  /// Nil for a node that is no standby.
  public var promotion: Promotion?
  /// What a person should know, in sentences.
  public var notes: [String] = []

  public init(clusterID: String, controller: Int32?) {
    self.clusterID = clusterID
    self.controller = controller
  }
}

extension ClusterFacts {
  /// One object, without a line end.
  public var json: String {
    func text(_ value: String?) -> String { value.map(JSONText.string) ?? "null" }
    func number(_ value: (some BinaryInteger)?) -> String { value.map { "\($0)" } ?? "null" }
    let nodes = nodes.map { node in
      """
      {"node":\(node.id),"role":\(text(node.role)),"kafka":\(text(node.kafka)),"peer":\(text(node.peer)),"rack":\(text(node.rack)),\
      "is_this_node":\(node.isThisNode),"is_controller":\(node.isController),"is_connected":\(node.isConnected)}
      """
    }
    let replicas = replicas.map { replica in
      """
      {"topic":\(text(replica.topic)),"partition":\(replica.partition),"node":\(replica.node),"leader_epoch":\(replica.leaderEpoch),\
      "is_leader":\(replica.isLeader),"is_in_sync":\(replica.isInSync),"state":\(text(replica.state)),\
      "lag_commits":\(number(replica.lagCommits)),"lag_bytes":\(number(replica.lagBytes)),\
      "lag_ms":\(number(replica.lagMilliseconds))}
      """
    }
    let promotion = promotion.map { "{\"is_possible\":\($0.isPossible),\"reason\":\(text($0.reason))}" } ?? "null"
    return """
      {"cluster_id":\(text(clusterID)),"controller":\(number(controller)),"partitions":\(partitionCount),\
      "under_replicated_partitions":\(underReplicatedCount),"offline_partitions":\(offlineCount),"promotion":\(promotion),\
      "notes":[\(notes.map(JSONText.string).joined(separator: ","))],"nodes":[\(nodes.joined(separator: ","))],\
      "replicas":[\(replicas.joined(separator: ","))]}
      """
  }
}
