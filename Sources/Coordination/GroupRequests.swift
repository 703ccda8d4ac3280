public import Model

/// Names one request that waits for a reply. Chosen by the caller, who uses each value once.
public struct RequestToken: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }
}

/// A way of sharing out partitions that a member offers, with what it tells the leader under that name.
///
/// The bytes are the business of the clients: eager and cooperative assignors alike pass through.
public struct GroupProtocol: Hashable, Sendable {
  public var name: String
  public var metadata: [UInt8]
  public init(name: String, metadata: [UInt8]) {
    self.name = name
    self.metadata = metadata
  }
}

/// Who a request speaks for: a member id, and for a static member (KIP-345) its `group.instance.id`.
public struct MemberIdentity: Hashable, Sendable {
  public var memberID: String
  public var instanceID: String?
  public init(memberID: String, instanceID: String? = nil) {
    self.memberID = memberID
    self.instanceID = instanceID
  }
}

public struct JoinRequest: Hashable, Sendable {
  /// The member id is empty the first time.
  public var member: MemberIdentity
  public var clientID: String
  public var clientHost: String
  public var sessionTimeoutMilliseconds: Int32
  public var rebalanceTimeoutMilliseconds: Int32
  public var protocolType: String
  /// In the member's order of preference.
  public var protocols: [GroupProtocol]
  /// The member id to give to a member that comes without one: unique and unguessable.
  public var newMemberID: String
  /// A dynamic member must come back with the id it is given before it is let in (JoinGroup from version 4, KIP-394).
  public var requiresKnownMemberID: Bool
  /// A static leader can be told that it need not assign again (JoinGroup from version 9, KIP-814).
  public var supportsSkippingAssignment: Bool

  public init(
    member: MemberIdentity, clientID: String, clientHost: String, sessionTimeoutMilliseconds: Int32,
    rebalanceTimeoutMilliseconds: Int32, protocolType: String, protocols: [GroupProtocol], newMemberID: String,
    requiresKnownMemberID: Bool, supportsSkippingAssignment: Bool
  ) {
    self.member = member
    self.clientID = clientID
    self.clientHost = clientHost
    self.sessionTimeoutMilliseconds = sessionTimeoutMilliseconds
    self.rebalanceTimeoutMilliseconds = rebalanceTimeoutMilliseconds
    self.protocolType = protocolType
    self.protocols = protocols
    self.newMemberID = newMemberID
    self.requiresKnownMemberID = requiresKnownMemberID
    self.supportsSkippingAssignment = supportsSkippingAssignment
  }
}

public struct SyncRequest: Hashable, Sendable {
  public var member: MemberIdentity
  public var generationID: Int32
  /// What the member believes the group's protocol to be (SyncGroup from version 5); nil is not checked.
  public var protocolType: String?
  public var protocolName: String?
  /// From the leader: every member's share, by member id. Empty from the others.
  public var assignments: [String: [UInt8]]

  public init(
    member: MemberIdentity, generationID: Int32, protocolType: String? = nil, protocolName: String? = nil,
    assignments: [String: [UInt8]] = [:]
  ) {
    self.member = member
    self.generationID = generationID
    self.protocolType = protocolType
    self.protocolName = protocolName
    self.assignments = assignments
  }
}

/// One partition of an OffsetCommit.
public struct OffsetToCommit: Hashable, Sendable {
  public var partition: TopicPartition
  public var offset: Int64
  public var leaderEpoch: Int32
  public var metadata: String

  public init(partition: TopicPartition, offset: Int64, leaderEpoch: Int32 = -1, metadata: String = "") {
    self.partition = partition
    self.offset = offset
    self.leaderEpoch = leaderEpoch
    self.metadata = metadata
  }
}

public struct CommitRequest: Hashable, Sendable {
  /// An empty member id with generation -1 is a simple consumer: it only keeps offsets here.
  public var member: MemberIdentity
  public var generationID: Int32
  /// How long the client wants the offsets kept (OffsetCommit 2 to 4); nil leaves it to the coordinator.
  public var retentionMilliseconds: Int64?
  public var offsets: [OffsetToCommit]
  /// The client knows GROUP_ID_NOT_FOUND (OffsetCommit from version 9).
  public var knowsGroupIDNotFound: Bool

  public init(
    member: MemberIdentity, generationID: Int32, retentionMilliseconds: Int64? = nil, offsets: [OffsetToCommit],
    knowsGroupIDNotFound: Bool = false
  ) {
    self.member = member
    self.generationID = generationID
    self.retentionMilliseconds = retentionMilliseconds
    self.offsets = offsets
    self.knowsGroupIDNotFound = knowsGroupIDNotFound
  }
}
