public import Model

/// What the caller has to do after an event, in this order of effects: every change of the event is durable before
/// any of its replies leaves.
public enum GroupAction: Hashable, Sendable {
  case persist(GroupChange)
  case reply(RequestToken, GroupReply)
}

/// A durable change of one group.
public enum GroupChange: Hashable, Sendable {
  /// Replaces what is kept of the group itself; its offsets stay.
  case groupPut(GroupSnapshot)
  /// Removes the group and all its offsets.
  case groupDeleted
  case offsetCommitted(TopicPartition, CommittedOffset)
  case offsetDeleted(TopicPartition)
}

/// A committed offset as it is kept.
public struct CommittedOffset: Hashable, Sendable {
  public var offset: Int64
  /// Epoch of the last consumed record's leader; -1 if the client did not say.
  public var leaderEpoch: Int32
  public var metadata: String
  public var commitTimestamp: TimestampMilliseconds
  /// When it expires, if the client chose that itself; otherwise retention decides.
  public var expireTimestamp: TimestampMilliseconds?

  public init(
    offset: Int64, leaderEpoch: Int32, metadata: String, commitTimestamp: TimestampMilliseconds,
    expireTimestamp: TimestampMilliseconds?
  ) {
    self.offset = offset
    self.leaderEpoch = leaderEpoch
    self.metadata = metadata
    self.commitTimestamp = commitTimestamp
    self.expireTimestamp = expireTimestamp
  }
}

/// The durable part of a group: enough for its members to go on heartbeating after a restart of the broker.
public struct GroupSnapshot: Hashable, Sendable {
  public struct Member: Hashable, Sendable {
    public var identity: MemberIdentity
    public var clientID: String
    public var clientHost: String
    public var sessionTimeoutMilliseconds: Int32
    public var rebalanceTimeoutMilliseconds: Int32
    public var protocols: [GroupProtocol]
    public var assignment: [UInt8]

    public init(
      identity: MemberIdentity, clientID: String, clientHost: String, sessionTimeoutMilliseconds: Int32,
      rebalanceTimeoutMilliseconds: Int32, protocols: [GroupProtocol], assignment: [UInt8]
    ) {
      self.identity = identity
      self.clientID = clientID
      self.clientHost = clientHost
      self.sessionTimeoutMilliseconds = sessionTimeoutMilliseconds
      self.rebalanceTimeoutMilliseconds = rebalanceTimeoutMilliseconds
      self.protocols = protocols
      self.assignment = assignment
    }
  }

  public var protocolType: String?
  public var protocolName: String?
  public var generationID: Int32
  public var leaderID: String?
  /// Since when the group is in its state; for an empty one, when its offsets' retention began.
  public var stateTimestamp: TimestampMilliseconds
  /// In the order they joined. None: the group is Empty; else it is Stable.
  public var members: [Member]

  public init(
    protocolType: String?, protocolName: String?, generationID: Int32, leaderID: String?,
    stateTimestamp: TimestampMilliseconds, members: [Member]
  ) {
    self.protocolType = protocolType
    self.protocolName = protocolName
    self.generationID = generationID
    self.leaderID = leaderID
    self.stateTimestamp = stateTimestamp
    self.members = members
  }
}
