public import Bytes
public import Model

/// Members leave their group. Versions 0 to 5: one member up to 2, then a list (KIP-345); 5 adds the reason (KIP-800).
public struct LeaveGroupRequest: KafkaRequest {
  public static let apiKey = APIKey.leaveGroup
  public typealias Response = LeaveGroupResponse

  public var groupID = ""
  /// Up to version 2; later in `members`.
  public var memberID = ""
  public var members: [MemberIdentity] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&groupID)
    if c.version <= 2 { try c.field(&memberID) }
    if c.version >= 3 { try c.field(&members) }
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension LeaveGroupRequest {
  public struct MemberIdentity: WireStruct {
    public var memberID = ""
    public var groupInstanceID: String?
    public var reason: String?
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&memberID)
      try c.field(&groupInstanceID)
      if c.version >= 5 { try c.field(&reason) }
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}

/// How leaving went; from 3 on for each member.
public struct LeaveGroupResponse: KafkaResponse {
  public static let apiKey = APIKey.leaveGroup

  public var throttleTimeMs: Int32 = 0
  public var errorCode = ErrorCode.none
  public var members: [MemberResponse] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    if c.version >= 1 { try c.field(&throttleTimeMs) }
    try c.field(&errorCode)
    if c.version >= 3 { try c.field(&members) }
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension LeaveGroupResponse {
  public struct MemberResponse: WireStruct {
    public var memberID = ""
    public var groupInstanceID: String? = ""
    public var errorCode = ErrorCode.none
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&memberID)
      try c.field(&groupInstanceID)
      try c.field(&errorCode)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}
