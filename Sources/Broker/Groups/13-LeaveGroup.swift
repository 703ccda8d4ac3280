internal import Coordination
internal import KafkaProtocol
internal import Model

/// LeaveGroup, versions 0 to 5: one member up to 2, then a list with an error each (KIP-345).
extension GroupCoordinator {
  func handle(_ request: LeaveGroupRequest, version: Int16, reply: @escaping @Sendable (LeaveGroupResponse) -> Void) {
    guard !request.groupID.isEmpty else {
      var response = LeaveGroupResponse()
      response.errorCode = .invalidGroupID
      return reply(response)
    }
    let leaving =
      version <= 2
      ? [MemberIdentity(memberID: request.memberID)]
      : request.members.map { MemberIdentity(memberID: $0.memberID, instanceID: $0.groupInstanceID) }
    submit(.leave(leaving), to: request.groupID) { answer in
      guard case .leave(let results) = answer else { preconditionFailure("a leave was answered with \(answer)") }
      var response = LeaveGroupResponse()
      if version <= 2 {
        response.errorCode = results.first?.error ?? .none
      } else {
        response.members = results.map { result in
          var row = LeaveGroupResponse.MemberResponse()
          row.memberID = result.identity.memberID
          row.groupInstanceID = result.identity.instanceID
          row.errorCode = result.error
          return row
        }
      }
      reply(response)
    }
  }
}
