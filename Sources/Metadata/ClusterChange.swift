public import Model

/// One step of the cluster's history.
public enum ClusterChange: Hashable, Sendable {
  case nodeRegistered(NodeImage)
  case nodeUnregistered(NodeID)
  case topicCreated(TopicImage)
  case topicDeleted(TopicID)
  /// New partitions after the existing ones.
  case partitionsAdded(TopicID, [PartitionImage])
  case partitionChanged(TopicID, partition: Int32, PartitionImage)
  /// The topic's own settings, whole.
  case topicSettingsReplaced(TopicID, [String: String])
  /// The settings made at run time for every node, whole.
  case dynamicDefaultsReplaced([String: String])
  /// The settings made at run time for this node, whole.
  case dynamicNodeSettingsReplaced([String: String])
}

/// A compare-and-swap of one partition.
public struct PartitionChange: Hashable, Sendable {
  public var topicID: TopicID
  public var partition: Int32
  /// What the partition has to be for the change to be made, version and all.
  public var expected: PartitionImage
  /// Its version does not count.
  public var next: PartitionImage

  public init(topicID: TopicID, partition: Int32, expected: PartitionImage, next: PartitionImage) {
    self.topicID = topicID
    self.partition = partition
    self.expected = expected
    self.next = next
  }
}

/// Why a change does not fit the image it was to be applied to. The image is as it was.
public enum ClusterChangeError: Error, Hashable, Sendable {
  case topicExists(String)
  case topicIDExists(TopicID)
  case unknownTopic(TopicID)
  case unknownPartition(TopicID, Int32)
}

extension ClusterImage {
  /// The image after `change`.
  ///
  /// - Throws: when the change does not fit.
  public func applying(_ change: ClusterChange) throws(ClusterChangeError) -> ClusterImage {
    var image = self
    try image.apply(change)
    return image
  }

  /// Moves the image on by one change.
  ///
  /// - Throws: when the change does not fit; the image is unchanged.
  public mutating func apply(_ change: ClusterChange) throws(ClusterChangeError) {
    switch change {
    case .nodeRegistered(let node): nodes[node.id] = node
    case .nodeUnregistered(let id): nodes[id] = nil
    case .topicCreated(let topic): try create(topic)
    case .topicDeleted(let id):
      topics[try name(of: id)] = nil
      namesByID[id] = nil
    case .partitionsAdded(let id, let partitions):
      topics[try name(of: id)]?.partitions += partitions
    case .partitionChanged(let id, let partition, let changed):
      let name = try name(of: id)
      guard topics[name]?.partition(partition) != nil else { throw .unknownPartition(id, partition) }
      topics[name]?.partitions[Int(partition)] = changed
    case .topicSettingsReplaced(let id, let settings):
      let name = try name(of: id)
      topics[name]?.settings = settings
      topics[name]?.configuration = nodeSettings.topicConfiguration(settings)
    case .dynamicDefaultsReplaced(let settings):
      nodeSettings.dynamicDefault = settings
      resolveTopics()
    case .dynamicNodeSettingsReplaced(let settings):
      nodeSettings.dynamicNode = settings
      resolveTopics()
    }
    version += 1
  }

  private mutating func create(_ topic: TopicImage) throws(ClusterChangeError) {
    if topics[topic.name] != nil { throw .topicExists(topic.name) }
    if namesByID[topic.id] != nil { throw .topicIDExists(topic.id) }
    var topic = topic
    topic.configuration = nodeSettings.topicConfiguration(topic.settings)
    topics[topic.name] = topic
    namesByID[topic.id] = topic.name
  }

  private func name(of id: TopicID) throws(ClusterChangeError) -> String {
    guard let name = namesByID[id] else { throw .unknownTopic(id) }
    return name
  }

  private mutating func resolveTopics() {
    for (name, topic) in topics { topics[name]?.configuration = nodeSettings.topicConfiguration(topic.settings) }
  }
}
