public import Bytes
public import Model

/// Asks which groups this broker keeps. Versions 0 to 5; 4 filters by state (KIP-518), 5 by type (KIP-848).
public struct ListGroupsRequest: KafkaRequest {
  public static let apiKey = APIKey.listGroups
  public typealias Response = ListGroupsResponse

  public var statesFilter: [String] = []
  public var typesFilter: [String] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    if c.version >= 4 { try c.field(&statesFilter) }
    if c.version >= 5 { try c.field(&typesFilter) }
    try c.endOfStruct(&unknownTaggedFields)
  }
}

/// The groups. 4 adds their states, 5 their types.
public struct ListGroupsResponse: KafkaResponse {
  public static let apiKey = APIKey.listGroups

  public var throttleTimeMs: Int32 = 0
  public var errorCode = ErrorCode.none
  public var groups: [ListedGroup] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    if c.version >= 1 { try c.field(&throttleTimeMs) }
    try c.field(&errorCode)
    try c.field(&groups)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension ListGroupsResponse {
  public struct ListedGroup: WireStruct {
    public var groupID = ""
    public var protocolType = ""
    public var groupState = ""
    public var groupType = ""
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&groupID)
      try c.field(&protocolType)
      if c.version >= 4 { try c.field(&groupState) }
      if c.version >= 5 { try c.field(&groupType) }
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}
