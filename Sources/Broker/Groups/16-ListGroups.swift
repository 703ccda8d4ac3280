internal import Coordination
internal import KafkaProtocol
internal import Model

/// ListGroups, versions 0 to 5: filters by state from 4 on (KIP-518), by type from 5 on (KIP-848). All groups are classic.
/// Those that this node coordinates: clients ask every node.
extension GroupCoordinator {
  func handle(_ request: ListGroupsRequest, version: Int16, reply: @escaping @Sendable (ListGroupsResponse) -> Void) {
    let type = "classic"
    let states = Set(request.statesFilter.map { $0.lowercased() })
    let types = Set(request.typesFilter.map { $0.lowercased() })
    readAll { groups in
      var rows: [ListGroupsResponse.ListedGroup] = []
      for machine in groups {
        guard states.isEmpty || states.contains(machine.state.rawValue.lowercased()) else { continue }
        guard types.isEmpty || types.contains(type) else { continue }
        var row = ListGroupsResponse.ListedGroup()
        row.groupID = machine.groupID
        row.protocolType = machine.protocolType ?? ""
        row.groupState = machine.state.rawValue
        row.groupType = type
        rows.append(row)
      }
      return rows
    } reply: { found in
      var response = ListGroupsResponse()
      switch found {
      case .success(let rows): response.groups = rows.flatMap(\.self).sorted { $0.groupID < $1.groupID }
      case .failure(let error): response.errorCode = error
      }
      reply(response)
    }
  }
}
