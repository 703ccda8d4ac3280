public import Bytes
public import Model

/// Asks for the configuration of topics or brokers.
///
/// Versions 0 to 4. 1 adds where a value comes from (KIP-226), 3 the documentation (KIP-569).
public struct DescribeConfigsRequest: KafkaRequest {
  public static let apiKey = APIKey.describeConfigs
  public typealias Response = DescribeConfigsResponse

  public var resources: [Resource] = []
  public var includeSynonyms = false
  public var includeDocumentation = false
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&resources)
    if c.version >= 1 { try c.field(&includeSynonyms) }
    if c.version >= 3 { try c.field(&includeDocumentation) }
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension DescribeConfigsRequest {
  public struct Resource: WireStruct {
    /// 2: topic; 4: broker.
    public var resourceType: Int8 = 0
    public var resourceName = ""
    /// Null: all of them.
    public var configurationKeys: [String]? = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&resourceType)
      try c.field(&resourceName)
      try c.field(&configurationKeys)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}

/// Values with their sources. Version 0 only says whether a value is the default.
public struct DescribeConfigsResponse: KafkaResponse {
  public static let apiKey = APIKey.describeConfigs

  public var throttleTimeMs: Int32 = 0
  public var results: [Result] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&throttleTimeMs)
    try c.field(&results)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension DescribeConfigsResponse {
  /// What is said of one resource.
  public struct Result: WireStruct {
    public var errorCode = ErrorCode.none
    public var errorMessage: String?
    /// 2: topic; 4: broker.
    public var resourceType: Int8 = 0
    public var resourceName = ""
    public var configs: [ResourceResult] = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&errorCode)
      try c.field(&errorMessage)
      try c.field(&resourceType)
      try c.field(&resourceName)
      try c.field(&configs)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  /// One value.
  public struct ResourceResult: WireStruct {
    public var name = ""
    public var value: String?
    public var readOnly = false
    public var isDefault = false
    /// 1: topic; 2: broker; 3: all brokers; 4: the broker's configuration file; 5: default.
    public var configSource: Int8 = -1
    public var isSensitive = false
    public var synonyms: [Synonym] = []
    public var configType: Int8 = 0
    public var documentation: String?
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&name)
      try c.field(&value)
      try c.field(&readOnly)
      if c.version == 0 { try c.field(&isDefault) }
      if c.version >= 1 { try c.field(&configSource) }
      try c.field(&isSensitive)
      if c.version >= 1 { try c.field(&synonyms) }
      if c.version >= 3 {
        try c.field(&configType)
        try c.field(&documentation)
      }
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  /// Where else the value is set, strongest first.
  public struct Synonym: WireStruct {
    public var name = ""
    public var value: String?
    /// As `configSource`.
    public var source: Int8 = 0
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&name)
      try c.field(&value)
      try c.field(&source)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}
