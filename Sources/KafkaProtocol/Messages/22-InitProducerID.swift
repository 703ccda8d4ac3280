public import Bytes
public import Model

public struct InitProducerIDRequest: KafkaRequest {
  public static let apiKey = APIKey.initProducerID
  public typealias Response = InitProducerIDResponse

  public var transactionalID: String? = ""
  public var transactionTimeoutMs: Int32 = 0
  public var producerID: Int64 = -1
  public var producerEpoch: Int16 = -1
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&transactionalID)
    try c.field(&transactionTimeoutMs)
    if c.version >= 3 {
      try c.field(&producerID)
      try c.field(&producerEpoch)
    }
    try c.endOfStruct(&unknownTaggedFields)
  }
}

public struct InitProducerIDResponse: KafkaResponse {
  public static let apiKey = APIKey.initProducerID

  public var throttleTimeMs: Int32 = 0
  public var errorCode = ErrorCode.none
  public var producerID: Int64 = -1
  public var producerEpoch: Int16 = 0
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&throttleTimeMs)
    try c.field(&errorCode)
    try c.field(&producerID)
    try c.field(&producerEpoch)
    try c.endOfStruct(&unknownTaggedFields)
  }
}
