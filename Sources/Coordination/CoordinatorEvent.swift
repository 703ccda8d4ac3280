public import Model

/// What a client asks of one group.
public enum GroupRequest: Sendable {
  case join(JoinRequest)
  case sync(SyncRequest)
  case heartbeat(MemberIdentity, generationID: Int32)
  case leave([MemberIdentity])
  case commit(CommitRequest)
  case deleteOffsets([TopicPartition])
  case delete

  /// The answer when nothing could be done about it.
  public func refusal(_ error: ErrorCode) -> GroupReply {
    switch self {
    case .join(let request): .join(JoinReply(error: error, memberID: request.member.memberID))
    case .sync: .sync(SyncReply(error: error))
    case .heartbeat: .heartbeat(error)
    case .leave(let members): .leave(members.map { MemberResult(identity: $0, error: error) })
    case .commit(let request):
      .commit(request.offsets.map { PartitionResult(partition: $0.partition, error: error) })
    case .deleteOffsets: .deleteOffsets(error, [])
    case .delete: .deleteGroup(error)
    }
  }
}

/// What the table of a shard is told.
public enum CoordinatorEvent: Sendable {
  case request(groupID: String, GroupRequest, reply: @Sendable (GroupReply) -> Void)
  /// Looks at what is durable of the groups, or hears why it cannot.
  ///
  /// - Parameter groupID: of the only one that is looked at; what is becoming durable of it is waited for, since whoever committed and asks behind
  ///   that expects to see it. Nil for several.
  case read(groupID: String?, @Sendable (Result<DurableGroups, ErrorCode>) -> Void)
  case topicsDeleted(Set<String>)

  /// Answers whoever waits for it that nothing comes of it.
  public func refuse(_ error: ErrorCode) {
    switch self {
    case .request(_, let request, let reply): reply(request.refusal(error))
    case .read(_, let look): look(.failure(error))
    case .topicsDeleted: break
    }
  }
}

/// The groups of a shard as far as they are durable; members' sessions are those of the moment.
public struct DurableGroups: Sendable {
  let machines: [String: GroupMachine]
  /// Groups that have changes which are not durable, as they were before; nil for those that did not exist.
  let undurable: [String: GroupMachine?]

  /// - Returns: nil if there is no such group.
  public subscript(groupID: String) -> GroupMachine? { undurable[groupID] ?? machines[groupID] }

  public var all: [GroupMachine] {
    machines.values.filter { undurable[$0.groupID] == nil } + undurable.values.compactMap(\.self)
  }
}
