public import Bytes
public import Model

/// Adds partitions to topics (KIP-195). Versions 0 to 3.
public struct CreatePartitionsRequest: KafkaRequest {
  public static let apiKey = APIKey.createPartitions
  public typealias Response = CreatePartitionsResponse

  public var topics: [Topic] = []
  public var timeoutMs: Int32 = 0
  public var validateOnly = false
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&topics)
    try c.field(&timeoutMs)
    try c.field(&validateOnly)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension CreatePartitionsRequest {
  public struct Topic: WireStruct {
    public var name = ""
    /// How many there are to be in all.
    public var count: Int32 = 0
    /// Null: the broker chooses.
    public var assignments: [Assignment]? = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&name)
      try c.field(&count)
      try c.field(&assignments)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct Assignment: WireStruct {
    public var brokerIDs: [Int32] = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&brokerIDs)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}

/// How it went for each topic.
public struct CreatePartitionsResponse: KafkaResponse {
  public static let apiKey = APIKey.createPartitions

  public var throttleTimeMs: Int32 = 0
  public var results: [TopicResult] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&throttleTimeMs)
    try c.field(&results)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension CreatePartitionsResponse {
  public struct TopicResult: WireStruct {
    public var name = ""
    public var errorCode = ErrorCode.none
    public var errorMessage: String?
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&name)
      try c.field(&errorCode)
      try c.field(&errorMessage)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}
