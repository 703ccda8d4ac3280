import Cluster
import Metadata
import Model
import Synchronization

/// The cluster of one node, of which a test says that it has others, and what they lead.
final class SteeredCluster: ClusterStore {
  private let local: LocalClusterStore
  private let changes = Mutex<[ClusterChange]>([])

  init(_ local: LocalClusterStore) { self.local = local }

  /// From now on the image has these changes too.
  func steer(_ more: ClusterChange...) { changes.withLock { $0 += more } }

  var image: ClusterImage {
    changes.withLock { changes in
      changes.reduce(into: local.image) { image, change in try? image.apply(change) }
    }
  }
  var controller: NodeID? { local.controller }

  func observe(_ observer: @escaping @Sendable () -> Void) { local.observe(observer) }
  func register(_ node: NodeImage) async throws(ClusterError) { try await local.register(node) }
  func createTopic(
    named name: String, partitionCount: Int32, replicationFactor: Int16?, configuration: [(name: String, value: String?)],
    validateOnly: Bool
  ) async throws(ClusterError) -> TopicImage {
    try await local.createTopic(
      named: name, partitionCount: partitionCount, replicationFactor: replicationFactor, configuration: configuration,
      validateOnly: validateOnly)
  }
  func createTopic(
    named name: String, assignments: [[NodeID]], configuration: [(name: String, value: String?)], validateOnly: Bool
  ) async throws(ClusterError) -> TopicImage {
    try await local.createTopic(
      named: name, assignments: assignments, configuration: configuration, validateOnly: validateOnly)
  }
  func deleteTopic(named name: String) async throws(ClusterError) { try await local.deleteTopic(named: name) }
  func deleteTopic(id: TopicID) async throws(ClusterError) -> String { try await local.deleteTopic(id: id) }
  func createPartitions(
    topic name: String, count: Int32, assignments: [[NodeID]]?, validateOnly: Bool
  ) async throws(ClusterError) {
    try await local.createPartitions(topic: name, count: count, assignments: assignments, validateOnly: validateOnly)
  }
  func alter(
    _ resource: ConfigurationResource, validateOnly: Bool, _ alteration: @escaping SettingAlteration
  ) async throws(ClusterError) { try await local.alter(resource, validateOnly: validateOnly, alteration) }
  func changePartitions(_ changes: [PartitionChange]) async throws(ClusterError) -> [Bool] {
    try await local.changePartitions(changes)
  }
  func takeProducerIDs(count: Int64) async throws(ClusterError) -> Range<Int64> {
    try await local.takeProducerIDs(count: count)
  }
  func close() { local.close() }
}
