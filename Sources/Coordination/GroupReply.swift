public import Model

/// The answer to one request.
public enum GroupReply: Hashable, Sendable {
  case join(JoinReply)
  case sync(SyncReply)
  case heartbeat(ErrorCode)
  case leave([MemberResult])
  case commit([PartitionResult])
  case deleteGroup(ErrorCode)
  case deleteOffsets(ErrorCode, [PartitionResult])
}

public struct JoinReply: Hashable, Sendable {
  /// What the leader needs to know of a member in order to assign.
  public struct Member: Hashable, Sendable {
    public var identity: MemberIdentity
    public var metadata: [UInt8]
    public init(identity: MemberIdentity, metadata: [UInt8]) {
      self.identity = identity
      self.metadata = metadata
    }
  }

  public var error: ErrorCode
  public var memberID: String
  public var generationID: Int32 = -1
  public var protocolType: String?
  public var protocolName: String?
  public var leaderID: String = ""
  /// The leader keeps the assignment there is (KIP-814).
  public var skipsAssignment = false
  /// All members for the leader, none for the others.
  public var members: [Member] = []

  public init(error: ErrorCode, memberID: String) {
    self.error = error
    self.memberID = memberID
  }
}

public struct SyncReply: Hashable, Sendable {
  public var error: ErrorCode
  public var protocolType: String?
  public var protocolName: String?
  public var assignment: [UInt8] = []

  public init(error: ErrorCode) { self.error = error }
}

/// What became of one leaving member; the identity is as it was asked.
public struct MemberResult: Hashable, Sendable {
  public var identity: MemberIdentity
  public var error: ErrorCode
  public init(identity: MemberIdentity, error: ErrorCode) {
    self.identity = identity
    self.error = error
  }
}

/// What became of one partition's offset.
public struct PartitionResult: Hashable, Sendable {
  public var partition: TopicPartition
  public var error: ErrorCode
  public init(partition: TopicPartition, error: ErrorCode) {
    self.partition = partition
    self.error = error
  }
}
