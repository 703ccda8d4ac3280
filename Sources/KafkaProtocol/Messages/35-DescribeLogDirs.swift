public import Bytes
public import Model

/// Asks how large partitions are on disk (KIP-113). Versions 1 to 4.
public struct DescribeLogDirsRequest: KafkaRequest {
  public static let apiKey = APIKey.describeLogDirs
  public typealias Response = DescribeLogDirsResponse

  /// Null: all of them.
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

/// Sizes by log directory and partition. 3 adds an error for the whole, 4 the size of the volume (KIP-827).
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
  /// One log directory.
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
