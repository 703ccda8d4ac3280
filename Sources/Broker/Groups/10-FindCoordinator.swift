internal import KafkaProtocol
internal import Model

/// FindCoordinator, versions 0 to 6 (KIP-699: several keys from 4 on). This node coordinates every group.
extension GroupCoordinator {
  private enum KeyType {
    static let group: Int8 = 0
    static let transaction: Int8 = 1
  }

  func handle(
    _ request: FindCoordinatorRequest, version: Int16, reply: @escaping @Sendable (FindCoordinatorResponse) -> Void
  ) {
    let endpoint = endpoint()
    var response = FindCoordinatorResponse()
    let found = Self.complaint(aboutKeyType: request.keyType)
    let nodeID = found == nil ? endpoint.nodeID.rawValue : -1
    let host = found == nil ? endpoint.host : ""
    let port = found == nil ? endpoint.port : -1
    if version < 4 {
      response.errorCode = found?.error ?? .none
      response.errorMessage = found?.message
      response.nodeID = nodeID
      response.host = host
      response.port = port
    } else {
      response.coordinators = request.coordinatorKeys.map { key in
        var coordinator = FindCoordinatorResponse.Coordinator()
        coordinator.key = key
        coordinator.errorCode = found?.error ?? .none
        coordinator.errorMessage = found?.message
        coordinator.nodeID = nodeID
        coordinator.host = host
        coordinator.port = port
        return coordinator
      }
    }
    reply(response)
  }

  /// A transactional producer is told at once that it may not: with COORDINATOR_NOT_AVAILABLE it would try for ever.
  private static func complaint(aboutKeyType keyType: Int8) -> (error: ErrorCode, message: String)? {
    switch keyType {
    case KeyType.group: nil
    case KeyType.transaction: (.transactionalIDAuthorizationFailed, "transactions are not served")
    default: (.invalidRequest, "key type \(keyType) is not served")
    }
  }
}
