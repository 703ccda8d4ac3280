public import Bytes
public import Model

/// Replaces the configuration of topics or brokers: what is not named goes back to its default. Versions 0 to 2.
///
/// Superseded by IncrementalAlterConfigs (KIP-339), but librdkafka and others still send it.
public struct AlterConfigsRequest: KafkaRequest {
  public static let apiKey = APIKey.alterConfigs
  public typealias Response = AlterConfigsResponse

  public var resources: [Resource] = []
  public var validateOnly = false
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&resources)
    try c.field(&validateOnly)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension AlterConfigsRequest {
  public struct Resource: WireStruct {
    /// 2: topic; 4: broker.
    public var resourceType: Int8 = 0
    public var resourceName = ""
    public var configs: [AlterableConfig] = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&resourceType)
      try c.field(&resourceName)
      try c.field(&configs)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct AlterableConfig: WireStruct {
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

/// How it went for each resource.
public struct AlterConfigsResponse: KafkaResponse {
  public static let apiKey = APIKey.alterConfigs

  public var throttleTimeMs: Int32 = 0
  public var responses: [ResourceResponse] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&throttleTimeMs)
    try c.field(&responses)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension AlterConfigsResponse {
  public struct ResourceResponse: WireStruct {
    public var errorCode = ErrorCode.none
    public var errorMessage: String?
    /// 2: topic; 4: broker.
    public var resourceType: Int8 = 0
    public var resourceName = ""
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&errorCode)
      try c.field(&errorMessage)
      try c.field(&resourceType)
      try c.field(&resourceName)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}
