public import Bytes
public import Model

/// Asks for record batches from an offset on, and waits for them if there are too few.
///
/// Versions 4 to 12 are served, up to 16 can be read. 7 adds fetch sessions (KIP-227), 9 and 12 the epochs that show a
/// consumer whose log was truncated (KIP-320, KIP-595), 10 promises to understand zstd (KIP-110), 11 the rack of the
/// consumer (KIP-392), 13 names topics by id (KIP-516). Partitions are served in the order in which they are named
/// (KIP-74).
public struct FetchRequest: KafkaRequest {
  public static let apiKey = APIKey.fetch
  public typealias Response = FetchResponse

  public var clusterID: String?
  /// The follower that asks; -1 for a consumer.
  public var replicaID: Int32 = -1
  public var replicaState = ReplicaState()
  /// Milliseconds to wait until there are `minBytes`.
  public var maxWaitMs: Int32 = 0
  public var minBytes: Int32 = 0
  /// Bytes of records in the whole response. Soft: the first batch is returned however large it is.
  public var maxBytes: Int32 = .max
  /// 0: everything below the high watermark; 1: only what is decided (read_committed).
  public var isolationLevel: Int8 = 0
  public var sessionID: Int32 = 0
  /// -1: no session; 0: begin one; else the next request of it.
  public var sessionEpoch: Int32 = -1
  public var topics: [Topic] = []
  /// Partitions to leave out of the session from now on.
  public var forgottenTopicsData: [ForgottenTopic] = []
  public var rackID = ""
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    if c.version <= 14 { try c.field(&replicaID) }
    try c.field(&maxWaitMs)
    try c.field(&minBytes)
    try c.field(&maxBytes)
    try c.field(&isolationLevel)
    if c.version >= 7 {
      try c.field(&sessionID)
      try c.field(&sessionEpoch)
    }
    try c.field(&topics)
    if c.version >= 7 { try c.field(&forgottenTopicsData) }
    if c.version >= 11 { try c.field(&rackID) }
    try c.tag(0, &clusterID)
    if c.version >= 15 { try c.tag(1, &replicaState, default: ReplicaState()) }
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension FetchRequest {
  /// Takes the place of `replicaID` from version 15 on (KIP-903).
  public struct ReplicaState: WireStruct {
    public var replicaID: Int32 = -1
    public var replicaEpoch: Int64 = -1
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&replicaID)
      try c.field(&replicaEpoch)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct Topic: WireStruct {
    public var topic = ""
    public var topicID = TopicID.zero
    public var partitions: [Partition] = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      if c.version <= 12 { try c.field(&topic) }
      if c.version >= 13 { try c.field(&topicID) }
      try c.field(&partitions)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct Partition: WireStruct {
    public var partition: Int32 = 0
    /// The epoch the client believes in; -1: do not check.
    public var currentLeaderEpoch: Int32 = -1
    public var fetchOffset: Int64 = 0
    /// The epoch of the last record the client has; -1: do not check.
    public var lastFetchedEpoch: Int32 = -1
    public var logStartOffset: Int64 = -1
    public var partitionMaxBytes: Int32 = 0
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&partition)
      if c.version >= 9 { try c.field(&currentLeaderEpoch) }
      try c.field(&fetchOffset)
      if c.version >= 12 { try c.field(&lastFetchedEpoch) }
      if c.version >= 5 { try c.field(&logStartOffset) }
      try c.field(&partitionMaxBytes)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct ForgottenTopic: WireStruct {
    public var topic = ""
    public var topicID = TopicID.zero
    public var partitions: [Int32] = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      if c.version <= 12 { try c.field(&topic) }
      if c.version >= 13 { try c.field(&topicID) }
      try c.field(&partitions)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}

/// Whole record batches of each partition, the first of which holds the offset that was asked for.
public struct FetchResponse: KafkaResponse {
  public static let apiKey = APIKey.fetch

  public var throttleTimeMs: Int32 = 0
  public var errorCode = ErrorCode.none
  /// 0: there is no session, and the client sends everything again.
  public var sessionID: Int32 = 0
  public var responses: [FetchableTopicResponse] = []
  public var nodeEndpoints: [NodeEndpoint] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&throttleTimeMs)
    if c.version >= 7 {
      try c.field(&errorCode)
      try c.field(&sessionID)
    }
    try c.field(&responses)
    if c.version >= 16 { try c.tag(0, &nodeEndpoints, default: []) }
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension FetchResponse {
  public struct FetchableTopicResponse: WireStruct {
    public var topic = ""
    public var topicID = TopicID.zero
    public var partitions: [PartitionData] = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      if c.version <= 12 { try c.field(&topic) }
      if c.version >= 13 { try c.field(&topicID) }
      try c.field(&partitions)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct PartitionData: WireStruct {
    public var partitionIndex: Int32 = 0
    public var errorCode = ErrorCode.none
    public var highWatermark: Int64 = 0
    public var lastStableOffset: Int64 = -1
    public var logStartOffset: Int64 = -1
    /// Where the client's log and ours part, if they do.
    public var divergingEpoch = EpochEndOffset()
    public var currentLeader = LeaderIDAndEpoch()
    public var snapshotID = SnapshotID()
    /// Null unless read_committed was asked for.
    public var abortedTransactions: [AbortedTransaction]? = []
    /// A replica nearer to the consumer; -1: stay here.
    public var preferredReadReplica: Int32 = -1
    public var records: RecordsField?
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&partitionIndex)
      try c.field(&errorCode)
      try c.field(&highWatermark)
      try c.field(&lastStableOffset)
      if c.version >= 5 { try c.field(&logStartOffset) }
      try c.field(&abortedTransactions)
      if c.version >= 11 { try c.field(&preferredReadReplica) }
      try c.field(&records)
      try c.tag(0, &divergingEpoch, default: EpochEndOffset())
      try c.tag(1, &currentLeader, default: LeaderIDAndEpoch())
      try c.tag(2, &snapshotID, default: SnapshotID())
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct EpochEndOffset: WireStruct {
    public var epoch: Int32 = -1
    public var endOffset: Int64 = -1
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&epoch)
      try c.field(&endOffset)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  /// Who leads now, for NOT_LEADER_OR_FOLLOWER and FENCED_LEADER_EPOCH.
  public struct LeaderIDAndEpoch: WireStruct {
    public var leaderID: Int32 = -1
    public var leaderEpoch: Int32 = -1
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&leaderID)
      try c.field(&leaderEpoch)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct SnapshotID: WireStruct {
    public var endOffset: Int64 = -1
    public var epoch: Int32 = -1
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&endOffset)
      try c.field(&epoch)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct AbortedTransaction: WireStruct {
    public var producerID: Int64 = 0
    public var firstOffset: Int64 = 0
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&producerID)
      try c.field(&firstOffset)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  /// Where to find a broker that `currentLeader` names.
  public struct NodeEndpoint: WireStruct {
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
      try c.field(&rack)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}
