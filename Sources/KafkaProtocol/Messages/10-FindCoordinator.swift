public import Bytes
public import Model

/// Asks which broker keeps a group, or a transactional id.
///
/// Versions 0 to 6. 1 adds the kind of key, 4 asks for several at once (KIP-699).
public struct FindCoordinatorRequest: KafkaRequest {
  public static let apiKey = APIKey.findCoordinator
  public typealias Response = FindCoordinatorResponse

  public var key = ""
  /// 0: group; 1: transactional id; 2: share group.
  public var keyType: Int8 = 0
  public var coordinatorKeys: [String] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    if c.version <= 3 { try c.field(&key) }
    if c.version >= 1 { try c.field(&keyType) }
    if c.version >= 4 { try c.field(&coordinatorKeys) }
    try c.endOfStruct(&unknownTaggedFields)
  }
}

/// The broker to turn to. Up to 3 one at the top, from 4 on a list.
public struct FindCoordinatorResponse: KafkaResponse {
  public static let apiKey = APIKey.findCoordinator

  public var throttleTimeMs: Int32 = 0
  public var errorCode = ErrorCode.none
  public var errorMessage: String?
  public var nodeID: Int32 = 0
  public var host = ""
  public var port: Int32 = 0
  public var coordinators: [Coordinator] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    if c.version >= 1 { try c.field(&throttleTimeMs) }
    if c.version <= 3 { try c.field(&errorCode) }
    if (1...3).contains(c.version) { try c.field(&errorMessage) }
    if c.version <= 3 {
      try c.field(&nodeID)
      try c.field(&host)
      try c.field(&port)
    }
    if c.version >= 4 { try c.field(&coordinators) }
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension FindCoordinatorResponse {
  public struct Coordinator: WireStruct {
    public var key = ""
    public var nodeID: Int32 = 0
    public var host = ""
    public var port: Int32 = 0
    public var errorCode = ErrorCode.none
    public var errorMessage: String?
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&key)
      try c.field(&nodeID)
      try c.field(&host)
      try c.field(&port)
      try c.field(&errorCode)
      try c.field(&errorMessage)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}
