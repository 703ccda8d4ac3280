public import Bytes
public import Model

/// Deletes empty groups with their offsets (KIP-229). Versions 0 to 2.
public struct DeleteGroupsRequest: KafkaRequest {
  public static let apiKey = APIKey.deleteGroups
  public typealias Response = DeleteGroupsResponse

  public var groupsNames: [String] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&groupsNames)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

/// How it went for each group.
public struct DeleteGroupsResponse: KafkaResponse {
  public static let apiKey = APIKey.deleteGroups

  public var throttleTimeMs: Int32 = 0
  public var results: [DeletableGroupResult] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&throttleTimeMs)
    try c.field(&results)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension DeleteGroupsResponse {
  public struct DeletableGroupResult: WireStruct {
    public var groupID = ""
    public var errorCode = ErrorCode.none
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&groupID)
      try c.field(&errorCode)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}
