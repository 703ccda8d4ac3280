public import Bytes
public import Model

/// Deletes topics. Versions 1 to 6: names up to 5, then names or ids (KIP-516).
public struct DeleteTopicsRequest: KafkaRequest {
  public static let apiKey = APIKey.deleteTopics
  public typealias Response = DeleteTopicsResponse

  public var topics: [DeleteTopicState] = []
  public var topicNames: [String] = []
  public var timeoutMs: Int32 = 0
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    if c.version >= 6 { try c.field(&topics) }
    if c.version <= 5 { try c.field(&topicNames) }
    try c.field(&timeoutMs)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension DeleteTopicsRequest {
  /// A topic by name, or by id with a null name.
  public struct DeleteTopicState: WireStruct {
    public var name: String?
    public var topicID = TopicID.zero
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&name)
      try c.field(&topicID)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}

/// How it went for each topic. 5 adds messages, 6 the topic ids.
public struct DeleteTopicsResponse: KafkaResponse {
  public static let apiKey = APIKey.deleteTopics

  public var throttleTimeMs: Int32 = 0
  public var responses: [DeletableTopicResult] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&throttleTimeMs)
    try c.field(&responses)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension DeleteTopicsResponse {
  public struct DeletableTopicResult: WireStruct {
    public var name: String? = ""
    public var topicID = TopicID.zero
    public var errorCode = ErrorCode.none
    public var errorMessage: String?
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&name, nullable: c.version >= 6)
      if c.version >= 6 { try c.field(&topicID) }
      try c.field(&errorCode)
      if c.version >= 5 { try c.field(&errorMessage) }
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}
