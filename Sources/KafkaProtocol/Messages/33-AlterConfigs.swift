public import Bytes
public import Model

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
    public var value: String? = ""
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&name)
      try c.field(&value)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}

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
    public var errorMessage: String? = ""
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
