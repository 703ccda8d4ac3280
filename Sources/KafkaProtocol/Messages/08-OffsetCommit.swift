public import Bytes
public import Model

/// Stores how far a group has read.
///
/// Versions 0 to 9. 0 knows no members, 1 alone has a timestamp for each offset, 2 to 4 a retention time, which we ignore
/// as Kafka has done since KIP-211. 6 adds leader epochs, 7 static members (KIP-345). A generation of -1 with no member is
/// a commit from outside the group.
public struct OffsetCommitRequest: KafkaRequest {
  public static let apiKey = APIKey.offsetCommit
  public typealias Response = OffsetCommitResponse

  public var groupID = ""
  public var generationIDOrMemberEpoch: Int32 = -1
  public var memberID = ""
  public var groupInstanceID: String?
  public var retentionTimeMs: Int64 = -1
  public var topics: [Topic] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&groupID)
    if c.version >= 1 {
      try c.field(&generationIDOrMemberEpoch)
      try c.field(&memberID)
    }
    if c.version >= 7 { try c.field(&groupInstanceID) }
    if (2...4).contains(c.version) { try c.field(&retentionTimeMs) }
    try c.field(&topics)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension OffsetCommitRequest {
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
    public var committedOffset: Int64 = 0
    public var committedLeaderEpoch: Int32 = -1
    /// Version 1 only, ignored.
    public var commitTimestamp: Int64 = -1
    public var committedMetadata: String? = ""
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&partitionIndex)
      try c.field(&committedOffset)
      if c.version >= 6 { try c.field(&committedLeaderEpoch) }
      if c.version == 1 { try c.field(&commitTimestamp) }
      try c.field(&committedMetadata)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}

/// How the commit went for each partition.
public struct OffsetCommitResponse: KafkaResponse {
  public static let apiKey = APIKey.offsetCommit

  public var throttleTimeMs: Int32 = 0
  public var topics: [Topic] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    if c.version >= 3 { try c.field(&throttleTimeMs) }
    try c.field(&topics)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension OffsetCommitResponse {
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
