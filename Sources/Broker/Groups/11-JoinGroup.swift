internal import Coordination
internal import KafkaProtocol
internal import Model
internal import NIOCore

/// JoinGroup, versions 0 to 9: KIP-394 (member ids are given out first, from 4), KIP-345 (static members, from 5), KIP-814
/// (static leaders keep the assignment, from 9). The answer comes when the generation begins.
extension GroupCoordinator {
  func handle(
    _ request: JoinGroupRequest, version: Int16, clientID: String?, clientHost: String,
    reply: @escaping @Sendable (JoinGroupResponse) -> Void
  ) {
    guard !request.groupID.isEmpty else {
      return reply(Self.response(to: JoinReply(error: .invalidGroupID, memberID: request.memberID), version))
    }
    let join = JoinRequest(
      member: MemberIdentity(memberID: request.memberID, instanceID: request.groupInstanceID), clientID: clientID ?? "",
      // Kafka shows the peer as Java prints an address.
      clientHost: "/" + clientHost, sessionTimeoutMilliseconds: request.sessionTimeoutMs,
      rebalanceTimeoutMilliseconds: version >= 1 ? request.rebalanceTimeoutMs : request.sessionTimeoutMs,
      protocolType: request.protocolType,
      protocols: request.protocols.map { GroupProtocol(name: $0.name, metadata: Array($0.metadata.readableBytesView)) },
      newMemberID: "\(request.groupInstanceID ?? clientID ?? "")-\(Self.randomUUID())",
      requiresKnownMemberID: version >= 4 && request.groupInstanceID == nil, supportsSkippingAssignment: version >= 9)
    submit(.join(join), to: request.groupID) { answer in
      guard case .join(let joined) = answer else { preconditionFailure("a join was answered with \(answer)") }
      reply(Self.response(to: joined, version))
    }
  }

  private static func response(to reply: JoinReply, _ version: Int16) -> JoinGroupResponse {
    var response = JoinGroupResponse()
    response.errorCode = reply.error
    response.generationID = reply.generationID
    response.protocolType = reply.protocolType
    // Null only exists from version 7 on.
    response.protocolName = version >= 7 ? reply.protocolName : reply.protocolName ?? ""
    response.leader = reply.leaderID
    response.skipAssignment = reply.skipsAssignment
    response.memberID = reply.memberID
    response.members = reply.members.map { member in
      var row = JoinGroupResponse.Member()
      row.memberID = member.identity.memberID
      row.groupInstanceID = member.identity.instanceID
      row.metadata = ByteBuffer(bytes: member.metadata)
      return row
    }
    return response
  }

  /// A version 4 UUID in its usual form.
  private static func randomUUID() -> String {
    var bytes = (0..<16).map { _ in UInt8.random(in: .min ... .max) }
    bytes[6] = bytes[6] & 0x0F | 0x40
    bytes[8] = bytes[8] & 0x3F | 0x80
    let digits = Array("0123456789abcdef")
    var text = ""
    for (index, byte) in bytes.enumerated() {
      if [4, 6, 8, 10].contains(index) { text.append("-") }
      text.append(digits[Int(byte >> 4)])
      text.append(digits[Int(byte & 15)])
    }
    return text
  }
}
