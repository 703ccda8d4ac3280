internal import Cluster
internal import KafkaProtocol
internal import Metadata
internal import Model

/// IncrementalAlterConfigs, versions 0 and 1: set, delete, append, subtract (KIP-339).
extension AdminContext {
  func handle(_ request: IncrementalAlterConfigsRequest, version: Int16) async -> IncrementalAlterConfigsResponse {
    var response = IncrementalAlterConfigsResponse()
    let repeated = request.resources.map { ResourceIdentity(type: $0.resourceType, name: $0.resourceName) }.repeated()
    for resource in request.resources {
      var row = IncrementalAlterConfigsResponse.AlterConfigsResourceResponse()
      row.resourceType = resource.resourceType
      row.resourceName = resource.resourceName
      do throws(ClusterError) {
        try refuse(repeated, resource.resourceType, resource.resourceName)
        var changes: [SettingChange] = []
        for config in resource.configs {
          guard let operation = SettingOperation(rawValue: config.configOperation) else {
            throw ClusterError(.invalidRequest, "there is no operation \(config.configOperation) on configurations")
          }
          changes.append(SettingChange(name: config.name, operation: operation, value: config.value))
        }
        try await cluster.alterConfigurations(
          of: try configurationResource(resource.resourceType, resource.resourceName), changes,
          validateOnly: request.validateOnly)
      } catch {
        row.errorCode = error.errorCode
        row.errorMessage = error.message
      }
      response.responses.append(row)
    }
    return response
  }
}
