public import Bytes
public import Model

/// Deletes committed offsets of a group (KIP-496). Version 0, never flexible.
public struct OffsetDeleteRequest: KafkaRequest {
  public static let apiKey = APIKey.offsetDelete
  public typealias Response = OffsetDeleteResponse

  public var groupID = ""
  public var topics: [Topic] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&groupID)
    try c.field(&topics)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension OffsetDeleteRequest {
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
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&partitionIndex)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}

/// How it went for each partition. The error comes before the throttle time, unlike anywhere else.
public struct OffsetDeleteResponse: KafkaResponse {
  public static let apiKey = APIKey.offsetDelete

  public var errorCode = ErrorCode.none
  public var throttleTimeMs: Int32 = 0
  public var topics: [Topic] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&errorCode)
    try c.field(&throttleTimeMs)
    try c.field(&topics)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension OffsetDeleteResponse {
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
    public var errorCode = ErrorCode.none
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&partitionIndex)
      try c.field(&errorCode)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}
