import Metadata
import Model
import SQLite
import Storage

extension LocalClusterStore {
  public func alter(
    _ resource: ConfigurationResource, validateOnly: Bool, _ alteration: @escaping SettingAlteration
  ) async throws(ClusterError) {
    try await serially { cluster throws(ClusterError) in
      if resource != .node(cluster.nodeID) { try cluster.checkLeads() }
      let image = cluster.image
      let settings = try cluster.plans.settings(of: resource, after: alteration, in: image, nodeID: cluster.nodeID)
      if validateOnly { return }
      switch resource {
      case .topic(let name):
        try cluster.store(settings, .topic, name)
        if let topic = image.topics[name] { cluster.apply(.topicSettingsReplaced(topic.id, settings)) }
      case .node(let id):
        try cluster.store(settings, .node, "\(id)")
        cluster.apply(.dynamicNodeSettingsReplaced(settings))
      case .everyNode:
        try cluster.store(settings, .everyNode, "")
        cluster.apply(.dynamicDefaultsReplaced(settings))
      }
      // The partitions follow; those of topics whose configuration stayed as it was need not hear of it.
      for topic in cluster.image.topics.values where topic.configuration != image.topics[topic.name]?.configuration {
        cluster.store.setConfiguration(topic.configuration, for: topic.name)
      }
    }
  }

  private func store(
    _ settings: [String: String], _ type: ClusterTables.ResourceType, _ name: String
  ) throws(ClusterError) {
    try transaction { connection throws(SQLiteError) in
      try ClusterTables.replaceSettings(type, name, with: settings, connection)
    }
  }
}
