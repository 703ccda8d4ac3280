public import Bytes
public import Model

/// The first request of a connection: what can you do? Versions 0 to 4; 3 says who asks (KIP-511).
public struct ApiVersionsRequest: KafkaRequest {
  public static let apiKey = APIKey.apiVersions
  public typealias Response = ApiVersionsResponse

  public var clientSoftwareName = ""
  public var clientSoftwareVersion = ""
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    if c.version >= 3 {
      try c.field(&clientSoftwareName)
      try c.field(&clientSoftwareVersion)
    }
    try c.endOfStruct(&unknownTaggedFields)
  }
}

/// What this broker can do.
///
/// Its header has no tagged fields in any version, and a request in a version that we do not have is answered in version 0
/// with UNSUPPORTED_VERSION and the range of this API: the client cannot know yet what to expect (KIP-511).
public struct ApiVersionsResponse: KafkaResponse {
  public static let apiKey = APIKey.apiVersions

  public var errorCode = ErrorCode.none
  public var apiKeys: [ApiVersion] = []
  public var throttleTimeMs: Int32 = 0
  public var supportedFeatures: [SupportedFeatureKey] = []
  /// -1: unknown.
  public var finalizedFeaturesEpoch: Int64 = -1
  public var finalizedFeatures: [FinalizedFeatureKey] = []
  public var zkMigrationReady = false
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&errorCode)
    try c.field(&apiKeys)
    if c.version >= 1 { try c.field(&throttleTimeMs) }
    try c.tag(0, &supportedFeatures, default: [])
    try c.tag(1, &finalizedFeaturesEpoch, default: -1)
    try c.tag(2, &finalizedFeatures, default: [])
    try c.tag(3, &zkMigrationReady, default: false)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension ApiVersionsResponse {
  /// The versions of one API.
  public struct ApiVersion: WireStruct {
    public var apiKey: Int16 = 0
    public var minVersion: Int16 = 0
    public var maxVersion: Int16 = 0
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&apiKey)
      try c.field(&minVersion)
      try c.field(&maxVersion)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct SupportedFeatureKey: WireStruct {
    public var name = ""
    public var minVersion: Int16 = 0
    public var maxVersion: Int16 = 0
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&name)
      try c.field(&minVersion)
      try c.field(&maxVersion)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct FinalizedFeatureKey: WireStruct {
    public var name = ""
    public var maxVersionLevel: Int16 = 0
    public var minVersionLevel: Int16 = 0
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&name)
      try c.field(&maxVersionLevel)
      try c.field(&minVersionLevel)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}
