public import Bytes
public import Model

/// Asks for the partitions of topics, a page at a time (KIP-966). Version 0.
public struct DescribeTopicPartitionsRequest: KafkaRequest {
  public static let apiKey = APIKey.describeTopicPartitions
  public typealias Response = DescribeTopicPartitionsResponse

  public var topics: [TopicRequest] = []
  public var responsePartitionLimit: Int32 = 2000
  public var cursor: Cursor?
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&topics)
    try c.field(&responsePartitionLimit)
    try c.field(&cursor)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension DescribeTopicPartitionsRequest {
  public struct TopicRequest: WireStruct {
    public var name = ""
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&name)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  /// The partition to begin with.
  public struct Cursor: WireStruct {
    public var topicName = ""
    public var partitionIndex: Int32 = 0
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&topicName)
      try c.field(&partitionIndex)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}

/// Partitions in the order of topic names, and where to go on.
public struct DescribeTopicPartitionsResponse: KafkaResponse {
  public static let apiKey = APIKey.describeTopicPartitions

  public var throttleTimeMs: Int32 = 0
  public var topics: [Topic] = []
  /// Null: that was all.
  public var nextCursor: Cursor?
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&throttleTimeMs)
    try c.field(&topics)
    try c.field(&nextCursor)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension DescribeTopicPartitionsResponse {
  public struct Topic: WireStruct {
    public var errorCode = ErrorCode.none
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
      try c.field(&name)
      try c.field(&topicID)
      try c.field(&isInternal)
      try c.field(&partitions)
      try c.field(&topicAuthorizedOperations)
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
    /// Never null: Java's client does not survive it.
    public var eligibleLeaderReplicas: [Int32]? = []
    /// Never null: Java's client does not survive it.
    public var lastKnownElr: [Int32]? = []
    public var offlineReplicas: [Int32] = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&errorCode)
      try c.field(&partitionIndex)
      try c.field(&leaderID)
      try c.field(&leaderEpoch)
      try c.field(&replicaNodes)
      try c.field(&isrNodes)
      try c.field(&eligibleLeaderReplicas)
      try c.field(&lastKnownElr)
      try c.field(&offlineReplicas)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  /// The first partition that did not fit.
  public struct Cursor: WireStruct {
    public var topicName = ""
    public var partitionIndex: Int32 = 0
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&topicName)
      try c.field(&partitionIndex)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}
