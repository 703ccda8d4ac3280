public import Metadata
public import Model

/// Whose settings are changed or described.
public enum ConfigurationResource: Hashable, Sendable {
  case topic(String)
  case node(NodeID)
  /// Every node of the cluster: Kafka's broker resource without a name.
  case everyNode
}

/// What a request makes of the settings that a resource has.
public typealias SettingAlteration =
  @Sendable (
    _ scope: SettingScope, _ current: [String: String], _ inForce: @escaping (ConfigurationKey) -> String
  ) throws(SettingRejection) -> [String: String]

/// Where the image of a cluster lives, and the only way to change it.
///
/// Two keep this promise: `LocalClusterStore` for a node that is alone, `EtcdClusterStore` for nodes that share an image.
///
/// - Invariant: a change is durable before it is in `image`, and in `image` before its reply.   (Cluster #4)
public protocol ClusterStore: AnyObject, Sendable {
  /// What the cluster has agreed on, as far as this node has heard. Cheap, for any thread.
  var image: ClusterImage { get }
  /// The node that decides for the cluster; nil while there is none.
  var controller: NodeID? { get }

  /// This node takes no records: what it has are copies, which clients may read nevertheless, as if it led them.
  var isStandby: Bool { get }

  /// Calls `observer` once now, and after each change of `image` or `controller` (several may be one call), on any thread; it must not block.
  /// For as long as the store lives.
  func observe(_ observer: @escaping @Sendable () -> Void)

  /// Tells the cluster where clients and other nodes reach this node; again when that changes.
  ///
  /// - Throws: when the cluster cannot be told, or another node has this node's id.
  func register(_ node: NodeImage) async throws(ClusterError)

  /// Creates a topic.
  ///
  /// - Parameters:
  ///   - replicationFactor: how many nodes keep each partition; nil for the node's default.
  ///   - configuration: the topic's own settings; a value of nil is refused.
  ///   - validateOnly: only says what would happen.
  /// - Returns: the topic as it is (or would be) in the image.
  @discardableResult
  func createTopic(
    named name: String, partitionCount: Int32, replicationFactor: Int16?, configuration: [(name: String, value: String?)],
    validateOnly: Bool
  ) async throws(ClusterError) -> TopicImage

  /// Creates a topic whose partitions are kept by these nodes.
  ///
  /// - Parameter assignments: by partition, the preferred leader first.
  @discardableResult
  func createTopic(
    named name: String, assignments: [[NodeID]], configuration: [(name: String, value: String?)], validateOnly: Bool
  ) async throws(ClusterError) -> TopicImage

  /// - Throws: `unknownTopicOrPartition`; an error that says so when the topic is gone but its files are still there.
  func deleteTopic(named name: String) async throws(ClusterError)

  /// Deletes the topic with this id; `unknownTopicID` when there is none.
  ///
  /// - Returns: the name it had.
  @discardableResult
  func deleteTopic(id: TopicID) async throws(ClusterError) -> String

  /// Adds partitions to a topic.
  ///
  /// - Parameter count: how many there shall be in all.
  /// - Parameter assignments: the nodes that keep the new ones; nil leaves them to the cluster.
  func createPartitions(
    topic name: String, count: Int32, assignments: [[NodeID]]?, validateOnly: Bool
  ) async throws(ClusterError)

  /// Changes the settings of a resource as `alteration` says; all of them or none.
  ///
  /// - Throws: `unknownTopicOrPartition`, `invalidConfig` with the sentence for the client, `invalidRequest`.
  func alter(
    _ resource: ConfigurationResource, validateOnly: Bool, _ alteration: @escaping SettingAlteration
  ) async throws(ClusterError)

  /// Compare-and-swap of partitions: each is changed if it is as expected, else left; what was changed is in the image on return.
  ///
  /// - Returns: for each change whether it was made.
  /// - Throws: the store cannot be asked, or did not say what came of it: some changes may have been made, or still be made. The image tells.
  func changePartitions(_ changes: [PartitionChange]) async throws(ClusterError) -> [Bool]

  /// So many producer ids that nobody else gets, durably.
  ///
  /// - Precondition: `count` is positive.
  func takeProducerIDs(count: Int64) async throws(ClusterError) -> Range<Int64>

  /// Takes no further changes; those handed in are still made. A node that others know says good-bye.
  func close()
}

extension ClusterStore {
  public func createPartitions(topic name: String, count: Int32, validateOnly: Bool) async throws(ClusterError) {
    try await createPartitions(topic: name, count: count, assignments: nil, validateOnly: validateOnly)
  }

  public var isStandby: Bool { false }

  /// Changes single settings, leaving the others; all of them or none.
  ///
  /// - Throws: as `alter`.
  public func alterConfigurations(
    of resource: ConfigurationResource, _ changes: [SettingChange], validateOnly: Bool
  ) async throws(ClusterError) {
    try await alter(resource, validateOnly: validateOnly) { scope, current, inForce throws(SettingRejection) in
      try scope.applying(changes, to: current, inForce: inForce)
    }
  }

  /// Replaces all settings: what is not named goes back to its default.
  ///
  /// - Throws: as `alter`.
  public func replaceConfigurations(
    of resource: ConfigurationResource, with entries: [(name: String, value: String?)], validateOnly: Bool
  ) async throws(ClusterError) {
    try await alter(resource, validateOnly: validateOnly) { scope, _, _ throws(SettingRejection) in
      try scope.replacing(with: entries)
    }
  }

  /// Creates a topic with the node's default replication factor.
  @discardableResult
  public func createTopic(
    named name: String, partitionCount: Int32, configuration: [String: String]
  ) async throws(ClusterError) -> TopicImage {
    try await createTopic(
      named: name, partitionCount: partitionCount, replicationFactor: nil,
      configuration: configuration.map { ($0.key, $0.value) }, validateOnly: false)
  }
}
