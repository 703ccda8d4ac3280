public import Bytes
public import Model
public import NIOCore

/// A consumer enters its group, or comes back after a rebalance; the answer waits for the others.
///
/// Versions 0 to 9. Before 1 the rebalance may take as long as a session. From 4 on a new member is sent away once with the
/// id it is to use (KIP-394). 5 adds static members (KIP-345), 8 the reason, for the log (KIP-800).
public struct JoinGroupRequest: KafkaRequest {
  public static let apiKey = APIKey.joinGroup
  public typealias Response = JoinGroupResponse

  public var groupID = ""
  public var sessionTimeoutMs: Int32 = 0
  /// -1 in version 0, where the session timeout takes its place.
  public var rebalanceTimeoutMs: Int32 = -1
  /// Empty for a member that is new.
  public var memberID = ""
  public var groupInstanceID: String?
  public var protocolType = ""
  /// In order of preference.
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
  /// An assignor that the member knows, and its subscription in that assignor's format.
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

/// The new generation; for its leader also the members with their subscriptions.
///
/// 9 lets a static leader that came back skip the assignment (KIP-814).
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
  /// Empty for everyone but the leader.
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
