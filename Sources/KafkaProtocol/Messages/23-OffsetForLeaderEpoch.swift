public import Bytes
public import Model

/// Asks where the log of a leader epoch ends, to find out where logs part (KIP-320). Versions 2 to 4.
public struct OffsetForLeaderEpochRequest: KafkaRequest {
  public static let apiKey = APIKey.offsetForLeaderEpoch
  public typealias Response = OffsetForLeaderEpochResponse

  /// The follower that asks; -1 for a consumer, -2 for one that may see beyond the high watermark.
  public var replicaID: Int32 = -2
  public var topics: [OffsetForLeaderTopic] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    if c.version >= 3 { try c.field(&replicaID) }
    try c.field(&topics)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension OffsetForLeaderEpochRequest {
  public struct OffsetForLeaderTopic: WireStruct {
    public var topic = ""
    public var partitions: [OffsetForLeaderPartition] = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&topic)
      try c.field(&partitions)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct OffsetForLeaderPartition: WireStruct {
    public var partition: Int32 = 0
    public var currentLeaderEpoch: Int32 = -1
    public var leaderEpoch: Int32 = 0
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&partition)
      try c.field(&currentLeaderEpoch)
      try c.field(&leaderEpoch)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}

/// The end offset of the largest epoch that is not larger than the one asked for.
public struct OffsetForLeaderEpochResponse: KafkaResponse {
  public static let apiKey = APIKey.offsetForLeaderEpoch

  public var throttleTimeMs: Int32 = 0
  public var topics: [OffsetForLeaderTopicResult] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&throttleTimeMs)
    try c.field(&topics)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension OffsetForLeaderEpochResponse {
  public struct OffsetForLeaderTopicResult: WireStruct {
    public var topic = ""
    public var partitions: [EpochEndOffset] = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&topic)
      try c.field(&partitions)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct EpochEndOffset: WireStruct {
    public var errorCode = ErrorCode.none
    public var partition: Int32 = 0
    public var leaderEpoch: Int32 = -1
    public var endOffset: Int64 = -1
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&errorCode)
      try c.field(&partition)
      try c.field(&leaderEpoch)
      try c.field(&endOffset)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}
