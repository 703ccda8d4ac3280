public import Bytes
public import Model

/// Appends record batches to partitions, one batch to each.
///
/// Versions 3 to 11 are served, 12 and 13 can be read. Before 3 there were no record batches, before 7 none compressed with
/// zstd (KIP-110). 13 names topics by id (KIP-516). With `acks` 0 there is no response, not even to say that it went wrong.
public struct ProduceRequest: KafkaRequest {
  public static let apiKey = APIKey.produce
  public typealias Response = ProduceResponse

  public var transactionalID: String?
  /// 0: no response; 1: when the leader has it; -1: when every in-sync replica has it.
  public var acks: Int16 = 0
  /// Milliseconds to wait for the replicas.
  public var timeoutMs: Int32 = 0
  public var topicData: [TopicProduceData] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&transactionalID)
    try c.field(&acks)
    try c.field(&timeoutMs)
    try c.field(&topicData)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension ProduceRequest {
  public struct TopicProduceData: WireStruct {
    public var name = ""
    public var topicID = TopicID.zero
    public var partitionData: [PartitionProduceData] = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      if c.version <= 12 { try c.field(&name) }
      if c.version >= 13 { try c.field(&topicID) }
      try c.field(&partitionData)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct PartitionProduceData: WireStruct {
    public var index: Int32 = 0
    public var records: RecordsField?
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&index)
      try c.field(&records)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}

/// Where the batches went, or why they did not.
///
/// 8 adds which records were at fault (KIP-467), 10 who leads instead (KIP-951).
public struct ProduceResponse: KafkaResponse {
  public static let apiKey = APIKey.produce

  public var responses: [TopicProduceResponse] = []
  public var throttleTimeMs: Int32 = 0
  public var nodeEndpoints: [NodeEndpoint] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&responses)
    try c.field(&throttleTimeMs)
    if c.version >= 10 { try c.tag(0, &nodeEndpoints, default: []) }
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension ProduceResponse {
  public struct TopicProduceResponse: WireStruct {
    public var name = ""
    public var topicID = TopicID.zero
    public var partitionResponses: [PartitionProduceResponse] = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      if c.version <= 12 { try c.field(&name) }
      if c.version >= 13 { try c.field(&topicID) }
      try c.field(&partitionResponses)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct PartitionProduceResponse: WireStruct {
    public var index: Int32 = 0
    public var errorCode = ErrorCode.none
    public var baseOffset: Int64 = 0
    public var logAppendTimeMs: Int64 = -1
    public var logStartOffset: Int64 = -1
    public var recordErrors: [BatchIndexAndErrorMessage] = []
    public var errorMessage: String?
    public var currentLeader = LeaderIDAndEpoch()
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&index)
      try c.field(&errorCode)
      try c.field(&baseOffset)
      try c.field(&logAppendTimeMs)
      if c.version >= 5 { try c.field(&logStartOffset) }
      if c.version >= 8 {
        try c.field(&recordErrors)
        try c.field(&errorMessage)
      }
      if c.version >= 10 { try c.tag(0, &currentLeader, default: LeaderIDAndEpoch()) }
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct BatchIndexAndErrorMessage: WireStruct {
    public var batchIndex: Int32 = 0
    public var batchIndexErrorMessage: String?
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&batchIndex)
      try c.field(&batchIndexErrorMessage)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  /// Who leads now, for NOT_LEADER_OR_FOLLOWER (KIP-951).
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
