public import Bytes
public import Model

/// Has partitions led by another replica (KIP-183).
///
/// Versions 0 to 2. 1 knows unclean elections (KIP-460).
public struct ElectLeadersRequest: KafkaRequest {
  public static let apiKey = APIKey.electLeaders
  public typealias Response = ElectLeadersResponse

  /// 0: the preferred replica; 1: any replica that is there, where nobody in sync is.
  public var electionType: Int8 = 0
  /// Null: every partition.
  public var topicPartitions: [TopicPartitions]? = []
  public var timeoutMs: Int32 = 60_000
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    if c.version >= 1 { try c.field(&electionType) }
    try c.field(&topicPartitions)
    try c.field(&timeoutMs)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension ElectLeadersRequest {
  public struct TopicPartitions: WireStruct {
    public var topic = ""
    public var partitions: [Int32] = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&topic)
      try c.field(&partitions)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}

/// How it went for each partition.
public struct ElectLeadersResponse: KafkaResponse {
  public static let apiKey = APIKey.electLeaders

  public var throttleTimeMs: Int32 = 0
  public var errorCode = ErrorCode.none
  public var replicaElectionResults: [ReplicaElectionResult] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&throttleTimeMs)
    if c.version >= 1 { try c.field(&errorCode) }
    try c.field(&replicaElectionResults)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension ElectLeadersResponse {
  public struct ReplicaElectionResult: WireStruct {
    public var topic = ""
    public var partitionResult: [PartitionResult] = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&topic)
      try c.field(&partitionResult)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct PartitionResult: WireStruct {
    public var partitionID: Int32 = 0
    public var errorCode = ErrorCode.none
    public var errorMessage: String?
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&partitionID)
      try c.field(&errorCode)
      try c.field(&errorMessage)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}
