public import Bytes
public import Model

/// Asks how far groups have read.
///
/// Versions 1 to 9. Null topics, from 2 on, mean all that the group has committed. 7 asks not to be told offsets that a
/// transaction may still change (KIP-447), 8 asks for several groups at once (KIP-709), 9 says which member asks (KIP-848).
public struct OffsetFetchRequest: KafkaRequest {
  public static let apiKey = APIKey.offsetFetch
  public typealias Response = OffsetFetchResponse

  /// Up to version 7, as `topics` is; later in `groups`.
  public var groupID = ""
  /// Null: everything committed. In version 1 there is no null.
  public var topics: [Topic]? = []
  public var groups: [Group] = []
  public var requireStable = false
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    if c.version <= 7 {
      try c.field(&groupID)
      try c.field(&topics, nullable: c.version >= 2)
    }
    if c.version >= 8 { try c.field(&groups) }
    if c.version >= 7 { try c.field(&requireStable) }
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension OffsetFetchRequest {
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

  public struct Group: WireStruct {
    public var groupID = ""
    public var memberID: String?
    public var memberEpoch: Int32 = -1
    /// Null: everything committed.
    public var topics: [Topics]? = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&groupID)
      if c.version >= 9 {
        try c.field(&memberID)
        try c.field(&memberEpoch)
      }
      try c.field(&topics)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct Topics: WireStruct {
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

/// The committed offsets; -1 where there is none. A group that nobody knows is no error.
///
/// Up to 7 one group at the top, from 8 on a list of groups.
public struct OffsetFetchResponse: KafkaResponse {
  public static let apiKey = APIKey.offsetFetch

  public var throttleTimeMs: Int32 = 0
  /// Up to version 7, as `errorCode` is; later in `groups`.
  public var topics: [Topic] = []
  public var errorCode = ErrorCode.none
  public var groups: [Group] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    if c.version >= 3 { try c.field(&throttleTimeMs) }
    if c.version <= 7 { try c.field(&topics) }
    if (2...7).contains(c.version) { try c.field(&errorCode) }
    if c.version >= 8 { try c.field(&groups) }
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension OffsetFetchResponse {
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
    public var metadata: String? = ""
    public var errorCode = ErrorCode.none
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&partitionIndex)
      try c.field(&committedOffset)
      if c.version >= 5 { try c.field(&committedLeaderEpoch) }
      try c.field(&metadata)
      try c.field(&errorCode)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct Group: WireStruct {
    public var groupID = ""
    public var topics: [Topic] = []
    public var errorCode = ErrorCode.none
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&groupID)
      try c.field(&topics)
      try c.field(&errorCode)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}
