public import Bytes
public import Model

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
    public var currentLeaderEpoch: Int32 = -1
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
