public import Bytes
public import Model
public import NIOCore

/// The leader hands in everybody's assignment, the others ask for theirs.
///
/// Versions 0 to 5. 3 adds static members (KIP-345), 5 the protocol, to be checked against the group's (KIP-559).
public struct SyncGroupRequest: KafkaRequest {
  public static let apiKey = APIKey.syncGroup
  public typealias Response = SyncGroupResponse

  public var groupID = ""
  public var generationID: Int32 = 0
  public var memberID = ""
  public var groupInstanceID: String?
  public var protocolType: String?
  public var protocolName: String?
  /// Empty from everyone but the leader.
  public var assignments: [Assignment] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&groupID)
    try c.field(&generationID)
    try c.field(&memberID)
    if c.version >= 3 { try c.field(&groupInstanceID) }
    if c.version >= 5 {
      try c.field(&protocolType)
      try c.field(&protocolName)
    }
    try c.field(&assignments)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension SyncGroupRequest {
  public struct Assignment: WireStruct {
    public var memberID = ""
    public var assignment = ByteBuffer()
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&memberID)
      try c.field(&assignment)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}

/// The member's own assignment, as its leader wrote it.
public struct SyncGroupResponse: KafkaResponse {
  public static let apiKey = APIKey.syncGroup

  public var throttleTimeMs: Int32 = 0
  public var errorCode = ErrorCode.none
  public var protocolType: String?
  public var protocolName: String?
  public var assignment = ByteBuffer()
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    if c.version >= 1 { try c.field(&throttleTimeMs) }
    try c.field(&errorCode)
    if c.version >= 5 {
      try c.field(&protocolType)
      try c.field(&protocolName)
    }
    try c.field(&assignment)
    try c.endOfStruct(&unknownTaggedFields)
  }
}
