public import Bytes
public import Model

/// Asks for a producer id: for idempotence alone, or for transactions if there is a transactional id.
///
/// Versions 0 to 4. 3 lets a producer keep its id and ask for the next epoch after an error (KIP-360).
public struct InitProducerIDRequest: KafkaRequest {
  public static let apiKey = APIKey.initProducerID
  public typealias Response = InitProducerIDResponse

  /// Null: idempotence only.
  public var transactionalID: String? = ""
  public var transactionTimeoutMs: Int32 = 0
  /// -1: a new one.
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

/// The producer id and epoch to put into record batches.
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
