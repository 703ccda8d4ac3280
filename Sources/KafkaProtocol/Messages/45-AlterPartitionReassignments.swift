public import Bytes
public import Model

/// Moves partitions to other brokers, or takes that back (KIP-455).
///
/// Versions 0 and 1. 1 may forbid that the number of replicas changes.
public struct AlterPartitionReassignmentsRequest: KafkaRequest {
  public static let apiKey = APIKey.alterPartitionReassignments
  public typealias Response = AlterPartitionReassignmentsResponse

  public var timeoutMs: Int32 = 60_000
  public var allowReplicationFactorChange = true
  public var topics: [ReassignableTopic] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&timeoutMs)
    if c.version >= 1 { try c.field(&allowReplicationFactorChange) }
    try c.field(&topics)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension AlterPartitionReassignmentsRequest {
  public struct ReassignableTopic: WireStruct {
    public var name = ""
    public var partitions: [ReassignablePartition] = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&name)
      try c.field(&partitions)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct ReassignablePartition: WireStruct {
    public var partitionIndex: Int32 = 0
    /// Null: what is under way is taken back.
    public var replicas: [Int32]?
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&partitionIndex)
      try c.field(&replicas)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}

/// How it went for each partition.
public struct AlterPartitionReassignmentsResponse: KafkaResponse {
  public static let apiKey = APIKey.alterPartitionReassignments

  public var throttleTimeMs: Int32 = 0
  public var allowReplicationFactorChange = true
  public var errorCode = ErrorCode.none
  public var errorMessage: String?
  public var responses: [ReassignableTopicResponse] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&throttleTimeMs)
    if c.version >= 1 { try c.field(&allowReplicationFactorChange) }
    try c.field(&errorCode)
    try c.field(&errorMessage)
    try c.field(&responses)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension AlterPartitionReassignmentsResponse {
  public struct ReassignableTopicResponse: WireStruct {
    public var name = ""
    public var partitions: [ReassignablePartitionResponse] = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&name)
      try c.field(&partitions)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct ReassignablePartitionResponse: WireStruct {
    public var partitionIndex: Int32 = 0
    public var errorCode = ErrorCode.none
    public var errorMessage: String?
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&partitionIndex)
      try c.field(&errorCode)
      try c.field(&errorMessage)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}
