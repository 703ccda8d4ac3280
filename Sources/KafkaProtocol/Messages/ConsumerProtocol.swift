public import Bytes
public import NIOCore

/// What a consumer puts into its JoinGroup metadata: what it wants to read, and what it has.
///
/// The broker passes it on unread to the group's leader; only who describes a group to a person looks inside. Versions 0 to
/// 3: 1 adds the partitions held before the rebalance (KIP-429), 2 the generation they were held in (KIP-792), 3 the rack
/// (KIP-881).
public struct ConsumerProtocolSubscription: EmbeddedMessage {
  public static let versions: ClosedRange<Int16> = 0...3

  public var topics: [String] = []
  /// For the assignor, whose own format it is.
  public var userData: ByteBuffer?
  public var ownedPartitions: [TopicPartitions] = []
  public var generationID: Int32 = -1
  public var rackID: String?
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&topics)
    try c.field(&userData)
    if c.version >= 1 { try c.field(&ownedPartitions) }
    if c.version >= 2 { try c.field(&generationID) }
    if c.version >= 3 { try c.field(&rackID) }
    try c.endOfStruct(&unknownTaggedFields)
  }
}

/// What the group's leader gives a consumer in SyncGroup: the partitions to read. Versions 0 to 3, all alike.
public struct ConsumerProtocolAssignment: EmbeddedMessage {
  public static let versions: ClosedRange<Int16> = 0...3

  public var assignedPartitions: [TopicPartitions] = []
  /// From the assignor, whose own format it is.
  public var userData: ByteBuffer?
  public var unknownTaggedFields: [TaggedField] = []

  public init() {}

  public mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
    try c.field(&assignedPartitions)
    try c.field(&userData)
    try c.endOfStruct(&unknownTaggedFields)
  }
}

/// Partitions of one topic in a subscription or an assignment.
public struct TopicPartitions: WireStruct {
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

/// A message inside a `bytes` field, which says its own version in its first two bytes. None is flexible.
public protocol EmbeddedMessage: WireStruct {
  static var versions: ClosedRange<Int16> { get }
}

extension EmbeddedMessage {
  /// Reads the message. What a version newer than ours has behind our last field is left alone, as Kafka's consumers do.
  ///
  /// - Throws: if the bytes are cut short or malformed, or the version is negative.
  public static func decode(_ buffer: ByteBuffer) throws(WireError) -> Self {
    try buffer.withReadableRaw { (bytes: UnsafeRawBufferPointer) throws(WireError) -> Self in
      var version = Int16(0)
      var prefix = MessageReader(bytes, of: buffer, version: 0, isFlexible: false)
      try prefix.integer(&version)
      guard version >= versions.lowerBound else { throw .malformed("version \(version)") }
      var reader = prefix.continued(version: min(version, versions.upperBound))
      var message = Self()
      try message.fields(&reader)
      return message
    }
  }

  /// - Precondition: `version` is one of `versions`.
  public func encoded(version: Int16) -> ByteBuffer {
    precondition(Self.versions.contains(version), "\(Self.self) has no version \(version)")
    var writer = MessageWriter(version: version, isFlexible: false)
    writer.write(version)
    var copy = self
    do throws(WireError) { try copy.fields(&writer) } catch { preconditionFailure("a writer refuses nothing: \(error)") }
    return writer.written
  }
}
