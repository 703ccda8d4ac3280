public import Bytes
public import Model

/// Creates topics. Versions 0 to 7; 1 adds validation only, 4 lets the broker choose the counts (-1, KIP-464).
public struct CreateTopicsRequest: KafkaRequest {
  public static let apiKey = APIKey.createTopics
  public typealias Response = CreateTopicsResponse

  public var topics: [CreatableTopic] = []
  public var timeoutMs: Int32 = 60000
  public var validateOnly = false
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&topics)
    try c.field(&timeoutMs)
    if c.version >= 1 { try c.field(&validateOnly) }
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension CreateTopicsRequest {
  public struct CreatableTopic: WireStruct {
    public var name = ""
    /// -1: the broker's default, or as many as `assignments` has.
    public var numPartitions: Int32 = 0
    /// -1: the broker's default, or as `assignments` says.
    public var replicationFactor: Int16 = 0
    public var assignments: [CreatableReplicaAssignment] = []
    public var configs: [CreatableTopicConfig] = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&name)
      try c.field(&numPartitions)
      try c.field(&replicationFactor)
      try c.field(&assignments)
      try c.field(&configs)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct CreatableReplicaAssignment: WireStruct {
    public var partitionIndex: Int32 = 0
    public var brokerIDs: [Int32] = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&partitionIndex)
      try c.field(&brokerIDs)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct CreatableTopicConfig: WireStruct {
    public var name = ""
    public var value: String?
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&name)
      try c.field(&value)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}

/// How it went for each topic. 5 adds what was created (KIP-525), 7 the topic id.
public struct CreateTopicsResponse: KafkaResponse {
  public static let apiKey = APIKey.createTopics

  public var throttleTimeMs: Int32 = 0
  public var topics: [CreatableTopicResult] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    if c.version >= 2 { try c.field(&throttleTimeMs) }
    try c.field(&topics)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension CreateTopicsResponse {
  public struct CreatableTopicResult: WireStruct {
    public var name = ""
    public var topicID = TopicID.zero
    public var errorCode = ErrorCode.none
    public var errorMessage: String?
    /// Why `configs` and the counts are missing, where describing them is not allowed.
    public var topicConfigErrorCode = ErrorCode.none
    public var numPartitions: Int32 = -1
    public var replicationFactor: Int16 = -1
    /// Never null: Java's client does not survive it.
    public var configs: [CreatableTopicConfigs]? = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&name)
      if c.version >= 7 { try c.field(&topicID) }
      try c.field(&errorCode)
      if c.version >= 1 { try c.field(&errorMessage) }
      if c.version >= 5 {
        try c.field(&numPartitions)
        try c.field(&replicationFactor)
        try c.field(&configs)
      }
      try c.tag(0, &topicConfigErrorCode, default: .none)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct CreatableTopicConfigs: WireStruct {
    public var name = ""
    public var value: String?
    public var readOnly = false
    /// 1: topic; 2: broker; 3: all brokers; 4: the broker's configuration file; 5: default.
    public var configSource: Int8 = -1
    public var isSensitive = false
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&name)
      try c.field(&value)
      try c.field(&readOnly)
      try c.field(&configSource)
      try c.field(&isSensitive)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}
