internal import Coordination
internal import KafkaProtocol
internal import Model
internal import NIOCore

/// SyncGroup, versions 0 to 5: KIP-345 from 3 on, KIP-559 (the protocol must be named) from 5 on. Followers are answered when
/// the leader has assigned.
extension GroupCoordinator {
  func handle(_ request: SyncGroupRequest, version: Int16, reply: @escaping @Sendable (SyncGroupResponse) -> Void) {
    guard !request.groupID.isEmpty else { return reply(Self.response(to: SyncReply(error: .invalidGroupID))) }
    if version >= 5, request.protocolType == nil || request.protocolName == nil {
      return reply(Self.response(to: SyncReply(error: .inconsistentGroupProtocol)))
    }
    let shares = request.assignments.map { ($0.memberID, Array($0.assignment.readableBytesView)) }
    let sync = SyncRequest(
      member: MemberIdentity(memberID: request.memberID, instanceID: request.groupInstanceID),
      generationID: request.generationID, protocolType: request.protocolType, protocolName: request.protocolName,
      assignments: Dictionary(shares) { _, last in last })
    submit(.sync(sync), to: request.groupID) { answer in
      guard case .sync(let synced) = answer else { preconditionFailure("a sync was answered with \(answer)") }
      reply(Self.response(to: synced))
    }
  }

  private static func response(to reply: SyncReply) -> SyncGroupResponse {
    var response = SyncGroupResponse()
    response.errorCode = reply.error
    response.protocolType = reply.protocolType
    response.protocolName = reply.protocolName
    response.assignment = ByteBuffer(bytes: reply.assignment)
    return response
  }
}
