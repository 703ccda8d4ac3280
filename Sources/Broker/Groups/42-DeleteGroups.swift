internal import Coordination
internal import KafkaProtocol
internal import Model
internal import Synchronization

/// DeleteGroups, versions 0 to 2 (KIP-229): each group for itself, only empty ones.
extension GroupCoordinator {
  func handle(_ request: DeleteGroupsRequest, version: Int16, reply: @escaping @Sendable (DeleteGroupsResponse) -> Void) {
    var seen: Set<String> = []
    let names = request.groupsNames.filter { seen.insert($0).inserted }
    guard !names.isEmpty else { return reply(DeleteGroupsResponse()) }
    let outcome = Outcome(names)
    for (index, name) in names.enumerated() {
      submit(.delete, to: name) { answer in
        guard case .deleteGroup(let error) = answer else { preconditionFailure("a delete was answered with \(answer)") }
        if let response = outcome.note(error, at: index) { reply(response) }
      }
    }
  }

  /// Gathers the answers of several groups.
  private final class Outcome: Sendable {
    private let state: Mutex<(response: DeleteGroupsResponse, open: Int)>

    init(_ names: [String]) {
      var response = DeleteGroupsResponse()
      response.results = names.map { name in
        var row = DeleteGroupsResponse.DeletableGroupResult()
        row.groupID = name
        return row
      }
      state = Mutex((response, names.count))
    }

    /// - Returns: the response, to the last one that notes.
    func note(_ error: ErrorCode, at index: Int) -> DeleteGroupsResponse? {
      state.withLock { state in
        state.response.results[index].errorCode = error
        state.open -= 1
        return state.open == 0 ? state.response : nil
      }
    }
  }
}
