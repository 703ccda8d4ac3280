public import Model

/// What a running node knows beside its records; rooms above supply it. Each may block, and is asked on a read thread.
public protocol NodeFacts: Sendable {
  func groups() throws(HistoryError) -> [GroupFacts]
  func nodes() throws(HistoryError) -> [NodeFact]
  func clusterFacts() throws(HistoryError) -> ClusterFacts
  func configurations() throws(HistoryError) -> [ConfigurationFact]
  /// Milliseconds since 1970.
  func now() -> Int64
}

extension NodeFacts {
  public func clusterFacts() throws(HistoryError) -> ClusterFacts { ClusterFacts(clusterID: "", controller: nil) }
}

/// A consumer group with its members and committed offsets.
public struct GroupFacts: Sendable {
  public struct Member: Sendable {
    public var memberID: String
    public var instanceID: String?
    public var clientID: String
    public var clientHost: String
    public var sessionTimeoutMilliseconds: Int32
    public var rebalanceTimeoutMilliseconds: Int32
    /// Nil where nobody can tell.
    public var partitions: [TopicPartition]?

    public init(
      memberID: String, instanceID: String?, clientID: String, clientHost: String, sessionTimeoutMilliseconds: Int32,
      rebalanceTimeoutMilliseconds: Int32, partitions: [TopicPartition]?
    ) {
      self.memberID = memberID
      self.instanceID = instanceID
      self.clientID = clientID
      self.clientHost = clientHost
      self.sessionTimeoutMilliseconds = sessionTimeoutMilliseconds
      self.rebalanceTimeoutMilliseconds = rebalanceTimeoutMilliseconds
      self.partitions = partitions
    }
  }
  public struct CommittedOffset: Sendable {
    public var partition: TopicPartition
    public var offset: Int64
    public var leaderEpoch: Int32
    public var metadata: String
    /// Milliseconds.
    public var commitTimestamp: Int64

    public init(partition: TopicPartition, offset: Int64, leaderEpoch: Int32, metadata: String, commitTimestamp: Int64) {
      self.partition = partition
      self.offset = offset
      self.leaderEpoch = leaderEpoch
      self.metadata = metadata
      self.commitTimestamp = commitTimestamp
    }
  }

  public var groupID: String
  /// As Kafka names it; nil where nobody can tell (no node runs).
  public var state: String?
  public var protocolType: String
  public var protocolName: String
  public var generationID: Int32
  public var leaderID: String?
  public var members: [Member]
  public var offsets: [CommittedOffset]
  /// The node that coordinates it: only that one knows the state. Nil where nobody does, or nobody can tell.
  public var coordinator: NodeID?

  public init(
    groupID: String, state: String?, protocolType: String, protocolName: String, generationID: Int32, leaderID: String?,
    members: [Member], offsets: [CommittedOffset], coordinator: NodeID? = nil
  ) {
    self.groupID = groupID
    self.state = state
    self.protocolType = protocolType
    self.protocolName = protocolName
    self.generationID = generationID
    self.leaderID = leaderID
    self.members = members
    self.offsets = offsets
    self.coordinator = coordinator
  }
}

/// One node of the cluster.
public struct NodeFact: Sendable {
  public var id: Int32
  public var host: String
  public var port: Int32
  public var rack: String?
  public var isThisNode: Bool

  public init(id: Int32, host: String, port: Int32, rack: String?, isThisNode: Bool) {
    self.id = id
    self.host = host
    self.port = port
    self.rack = rack
    self.isThisNode = isThisNode
  }
}

/// One configuration in force.
public struct ConfigurationFact: Sendable {
  /// `topic` or `node`.
  public var resourceType: String
  public var resourceName: String
  public var name: String
  public var value: String
  /// `topic`, `node`, `every node`, `start` or `default`.
  public var source: String

  public init(resourceType: String, resourceName: String, name: String, value: String, source: String) {
    self.resourceType = resourceType
    self.resourceName = resourceName
    self.name = name
    self.value = value
    self.source = source
  }
}
