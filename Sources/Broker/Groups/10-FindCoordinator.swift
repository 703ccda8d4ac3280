internal import KafkaProtocol
public import Metadata
internal import Model

/// FindCoordinator, versions 0 to 6 (KIP-699: several keys from 4 on). Each group has the leader of its shard.
extension GroupCoordinator {
  private enum KeyType {
    static let group: Int8 = 0
    static let transaction: Int8 = 1
  }

  func handle(
    _ request: FindCoordinatorRequest, version: Int16, reply: @escaping @Sendable (FindCoordinatorResponse) -> Void
  ) {
    let coordinators = (version < 4 ? [request.key] : request.coordinatorKeys).map { find($0, request.keyType) }
    var response = FindCoordinatorResponse()
    if version < 4 {
      response.errorCode = coordinators[0].errorCode
      response.errorMessage = coordinators[0].errorMessage
      response.nodeID = coordinators[0].nodeID
      response.host = coordinators[0].host
      response.port = coordinators[0].port
    } else {
      response.coordinators = coordinators
    }
    reply(response)
  }

  private func find(_ key: String, _ keyType: Int8) -> FindCoordinatorResponse.Coordinator {
    var coordinator = FindCoordinatorResponse.Coordinator()
    coordinator.key = key
    (coordinator.nodeID, coordinator.host, coordinator.port) = (-1, "", -1)
    if let complaint = Self.complaint(aboutKeyType: keyType) {
      (coordinator.errorCode, coordinator.errorMessage) = (complaint.error, complaint.message)
    } else if let endpoint = endpoint(shard(of: key)) {
      (coordinator.nodeID, coordinator.host, coordinator.port) = (endpoint.nodeID.rawValue, endpoint.host, endpoint.port)
    } else {
      (coordinator.errorCode, coordinator.errorMessage) = (.coordinatorNotAvailable, "nobody leads the group's shard just now")
    }
    return coordinator
  }

  /// Where clients find the leader of a shard, by the cluster's image; this node where the image has no shards, since it is alone then.
  ///
  /// - Returns: nil while nobody leads it.
  public static func endpoint(ofShard shard: Int, in image: ClusterImage, thisNode: Endpoint) -> Endpoint? {
    guard let topic = image.topics[CoordinatorTopic.name] else { return thisNode }
    let leader: NodeID? = topic.partition(Int32(shard))?.leader
    guard let leader, let node = image.nodes[leader] else { return nil }
    return Endpoint(nodeID: leader, host: node.host, port: node.port)
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
