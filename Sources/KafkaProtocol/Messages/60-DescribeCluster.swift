public import Bytes
public import Model

/// Asks for the brokers of the cluster (KIP-700).
///
/// Versions 0 to 2. 1 asks for brokers or controllers (KIP-919), 2 for fenced brokers as well (KIP-1073).
public struct DescribeClusterRequest: KafkaRequest {
  public static let apiKey = APIKey.describeCluster
  public typealias Response = DescribeClusterResponse

  public var includeClusterAuthorizedOperations = false
  /// 1: brokers; 2: controllers.
  public var endpointType: Int8 = 1
  public var includeFencedBrokers = false
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&includeClusterAuthorizedOperations)
    if c.version >= 1 { try c.field(&endpointType) }
    if c.version >= 2 { try c.field(&includeFencedBrokers) }
    try c.endOfStruct(&unknownTaggedFields)
  }
}

/// The cluster's id, controller and brokers.
public struct DescribeClusterResponse: KafkaResponse {
  public static let apiKey = APIKey.describeCluster

  public var throttleTimeMs: Int32 = 0
  public var errorCode = ErrorCode.none
  public var errorMessage: String?
  /// 1: brokers; 2: controllers.
  public var endpointType: Int8 = 1
  public var clusterID = ""
  public var controllerID: Int32 = -1
  public var brokers: [Broker] = []
  /// A bit for each ACL operation; `.min` if it was not asked for.
  public var clusterAuthorizedOperations: Int32 = .min
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&throttleTimeMs)
    try c.field(&errorCode)
    try c.field(&errorMessage)
    if c.version >= 1 { try c.field(&endpointType) }
    try c.field(&clusterID)
    try c.field(&controllerID)
    try c.field(&brokers)
    try c.field(&clusterAuthorizedOperations)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension DescribeClusterResponse {
  public struct Broker: WireStruct {
    public var brokerID: Int32 = 0
    public var host = ""
    public var port: Int32 = 0
    public var rack: String?
    public var isFenced = false
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&brokerID)
      try c.field(&host)
      try c.field(&port)
      try c.field(&rack)
      if c.version >= 2 { try c.field(&isFenced) }
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}
