import Metadata
import Model

/// What a change of the cluster comes to: computed from an image alone, so that every store refuses the same things with the same words.
struct ClusterPlans: Sendable {
  /// 64 random bits a call.
  let entropy: @Sendable () -> UInt64
  /// What is wrong with the expressions of declared columns, in a sentence; nil if nothing is.
  let columnsComplaint: @Sendable ([DeclaredColumn]) -> String?

  /// Of topics that are created without one.
  func defaultReplicationFactor(_ image: ClusterImage) -> Int16 {
    Int16(clamping: image.nodeSettings.number("default.replication.factor"))
  }

  /// A topic that may be created.
  ///
  /// - Parameter placement: the new partitions, as many as asked for.
  func topic(
    named name: String, partitionCount: Int32, configuration: [(name: String, value: String?)], in image: ClusterImage,
    placement: (Int) throws(ClusterError) -> [PartitionImage]
  ) throws(ClusterError) -> TopicImage {
    if let complaint = TopicName.complaint(about: name) { throw ClusterError(.invalidTopicException, complaint) }
    if name == CoordinatorTopic.name {
      throw ClusterError(.invalidTopicException, "the topic name '\(name)' is reserved")
    }
    if image.topics[name] != nil { throw ClusterError(.topicAlreadyExists, "the topic '\(name)' exists already") }
    if let other = image.topicColliding(with: name) {
      throw ClusterError(
        .invalidTopicException, "the topic '\(name)' collides with '\(other)': they differ only in '.' and '_'")
    }
    try check(partitionCount: partitionCount)
    let settings: [String: String]
    do throws(SettingRejection) {
      settings = try SettingScope.topic.replacing(with: configuration)
    } catch { throw ClusterError(error.isMalformed ? .invalidRequest : .invalidConfig, error.description) }
    try checkColumns(settings)
    let topic = TopicImage(
      name: name, id: .random(entropy: entropy), partitions: try placement(Int(partitionCount)), settings: settings)
    do throws(ClusterChangeError) {
      return try image.applying(.topicCreated(topic)).topics[name] ?? topic
    } catch { throw ClusterError(.unknownServerError, "\(error)") }
  }

  /// The topic, if it may grow to `count` partitions.
  func topic(named name: String, growingTo count: Int32, in image: ClusterImage) throws(ClusterError) -> TopicImage {
    guard let topic = image.topics[name], !topic.isInternal else {
      throw ClusterError(.unknownTopicOrPartition, "there is no topic '\(name)'")
    }
    let existing = Int32(topic.partitions.count)
    if count <= existing {
      throw ClusterError(
        .invalidPartitions,
        "the topic '\(name)' has \(existing) partitions, which is \(count == existing ? "as" : "more than the \(count)") asked for"
      )
    }
    try check(partitionCount: count)
    return topic
  }

  private func check(partitionCount: Int32) throws(ClusterError) {
    if partitionCount < 1 { throw ClusterError(.invalidPartitions, "the number of partitions must be larger than 0") }
    if partitionCount > Limits.partitionsPerTopicMax {
      throw ClusterError(.invalidPartitions, "a topic has at most \(Limits.partitionsPerTopicMax) partitions")
    }
  }

  // MARK: Settings

  /// The settings of `resource` after `alteration`, checked.
  func settings(
    of resource: ConfigurationResource, after alteration: SettingAlteration, in image: ClusterImage, nodeID: NodeID
  ) throws(ClusterError) -> [String: String] {
    switch resource {
    case .topic(let name):
      guard let topic = image.topics[name], !topic.isInternal else {
        throw ClusterError(.unknownTopicOrPartition, "there is no topic '\(name)'")
      }
      let settings = try altered(alteration, .topic, topic.settings) { key in
        image.nodeSettings.values(of: key, topicSettings: [:]).first?.value ?? key.defaultValue
      }
      if settings["quire.columns"] != topic.settings["quire.columns"] { try checkColumns(settings) }
      return settings
    case .node(let id):
      guard id == nodeID else { throw ClusterError(.invalidRequest, "there is no node \(id) here") }
      return try altered(alteration, .node, image.nodeSettings.dynamicNode) { image.nodeSettings.text($0.name) }
    case .everyNode:
      return try altered(alteration, .node, image.nodeSettings.dynamicDefault) { image.nodeSettings.text($0.name) }
    }
  }

  private func altered(
    _ alteration: SettingAlteration, _ scope: SettingScope, _ current: [String: String],
    inForce: @escaping (ConfigurationKey) -> String
  ) throws(ClusterError) -> [String: String] {
    do throws(SettingRejection) {
      return try alteration(scope, current, inForce)
    } catch { throw ClusterError(error.isMalformed ? .invalidRequest : .invalidConfig, error.description) }
  }

  /// - Throws: `invalidConfig` where an expression of the declared columns cannot be.
  private func checkColumns(_ settings: [String: String]) throws(ClusterError) {
    guard let text = settings["quire.columns"], let columns = try? DeclaredColumn.list(text) else { return }
    if let complaint = columnsComplaint(columns) {
      throw ClusterError(.invalidConfig, "invalid value for quire.columns: \(complaint)")
    }
  }
}
