public import Metadata
public import Model
import SQLite
import Storage

/// Whose settings are changed or described.
public enum ConfigurationResource: Hashable, Sendable {
  case topic(String)
  case node(NodeID)
  /// Every node of the cluster: Kafka's broker resource without a name.
  case everyNode
}

extension LocalClusterStore {
  /// Changes single settings, leaving the others; all of them or none.
  ///
  /// - Throws: `unknownTopicOrPartition`, `invalidConfig` with the sentence for the client, `invalidRequest`.
  public func alterConfigurations(
    of resource: ConfigurationResource, _ changes: [SettingChange], validateOnly: Bool
  ) async throws(ClusterError) {
    try await alter(resource, validateOnly: validateOnly) { scope, current, inForce throws(SettingRejection) in
      try scope.applying(changes, to: current, inForce: inForce)
    }
  }

  /// Replaces all settings: what is not named goes back to its default.
  public func replaceConfigurations(
    of resource: ConfigurationResource, with entries: [(name: String, value: String?)], validateOnly: Bool
  ) async throws(ClusterError) {
    try await alter(resource, validateOnly: validateOnly) { scope, _, _ throws(SettingRejection) in
      try scope.replacing(with: entries)
    }
  }

  private typealias Alteration =
    @Sendable (
      _ scope: SettingScope, _ current: [String: String], _ inForce: @escaping (ConfigurationKey) -> String
    ) throws(SettingRejection) -> [String: String]

  private func alter(
    _ resource: ConfigurationResource, validateOnly: Bool, _ alteration: @escaping Alteration
  ) async throws(ClusterError) {
    try await serially { cluster throws(ClusterError) in
      let image = cluster.image
      let settings: [String: String]
      switch resource {
      case .topic(let name):
        guard let topic = image.topics[name] else {
          throw ClusterError(.unknownTopicOrPartition, "there is no topic '\(name)'")
        }
        settings = try Self.altered(alteration, .topic, topic.settings) { key in
          image.nodeSettings.values(of: key, topicSettings: [:]).first?.value ?? key.defaultValue
        }
        if settings["quire.columns"] != topic.settings["quire.columns"] { try cluster.checkColumns(settings) }
        if validateOnly { return }
        try cluster.store(settings, .topic, name)
        cluster.apply(.topicSettingsReplaced(topic.id, settings))
      case .node(let id):
        guard id == cluster.nodeID else { throw ClusterError(.invalidRequest, "there is no node \(id) here") }
        settings = try Self.altered(alteration, .node, image.nodeSettings.dynamicNode) { image.nodeSettings.text($0.name) }
        if validateOnly { return }
        try cluster.store(settings, .node, "\(id)")
        cluster.apply(.dynamicNodeSettingsReplaced(settings))
      case .everyNode:
        settings = try Self.altered(alteration, .node, image.nodeSettings.dynamicDefault) { image.nodeSettings.text($0.name) }
        if validateOnly { return }
        try cluster.store(settings, .everyNode, "")
        cluster.apply(.dynamicDefaultsReplaced(settings))
      }
      // The partitions follow; those of topics whose configuration stayed as it was need not hear of it.
      for topic in cluster.image.topics.values where topic.configuration != image.topics[topic.name]?.configuration {
        cluster.store.setConfiguration(topic.configuration, for: topic.name)
      }
    }
  }

  private static func altered(
    _ alteration: Alteration, _ scope: SettingScope, _ current: [String: String],
    inForce: @escaping (ConfigurationKey) -> String
  ) throws(ClusterError) -> [String: String] {
    do throws(SettingRejection) {
      return try alteration(scope, current, inForce)
    } catch { throw ClusterError(error.isMalformed ? .invalidRequest : .invalidConfig, error.description) }
  }

  /// - Throws: `invalidConfig` where an expression of the declared columns cannot be.
  func checkColumns(_ settings: [String: String]) throws(ClusterError) {
    guard let text = settings["quire.columns"], let columns = try? DeclaredColumn.list(text) else { return }
    if let complaint = columnsComplaint(columns) {
      throw ClusterError(.invalidConfig, "invalid value for quire.columns: \(complaint)")
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
