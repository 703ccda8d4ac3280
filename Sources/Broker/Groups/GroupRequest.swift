internal import Coordination
internal import Model

/// What a client asks of one group.
enum GroupRequest: Sendable {
  case join(JoinRequest)
  case sync(SyncRequest)
  case heartbeat(MemberIdentity, generationID: Int32)
  case leave([MemberIdentity])
  case commit(CommitRequest)
  case deleteOffsets([TopicPartition])
  case delete

  /// The answer when nothing could be done about it.
  func refusal(_ error: ErrorCode) -> GroupReply {
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

  /// Whether it can change what is kept on disk.
  var isVolatile: Bool {
    if case .heartbeat = self { true } else { false }
  }
}

/// What a shard's thread is told.
enum CoordinatorEvent: Sendable {
  case request(groupID: String, GroupRequest, reply: @Sendable (GroupReply) -> Void)
  /// Looks at the groups once everything told before has been made durable or undone; or hears why it cannot.
  case read(@Sendable (Result<GroupTable, ErrorCode>) -> Void)
  case topicsDeleted(Set<String>)

  /// Answers whoever waits for it that nothing comes of it.
  func refuse(_ error: ErrorCode) {
    switch self {
    case .request(_, let request, let reply): reply(request.refusal(error))
    case .read(let look): look(.failure(error))
    case .topicsDeleted: break
    }
  }
}
