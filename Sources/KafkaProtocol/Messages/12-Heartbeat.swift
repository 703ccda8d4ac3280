public import Bytes
public import Model

/// A member says that it lives. Versions 0 to 4; 3 adds static members (KIP-345).
public struct HeartbeatRequest: KafkaRequest {
  public static let apiKey = APIKey.heartbeat
  public typealias Response = HeartbeatResponse

  public var groupID = ""
  public var generationID: Int32 = 0
  public var memberID = ""
  public var groupInstanceID: String?
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&groupID)
    try c.field(&generationID)
    try c.field(&memberID)
    if c.version >= 3 { try c.field(&groupInstanceID) }
    try c.endOfStruct(&unknownTaggedFields)
  }
}

/// Nothing, or that a rebalance has begun and the member is to join again.
public struct HeartbeatResponse: KafkaResponse {
  public static let apiKey = APIKey.heartbeat

  public var throttleTimeMs: Int32 = 0
  public var errorCode = ErrorCode.none
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    if c.version >= 1 { try c.field(&throttleTimeMs) }
    try c.field(&errorCode)
    try c.endOfStruct(&unknownTaggedFields)
  }
}
