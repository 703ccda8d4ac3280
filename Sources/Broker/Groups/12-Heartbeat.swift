internal import Coordination
internal import KafkaProtocol
internal import Model

/// Heartbeat, versions 0 to 4 (KIP-345 from 3 on).
extension GroupCoordinator {
  func handle(_ request: HeartbeatRequest, version: Int16, reply: @escaping @Sendable (HeartbeatResponse) -> Void) {
    var response = HeartbeatResponse()
    guard !request.groupID.isEmpty else {
      response.errorCode = .invalidGroupID
      return reply(response)
    }
    let member = MemberIdentity(memberID: request.memberID, instanceID: request.groupInstanceID)
    submit(.heartbeat(member, generationID: request.generationID), to: request.groupID) { answer in
      guard case .heartbeat(let error) = answer else { preconditionFailure("a heartbeat was answered with \(answer)") }
      var response = HeartbeatResponse()
      response.errorCode = error
      reply(response)
    }
  }
}
