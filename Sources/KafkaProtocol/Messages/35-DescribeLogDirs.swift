public import Bytes
public import Model

public struct DescribeLogDirsRequest: KafkaRequest {
  public static let apiKey = APIKey.describeLogDirs
  public typealias Response = DescribeLogDirsResponse

  public var topics: [DescribableLogDirTopic]? = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&topics)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension DescribeLogDirsRequest {
  public struct DescribableLogDirTopic: WireStruct {
    public var topic = ""
    public var partitions: [Int32] = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&topic)
      try c.field(&partitions)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}

public struct DescribeLogDirsResponse: KafkaResponse {
  public static let apiKey = APIKey.describeLogDirs

  public var throttleTimeMs: Int32 = 0
  public var errorCode = ErrorCode.none
  public var results: [Result] = []
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&throttleTimeMs)
    if c.version >= 3 { try c.field(&errorCode) }
    try c.field(&results)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

extension DescribeLogDirsResponse {
  public struct Result: WireStruct {
    public var errorCode = ErrorCode.none
    public var logDir = ""
    public var topics: [Topic] = []
    public var totalBytes: Int64 = -1
    public var usableBytes: Int64 = -1
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&errorCode)
      try c.field(&logDir)
      try c.field(&topics)
      if c.version >= 4 {
        try c.field(&totalBytes)
        try c.field(&usableBytes)
      }
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct Topic: WireStruct {
    public var name = ""
    public var partitions: [Partition] = []
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&name)
      try c.field(&partitions)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }

  public struct Partition: WireStruct {
    public var partitionIndex: Int32 = 0
    public var partitionSize: Int64 = 0
    public var offsetLag: Int64 = 0
    public var isFutureKey = false
    public var unknownTaggedFields: [TaggedField] = []

    public init() {}

    public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
      try c.field(&partitionIndex)
      try c.field(&partitionSize)
      try c.field(&offsetLag)
      try c.field(&isFutureKey)
      try c.endOfStruct(&unknownTaggedFields)
    }
  }
}
