internal import Cluster
internal import KafkaProtocol
internal import Metadata
internal import Model

/// DescribeCluster, versions 0 to 2 (KIP-700).
extension AdminContext {
  private enum EndpointType {
    static let brokers: Int8 = 1
    static let controllers: Int8 = 2
  }

  /// - Parameter listed: the nodes that clients are told of.
  func handle(
    _ request: DescribeClusterRequest, version: Int16, listed: ListedNodes = ListedNodes()
  ) async -> DescribeClusterResponse {
    let image = cluster.image
    var response = DescribeClusterResponse()
    response.clusterID = image.clusterID
    if version >= 1 && request.endpointType != EndpointType.brokers {
      response.errorCode =
        request.endpointType == EndpointType.controllers ? .mismatchedEndpointType : .unsupportedEndpointType
      response.errorMessage = "this is an endpoint of brokers"
      return response
    }
    response.controllerID = (cluster.controller ?? nodeID).rawValue
    response.brokers = listed.nodes(of: image, now: BrokerContext.uptimeMilliseconds()).map { node in
      var broker = DescribeClusterResponse.Broker()
      broker.brokerID = node.id.rawValue
      broker.host = node.host
      broker.port = node.port
      broker.rack = node.rack
      return broker
    }
    if request.includeClusterAuthorizedOperations { response.clusterAuthorizedOperations = AuthorizedOperations.cluster }
    return response
  }
}
