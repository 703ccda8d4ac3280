import Model
import SQLite
public import Storage

/// The pair as the node database has it, before the image is opened.
public enum PairStart {
  /// What the node was when it ended.
  public static func state(in store: LogStore) throws(ClusterError) -> PairState {
    try perform(store) { connection throws(SQLiteError) in try PairTable.read(connection) }
  }

  /// The node has no topics and never had a pair: it may become anything.
  public static func isFresh(_ store: LogStore) throws(ClusterError) -> Bool {
    try perform(store) { connection throws(SQLiteError) in
      try connection.integer("SELECT (SELECT count(*) FROM topic) + (SELECT count(*) FROM pair)") == 0
    }
  }

  /// Makes durable that the node follows a leader, and belongs to its cluster.
  ///
  /// What it has of topics and partitions stays, for the leader to compare; the leader's first image goes before its own.
  ///
  /// - Parameter clusterID: the leader's; nil for the node's own.
  public static func becomeStandby(_ state: PairState, clusterID: String?, in store: LogStore) throws(ClusterError) {
    do throws(StorageError) {
      try store.node.perform(adopting: clusterID) { connection throws(SQLiteError) in
        try PairTable.write(state, connection)
        try PairTable.setImageVersion(0, connection)
      }
    } catch { throw ClusterError(.kafkaStorageError, "the node database: \(error)") }
  }

  /// Makes a change durable that leaves the node what it is.
  public static func note(_ state: PairState, in store: LogStore) throws(ClusterError) {
    try perform(store) { connection throws(SQLiteError) in try PairTable.write(state, connection) }
  }

  private static func perform<R>(
    _ store: LogStore, _ body: (Connection) throws(SQLiteError) -> R
  ) throws(ClusterError) -> R {
    do throws(StorageError) { return try store.node.perform(body) } catch {
      throw ClusterError(.kafkaStorageError, "the node database: \(error)")
    }
  }
}
