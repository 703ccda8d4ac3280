public import Bytes
public import Model

/// Changes single configuration values of topics or brokers (KIP-339). Versions 0 and 1.
public struct IncrementalAlterConfigsRequest: KafkaRequest {
  public static let apiKey = APIKey.incrementalAlterConfigs
  public typealias Response = IncrementalAlterConfigsResponse

  public var resources: [AlterConfigsResource] = []
  public var validateOnly = false
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&resources)
    try c.field(&validateOnly)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension IncrementalAlterConfigsRequest {
  public struct AlterConfigsResource: WireStruct {
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
    /// 0: set; 1: delete; 2: append to a list; 3: take out of a list.
    public var configOperation: Int8 = 0
    public var value: String?
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&name)
      try c.field(&configOperation)
      try c.field(&value)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}

/// How it went for each resource.
public struct IncrementalAlterConfigsResponse: KafkaResponse {
  public static let apiKey = APIKey.incrementalAlterConfigs

  public var throttleTimeMs: Int32 = 0
  public var responses: [AlterConfigsResourceResponse] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&throttleTimeMs)
    try c.field(&responses)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension IncrementalAlterConfigsResponse {
  public struct AlterConfigsResourceResponse: WireStruct {
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
