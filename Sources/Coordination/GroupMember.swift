import Model

/// A member of a group, as the machine knows it.
struct GroupMember: Sendable {
  var identity: MemberIdentity
  var clientID: String
  var clientHost: String
  var sessionTimeoutMilliseconds: Int32
  var rebalanceTimeoutMilliseconds: Int32
  var protocols: [GroupProtocol]
  var assignment: [UInt8] = []
  /// Position in the order of joining; lists of members follow it.
  let ordinal: UInt64

  /// The JoinGroup that is answered when the generation begins.
  var awaitingJoin: RequestToken?
  /// The SyncGroup that is answered when the leader has assigned.
  var awaitingSync: RequestToken?
  /// Has joined, but no generation has begun with it yet.
  var isNew = true
  /// A generation has begun and this member has not asked for its share.
  var isPendingSync = false
  /// When the member is removed unless it is heard of; nil while nothing is expected of it.
  var sessionDeadline: TimestampMilliseconds?

  var isAwaiting: Bool { awaitingJoin != nil || awaitingSync != nil }

  func supports(_ protocolName: String) -> Bool { protocols.contains { $0.name == protocolName } }

  func metadata(for protocolName: String?) -> [UInt8] {
    protocols.first { $0.name == protocolName }?.metadata ?? []
  }
}
