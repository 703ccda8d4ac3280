public import Model

/// One classic consumer group: who is in it, which generation it has, and what its offsets are.
///
/// A value that computes: events go in, with the time, and actions come out. It holds its own deadlines, so that a copy
/// taken before an event is all that is needed to undo it when its changes cannot be made durable. A group that does not
/// exist is a machine in state `dead`, and answers as Kafka does for an unknown group.
public struct GroupMachine: Sendable {
  public let groupID: String
  public let configuration: GroupConfiguration
  public internal(set) var state: GroupState = .dead
  public internal(set) var protocolType: String?
  public internal(set) var protocolName: String?
  public internal(set) var generationID: Int32 = 0
  public internal(set) var leaderID: String?
  public internal(set) var offsets: [TopicPartition: CommittedOffset] = [:]

  var stateTimestamp: TimestampMilliseconds = 0
  var members: [String: GroupMember] = [:]
  /// `group.instance.id` to member id.
  var staticMembers: [String: String] = [:]
  /// Ids given out with MEMBER_ID_REQUIRED, and when they lapse.
  var pendingMembers: [String: TimestampMilliseconds] = [:]
  /// While the state is `preparingRebalance`.
  var joinPhase: JoinPhase?
  /// When members that have not asked for their share of this generation are removed.
  var syncDeadline: TimestampMilliseconds?
  /// Topics of the current generation's members; nil if the group does not speak the consumer protocol.
  var subscribedTopics: Set<String>?
  /// There is a record of the group in the store.
  var isStored = false
  var nextOrdinal: UInt64 = 0

  /// How the wait for the members' joins ends.
  struct JoinPhase: Sendable {
    var deadline: TimestampMilliseconds
    /// Set in the first rebalance of an empty group, which does not end as soon as everybody known is there.
    var initial: Initial?

    struct Initial: Sendable {
      /// The delay that ends at `deadline`.
      var delayMilliseconds: Int64
      /// How much longer it may be put off.
      var remainingMilliseconds: Int64
      /// Somebody joined during this delay, which is worth another one.
      var hasNewMember = false
    }
  }

  /// How long a member that has never been in a generation may wait in a join: a client that gave up and came back under
  /// another id would otherwise leave one behind at each try.
  static let newMemberJoinTimeoutMilliseconds: Int64 = 5 * 60_000

  /// A group that does not exist.
  public init(groupID: String, configuration: GroupConfiguration) {
    self.groupID = groupID
    self.configuration = configuration
  }

  var membersInOrder: [GroupMember] { members.values.sorted { $0.ordinal < $1.ordinal } }

  /// Longest of the members': how long a rebalance waits for them.
  var rebalanceTimeoutMilliseconds: Int64 {
    Int64(max(members.values.lazy.map(\.rebalanceTimeoutMilliseconds).max() ?? 0, 0))
  }

  mutating func transition(to next: GroupState, now: TimestampMilliseconds) {
    state = next
    stateTimestamp = now
  }

  /// The member has been heard of, or is to be heard of from now on.
  mutating func restartSession(of memberID: String, now: TimestampMilliseconds) {
    guard let member = members[memberID] else { return }
    members[memberID]?.sessionDeadline = now + Int64(member.sessionTimeoutMilliseconds)
  }

  /// Why a request that claims to come from a member is refused, if it is.
  func complaint(about identity: MemberIdentity) -> ErrorCode? {
    if let instanceID = identity.instanceID {
      guard let memberID = staticMembers[instanceID] else { return .unknownMemberID }
      if memberID != identity.memberID { return .fencedInstanceID }
    }
    return members[identity.memberID] == nil ? .unknownMemberID : nil
  }

  /// A group of which nothing is left, neither here nor in the store, does not exist. Without this each attempt to join
  /// under a made-up name would cost memory for ever.
  mutating func dieIfNothingIsLeft() {
    if state == .empty, !isStored, members.isEmpty, pendingMembers.isEmpty, offsets.isEmpty { state = .dead }
  }

  func snapshot() -> GroupSnapshot {
    GroupSnapshot(
      protocolType: protocolType, protocolName: protocolName, generationID: generationID, leaderID: leaderID,
      stateTimestamp: stateTimestamp,
      members: membersInOrder.map {
        GroupSnapshot.Member(
          identity: $0.identity, clientID: $0.clientID, clientHost: $0.clientHost,
          sessionTimeoutMilliseconds: $0.sessionTimeoutMilliseconds,
          rebalanceTimeoutMilliseconds: $0.rebalanceTimeoutMilliseconds, protocols: $0.protocols,
          assignment: $0.assignment)
      })
  }

  mutating func persist(_ actions: inout [GroupAction]) {
    isStored = true
    actions.append(.persist(.groupPut(snapshot())))
  }
}
