public import Bytes
public import Model

/// Asks for the offset that belongs to a point in time, or for one end of the log.
///
/// Versions 1 to 10. 2 adds the isolation level, 4 the leader epoch that the client believes in, 10 the time it will wait
/// (KIP-1075). The special timestamps arrived one by one: -3 in 7 (KIP-734), -4 in 8 (KIP-405), -5 in 9 (KIP-1005).
public struct ListOffsetsRequest: KafkaRequest {
  public static let apiKey = APIKey.listOffsets
  public typealias Response = ListOffsetsResponse

  public var replicaID: Int32 = 0
  public var isolationLevel: Int8 = 0
  public var topics: [Topic] = []
  public var timeoutMs: Int32 = 0
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&replicaID)
    if c.version >= 2 { try c.field(&isolationLevel) }
    try c.field(&topics)
    if c.version >= 10 { try c.field(&timeoutMs) }
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension ListOffsetsRequest {
  public struct Topic: WireStruct {
    public var name = ""
    public var partitions: [Partition] = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&name)
      try c.field(&partitions)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct Partition: WireStruct {
    public var partitionIndex: Int32 = 0
    /// The epoch the client believes in; -1: do not check.
    public var currentLeaderEpoch: Int32 = -1
    /// Milliseconds, or -1: the end, -2: the beginning, -3: the largest timestamp, -4: the beginning on local disk, -5: the
    /// end of what is in tiered storage.
    public var timestamp: Int64 = 0
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&partitionIndex)
      if c.version >= 4 { try c.field(&currentLeaderEpoch) }
      try c.field(&timestamp)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}

/// The offset, and the timestamp and leader epoch of its record; -1 for each if there is none.
public struct ListOffsetsResponse: KafkaResponse {
  public static let apiKey = APIKey.listOffsets

  public var throttleTimeMs: Int32 = 0
  public var topics: [TopicResponse] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    if c.version >= 2 { try c.field(&throttleTimeMs) }
    try c.field(&topics)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension ListOffsetsResponse {
  public struct TopicResponse: WireStruct {
    public var name = ""
    public var partitions: [PartitionResponse] = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&name)
      try c.field(&partitions)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct PartitionResponse: WireStruct {
    public var partitionIndex: Int32 = 0
    public var errorCode = ErrorCode.none
    public var timestamp: Int64 = -1
    public var offset: Int64 = -1
    public var leaderEpoch: Int32 = -1
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&partitionIndex)
      try c.field(&errorCode)
      try c.field(&timestamp)
      try c.field(&offset)
      if c.version >= 4 { try c.field(&leaderEpoch) }
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}
