internal import Coordination
internal import KafkaProtocol
internal import Model
internal import NIOCore

/// DescribeGroups, versions 0 to 6. A group that does not exist is "Dead"; from 6 on that is an error as well (KIP-1043).
extension GroupCoordinator {
  func handle(_ request: DescribeGroupsRequest, version: Int16, reply: @escaping @Sendable (DescribeGroupsResponse) -> Void) {
    read(request.groups) { groupID, found in
      switch found {
      case .success(let machine):
        var row = Self.described(groupID, machine?.description, version)
        if request.includeAuthorizedOperations, row.errorCode == .none { row.authorizedOperations = AuthorizedOperations.group }
        return row
      case .failure(let error):
        var row = DescribeGroupsResponse.DescribedGroup()
        row.groupID = groupID
        row.errorCode = error
        return row
      }
    } reply: { rows in
      var response = DescribeGroupsResponse()
      response.groups = rows
      reply(response)
    }
  }

  private static func described(
    _ groupID: String, _ description: GroupDescription?, _ version: Int16
  ) -> DescribeGroupsResponse.DescribedGroup {
    var row = DescribeGroupsResponse.DescribedGroup()
    row.groupID = groupID
    guard let description else {
      row.groupState = GroupState.dead.rawValue
      if version >= 6 {
        row.errorCode = .groupIDNotFound
        row.errorMessage = "Group \(groupID) not found."
      }
      return row
    }
    row.groupState = description.state.rawValue
    row.protocolType = description.protocolType
    row.protocolData = description.protocolName
    row.members = description.members.map { member in
      var described = DescribeGroupsResponse.DescribedGroupMember()
      described.memberID = member.identity.memberID
      described.groupInstanceID = member.identity.instanceID
      described.clientID = member.clientID
      described.clientHost = member.clientHost
      described.memberMetadata = ByteBuffer(bytes: member.metadata)
      described.memberAssignment = ByteBuffer(bytes: member.assignment)
      return described
    }
    return row
  }
}
