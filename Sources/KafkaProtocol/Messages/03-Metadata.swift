public import Bytes
public import Model

/// Asks which brokers there are, and for the partitions of some topics or all.
///
/// Versions 0 to 12. All topics are an empty list in 0 and null from 1 on, where an empty list means none. Before 4 nobody
/// could say whether a missing topic may be created, and it was. 10 and 11 carry a topic id that is not to be used, 12 asks
/// by it (KIP-516).
public struct MetadataRequest: KafkaRequest {
  public static let apiKey = APIKey.metadata
  public typealias Response = MetadataResponse

  /// Null: all topics. In version 0, which has no null, an empty list means that too.
  public var topics: [Topic]? = []
  public var allowAutoTopicCreation = true
  public var includeClusterAuthorizedOperations = false
  public var includeTopicAuthorizedOperations = false
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&topics, nullable: c.version >= 1)
    if c.version >= 4 { try c.field(&allowAutoTopicCreation) }
    if (8...10).contains(c.version) { try c.field(&includeClusterAuthorizedOperations) }
    if c.version >= 8 { try c.field(&includeTopicAuthorizedOperations) }
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension MetadataRequest {
  /// A topic by name, or from version 12 on by id.
  public struct Topic: WireStruct {
    public var topicID = TopicID.zero
    /// Null if the topic is asked for by id.
    public var name: String? = ""
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      if c.version >= 10 { try c.field(&topicID) }
      try c.field(&name, nullable: c.version >= 10)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}

/// Brokers, topics, and who leads each partition.
///
/// 2 adds the cluster id, 7 the leader epochs, 10 the topic ids. A client learns from this where to connect.
public struct MetadataResponse: KafkaResponse {
  public static let apiKey = APIKey.metadata

  public var throttleTimeMs: Int32 = 0
  public var brokers: [Broker] = []
  public var clusterID: String?
  public var controllerID: Int32 = -1
  public var topics: [Topic] = []
  /// A bit for each ACL operation; `.min` if it was not asked for.
  public var clusterAuthorizedOperations: Int32 = .min
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    if c.version >= 3 { try c.field(&throttleTimeMs) }
    try c.field(&brokers)
    if c.version >= 2 { try c.field(&clusterID) }
    if c.version >= 1 { try c.field(&controllerID) }
    try c.field(&topics)
    if (8...10).contains(c.version) { try c.field(&clusterAuthorizedOperations) }
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension MetadataResponse {
  public struct Broker: WireStruct {
    public var nodeID: Int32 = 0
    public var host = ""
    public var port: Int32 = 0
    public var rack: String?
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&nodeID)
      try c.field(&host)
      try c.field(&port)
      if c.version >= 1 { try c.field(&rack) }
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct Topic: WireStruct {
    public var errorCode = ErrorCode.none
    /// Null only for an id that nobody knows.
    public var name: String? = ""
    public var topicID = TopicID.zero
    public var isInternal = false
    public var partitions: [Partition] = []
    /// A bit for each ACL operation; `.min` if it was not asked for.
    public var topicAuthorizedOperations: Int32 = .min
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&errorCode)
      try c.field(&name, nullable: c.version >= 12)
      if c.version >= 10 { try c.field(&topicID) }
      if c.version >= 1 { try c.field(&isInternal) }
      try c.field(&partitions)
      if c.version >= 8 { try c.field(&topicAuthorizedOperations) }
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct Partition: WireStruct {
    public var errorCode = ErrorCode.none
    public var partitionIndex: Int32 = 0
    public var leaderID: Int32 = 0
    public var leaderEpoch: Int32 = -1
    public var replicaNodes: [Int32] = []
    public var isrNodes: [Int32] = []
    public var offlineReplicas: [Int32] = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&errorCode)
      try c.field(&partitionIndex)
      try c.field(&leaderID)
      if c.version >= 7 { try c.field(&leaderEpoch) }
      try c.field(&replicaNodes)
      try c.field(&isrNodes)
      if c.version >= 5 { try c.field(&offlineReplicas) }
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}
