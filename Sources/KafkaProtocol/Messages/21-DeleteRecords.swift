public import Bytes
public import Model

/// Removes the records before an offset (KIP-107). Versions 0 to 2.
public struct DeleteRecordsRequest: KafkaRequest {
  public static let apiKey = APIKey.deleteRecords
  public typealias Response = DeleteRecordsResponse

  public var topics: [Topic] = []
  public var timeoutMs: Int32 = 0
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&topics)
    try c.field(&timeoutMs)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension DeleteRecordsRequest {
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
    /// -1: the high watermark.
    public var offset: Int64 = 0
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&partitionIndex)
      try c.field(&offset)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}

/// The new beginning of each partition.
public struct DeleteRecordsResponse: KafkaResponse {
  public static let apiKey = APIKey.deleteRecords

  public var throttleTimeMs: Int32 = 0
  public var topics: [TopicResult] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&throttleTimeMs)
    try c.field(&topics)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension DeleteRecordsResponse {
  public struct TopicResult: WireStruct {
    public var name = ""
    public var partitions: [PartitionResult] = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&name)
      try c.field(&partitions)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct PartitionResult: WireStruct {
    public var partitionIndex: Int32 = 0
    public var lowWatermark: Int64 = 0
    public var errorCode = ErrorCode.none
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&partitionIndex)
      try c.field(&lowWatermark)
      try c.field(&errorCode)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}
