public import Bytes
public import Model

/// Asks which partitions are being moved (KIP-455). Version 0.
public struct ListPartitionReassignmentsRequest: KafkaRequest {
  public static let apiKey = APIKey.listPartitionReassignments
  public typealias Response = ListPartitionReassignmentsResponse

  public var timeoutMs: Int32 = 60_000
  /// Null: every partition.
  public var topics: [Topic]?
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&timeoutMs)
    try c.field(&topics)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension ListPartitionReassignmentsRequest {
  public struct Topic: WireStruct {
    public var name = ""
    public var partitionIndexes: [Int32] = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&name)
      try c.field(&partitionIndexes)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}

/// The partitions that are being moved.
public struct ListPartitionReassignmentsResponse: KafkaResponse {
  public static let apiKey = APIKey.listPartitionReassignments

  public var throttleTimeMs: Int32 = 0
  public var errorCode = ErrorCode.none
  public var errorMessage: String?
  public var topics: [Topic] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&throttleTimeMs)
    try c.field(&errorCode)
    try c.field(&errorMessage)
    try c.field(&topics)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension ListPartitionReassignmentsResponse {
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
    public var replicas: [Int32] = []
    public var addingReplicas: [Int32] = []
    public var removingReplicas: [Int32] = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&partitionIndex)
      try c.field(&replicas)
      try c.field(&addingReplicas)
      try c.field(&removingReplicas)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}
