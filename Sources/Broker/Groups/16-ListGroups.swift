internal import Coordination
internal import KafkaProtocol
internal import Model

/// ListGroups, versions 0 to 5: filters by state from 4 on (KIP-518), by type from 5 on (KIP-848). All groups are classic.
extension GroupCoordinator {
  func handle(_ request: ListGroupsRequest, version: Int16, reply: @escaping @Sendable (ListGroupsResponse) -> Void) {
    let type = "classic"
    let states = Set(request.statesFilter.map { $0.lowercased() })
    let types = Set(request.typesFilter.map { $0.lowercased() })
    let isQueued = read { table in
      var response = ListGroupsResponse()
      for (groupID, machine) in table.machines.sorted(by: { $0.key < $1.key }) {
        guard states.isEmpty || states.contains(machine.state.rawValue.lowercased()) else { continue }
        guard types.isEmpty || types.contains(type) else { continue }
        var row = ListGroupsResponse.ListedGroup()
        row.groupID = groupID
        row.protocolType = machine.protocolType ?? ""
        row.groupState = machine.state.rawValue
        row.groupType = type
        response.groups.append(row)
      }
      reply(response)
    }
    if !isQueued {
      var response = ListGroupsResponse()
      response.errorCode = .coordinatorNotAvailable
      reply(response)
    }
  }
}
