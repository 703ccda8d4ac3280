public import Bytes
public import Model
public import NIOCore

public struct JoinGroupRequest: KafkaRequest {
  public static let apiKey = APIKey.joinGroup
  public typealias Response = JoinGroupResponse

  public var groupID = ""
  public var sessionTimeoutMs: Int32 = 0
  public var rebalanceTimeoutMs: Int32 = -1
  public var memberID = ""
  public var groupInstanceID: String?
  public var protocolType = ""
  public var protocols: [ProtocolMetadata] = []
  public var reason: String?
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&groupID)
    try c.field(&sessionTimeoutMs)
    if c.version >= 1 { try c.field(&rebalanceTimeoutMs) }
    try c.field(&memberID)
    if c.version >= 5 { try c.field(&groupInstanceID) }
    try c.field(&protocolType)
    try c.field(&protocols)
    if c.version >= 8 { try c.field(&reason) }
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension JoinGroupRequest {
  public struct ProtocolMetadata: WireStruct {
    public var name = ""
    public var metadata = ByteBuffer()
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&name)
      try c.field(&metadata)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}

public struct JoinGroupResponse: KafkaResponse {
  public static let apiKey = APIKey.joinGroup

  public var throttleTimeMs: Int32 = 0
  public var errorCode = ErrorCode.none
  public var generationID: Int32 = -1
  public var protocolType: String?
  public var protocolName: String? = ""
  public var leader = ""
  public var skipAssignment = false
  public var memberID = ""
  public var members: [Member] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    if c.version >= 2 { try c.field(&throttleTimeMs) }
    try c.field(&errorCode)
    try c.field(&generationID)
    if c.version >= 7 { try c.field(&protocolType) }
    try c.field(&protocolName, nullable: c.version >= 7)
    try c.field(&leader)
    if c.version >= 9 { try c.field(&skipAssignment) }
    try c.field(&memberID)
    try c.field(&members)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension JoinGroupResponse {
  public struct Member: WireStruct {
    public var memberID = ""
    public var groupInstanceID: String?
    public var metadata = ByteBuffer()
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&memberID)
      if c.version >= 5 { try c.field(&groupInstanceID) }
      try c.field(&metadata)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}
