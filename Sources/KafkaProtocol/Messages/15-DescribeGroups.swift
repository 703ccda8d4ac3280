public import Bytes
public import Model
public import NIOCore

/// Asks for the state and the members of groups. Versions 0 to 6.
public struct DescribeGroupsRequest: KafkaRequest {
  public static let apiKey = APIKey.describeGroups
  public typealias Response = DescribeGroupsResponse

  public var groups: [String] = []
  public var includeAuthorizedOperations = false
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&groups)
    if c.version >= 3 { try c.field(&includeAuthorizedOperations) }
    try c.endOfStruct(&unknownTaggedFields)
  }
}

/// Groups with their members. 4 adds static members, 6 an error for a group that does not exist (KIP-1043); before that it
/// is called `Dead`.
public struct DescribeGroupsResponse: KafkaResponse {
  public static let apiKey = APIKey.describeGroups

  public var throttleTimeMs: Int32 = 0
  public var groups: [DescribedGroup] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    if c.version >= 1 { try c.field(&throttleTimeMs) }
    try c.field(&groups)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension DescribeGroupsResponse {
  public struct DescribedGroup: WireStruct {
    public var errorCode = ErrorCode.none
    public var errorMessage: String?
    public var groupID = ""
    public var groupState = ""
    public var protocolType = ""
    /// The protocol that was chosen: an assignor's name.
    public var protocolData = ""
    public var members: [DescribedGroupMember] = []
    /// A bit for each ACL operation; `.min` if it was not asked for.
    public var authorizedOperations: Int32 = .min
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&errorCode)
      if c.version >= 6 { try c.field(&errorMessage) }
      try c.field(&groupID)
      try c.field(&groupState)
      try c.field(&protocolType)
      try c.field(&protocolData)
      try c.field(&members)
      if c.version >= 3 { try c.field(&authorizedOperations) }
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct DescribedGroupMember: WireStruct {
    public var memberID = ""
    public var groupInstanceID: String?
    public var clientID = ""
    public var clientHost = ""
    public var memberMetadata = ByteBuffer()
    public var memberAssignment = ByteBuffer()
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&memberID)
      if c.version >= 4 { try c.field(&groupInstanceID) }
      try c.field(&clientID)
      try c.field(&clientHost)
      try c.field(&memberMetadata)
      try c.field(&memberAssignment)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}
