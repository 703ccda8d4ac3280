internal import Cluster
internal import KafkaProtocol
internal import Model

/// AlterConfigs, versions 0 to 2: replaces all settings of a resource; what is not named goes back to its default (KIP-133).
extension AdminContext {
  func handle(_ request: AlterConfigsRequest, version: Int16) async -> AlterConfigsResponse {
    var response = AlterConfigsResponse()
    let repeated = request.resources.map { ResourceIdentity(type: $0.resourceType, name: $0.resourceName) }.repeated()
    for resource in request.resources {
      var row = AlterConfigsResponse.ResourceResponse()
      row.resourceType = resource.resourceType
      row.resourceName = resource.resourceName
      do throws(ClusterError) {
        try refuse(repeated, resource.resourceType, resource.resourceName)
        try await cluster.replaceConfigurations(
          of: try configurationResource(resource.resourceType, resource.resourceName),
          with: resource.configs.map { ($0.name, $0.value) }, validateOnly: request.validateOnly)
      } catch {
        row.errorCode = error.errorCode
        row.errorMessage = error.message
      }
      response.responses.append(row)
    }
    return response
  }

  func refuse(_ repeated: Set<ResourceIdentity>, _ type: Int8, _ name: String) throws(ClusterError) {
    if repeated.contains(ResourceIdentity(type: type, name: name)) {
      throw ClusterError(.invalidRequest, "the resource '\(name)' occurs more than once in the request")
    }
  }
}

struct ResourceIdentity: Hashable {
  var type: Int8
  var name: String
}
