import Cluster
import Logging
import Metadata
import Model
import SQLite
import Storage
import Synchronization
import TestSupport

/// A data directory that one test opens, crashes and opens again.
final class TemporaryStore: Sendable {
  let directory: String
  private let entropy = Mutex<UInt64>(1)

  init() throws { directory = try makeTemporaryDirectory() }

  deinit { removeTree(directory) }

  func openStore() throws -> LogStore {
    let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
    return try LogStore.open(StoreOptions(dataDirectory: directory, nodeID: NodeID(1)), logger: logger, now: { 1000 })
  }

  func openCluster(_ store: LogStore, settings: NodeSettings = NodeSettings()) throws -> LocalClusterStore {
    try LocalClusterStore.open(
      store: store, clusterID: store.node.clusterID, nodeID: NodeID(1), settings: settings,
      entropy: {
        self.entropy.withLock { state in
          state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
          return state ^ state >> 29
        }
      }, now: { 1000 })
  }

  /// One life of a node: opened, used, and closed in order (or just dropped, which is how a killed node looks to the next one).
  func life(isKilled: Bool = false, _ body: (LocalClusterStore, LogStore) async throws -> Void) async throws {
    let store = try openStore()
    let cluster = try openCluster(store)
    try await body(cluster, store)
    cluster.close()
    try store.close()
    if isKilled { try forgetOrderlyEnd() }
  }

  /// The node database as a killed node leaves it.
  private func forgetOrderlyEnd() throws {
    try edit { try $0.execute("UPDATE node_state SET is_clean = 0") }
  }

  /// Changes the node database while no node has it.
  func edit(_ body: (Connection) throws -> Void) throws {
    let connection = try Connection(path: directory + "/quire.db", mode: .create)
    defer { connection.close() }
    try body(connection)
  }

  /// The names in `topics/`, sorted.
  var partitionDirectories: [String] { (try? directoryEntries(directory + "/topics").sorted()) ?? [] }
}
