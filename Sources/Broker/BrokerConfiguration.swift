public import Model

/// What the Kafka door needs to know of its node.
public struct BrokerConfiguration: Sendable {
  public var nodeID: NodeID
  public var clusterID: String
  /// The address that clients are told to connect to.
  public var advertisedHost: String
  /// Zero until the listener is bound, where the configuration asked for any free port.
  public var advertisedPort: Int
  public var rack: String?
  /// Sends consumers to an in-sync follower in their rack (`replica.selector.class`, KIP-392).
  public var readsFromRack: Bool
  /// Creates a topic that a Metadata request names and that does not exist (`auto.create.topics.enable`).
  public var autoCreateTopics: Bool
  /// Partitions of a topic created without a count (`num.partitions`).
  public var defaultPartitionCount: Int32
  /// Largest request frame, bytes (`socket.request.max.bytes`).
  public var requestBytesMax: Int
  /// Client connections at once (`max.connections`); one more is closed at once.
  public var connectionsMax: Int
  /// Milliseconds without a request after which a connection is closed (`connections.max.idle.ms`).
  public var connectionIdleMilliseconds: Int64
  /// Bytes of requests of all connections together that have arrived and wait, for their turn or the disk (`queued.max.request.bytes`);
  /// then no socket is read.
  public var queuedRequestBytesMax: Int
  /// Incremental fetch sessions kept (`max.incremental.fetch.session.cache.slots`, KIP-227).
  public var fetchSessionsMax: Int

  public init(nodeID: NodeID, clusterID: String, advertisedHost: String, advertisedPort: Int) {
    self.nodeID = nodeID
    self.clusterID = clusterID
    self.advertisedHost = advertisedHost
    self.advertisedPort = advertisedPort
    rack = nil
    readsFromRack = false
    autoCreateTopics = true
    defaultPartitionCount = 4
    requestBytesMax = Limits.requestBytesMax
    connectionsMax = Limits.connectionsMax
    connectionIdleMilliseconds = 600_000
    queuedRequestBytesMax = Limits.queuedRequestBytesMax
    fetchSessionsMax = 1_000
  }
}
