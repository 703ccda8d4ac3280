import Cluster
import Logging
import Metadata
import Model
import Storage
import Synchronization
import TestSupport

@testable import Broker

/// A store and a cluster in a directory of their own, and the names of the topics that were told to be gone.
final class AdminFixture: Sendable {
  let directory: String
  let store: LogStore
  let cluster: LocalClusterStore
  let admin: AdminContext
  let deletedTopics: DeletedTopics

  final class DeletedTopics: Sendable {
    private let all = Mutex<Set<String>>([])
    var names: Set<String> { all.withLock { $0 } }
    func insert(_ names: Set<String>) { all.withLock { $0.formUnion(names) } }
  }

  init(settings: NodeSettings = NodeSettings()) async throws {
    directory = try makeTemporaryDirectory()
    let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
    store = try LogStore.open(StoreOptions(dataDirectory: directory, nodeID: NodeID(1)), logger: logger, now: { 1000 })
    cluster = try LocalClusterStore.open(
      store: store, clusterID: "c", nodeID: NodeID(1), settings: settings,
      entropy: {
        var random = SystemRandomNumberGenerator()
        return random.next()
      }, now: { 1000 })
    try await cluster.register(NodeImage(id: NodeID(1), host: "h", port: 9, rack: nil))
    let deletedTopics = DeletedTopics()
    self.deletedTopics = deletedTopics
    admin = AdminContext(
      cluster: cluster, store: store, nodeID: NodeID(1), dataDirectory: directory,
      topicsDeleted: { deletedTopics.insert($0) })
  }

  deinit {
    cluster.close()
    try? store.close()
    removeTree(directory)
  }

  func createTopic(_ name: String, partitions: Int32 = 1, _ settings: [String: String] = [:]) async throws {
    try await cluster.createTopic(named: name, partitionCount: partitions, configuration: settings)
  }
}
