internal import Model
internal import SQLite
public import Storage

/// Which cluster a data directory belongs to, as its node database says.
///
/// A directory goes from one to the other only while there is nothing of value in it: the logs of one cluster's topics say nothing in another's.
public struct DirectoryMembership: Hashable, Sendable {
  public var clusterID: String
  /// It was in a cluster of several nodes.
  public var isMember: Bool
  /// The image of a node that is alone has topics.
  public var hasOwnTopics: Bool
  /// Partitions are kept here, or were.
  public var hasPartitions: Bool

  private static let row = "'cluster', '', 'membership'"

  /// - Throws: what the node database says.
  public init(of node: NodeDatabase) throws(ClusterError) {
    let clusterID = node.clusterID
    do throws(StorageError) {
      self = try node.perform { connection throws(SQLiteError) in
        DirectoryMembership(
          clusterID: try connection.text("SELECT cluster_id FROM identity") ?? clusterID,
          isMember: try connection.integer(
            "SELECT count(*) FROM configuration WHERE (resource_type, resource_name, key) = (\(Self.row))") == 1,
          hasOwnTopics: try connection.integer("SELECT count(*) FROM topic") != 0,
          hasPartitions: try connection.integer("SELECT count(*) FROM partition_checkpoint") != 0)
      }
    } catch { throw ClusterError(.kafkaStorageError, "the node database: \(error)") }
  }

  private init(clusterID: String, isMember: Bool, hasOwnTopics: Bool, hasPartitions: Bool) {
    self.clusterID = clusterID
    self.isMember = isMember
    self.hasOwnTopics = hasOwnTopics
    self.hasPartitions = hasPartitions
  }

  /// Why the directory cannot be used in a cluster of several nodes, as the rest of a sentence about it; nil if it can.
  public func objection(toJoining clusterID: String?) -> String? {
    if hasOwnTopics, !isMember { return "has topics of a node that was alone: they would be lost to clients" }
    guard let clusterID, clusterID != self.clusterID, isMember || hasPartitions else { return nil }
    return "belongs to the cluster \(self.clusterID), and the one in etcd is \(clusterID)"
  }

  /// From now on the directory is the cluster's. Durable on return.
  public static func join(_ clusterID: String, _ node: NodeDatabase) throws(ClusterError) {
    do throws(StorageError) {
      try node.perform { connection throws(SQLiteError) in
        let identity = try connection.prepare("UPDATE identity SET cluster_id = ?")
        identity.bind(clusterID, at: 1)
        try identity.run()
        try connection.execute("INSERT OR REPLACE INTO configuration VALUES (\(row), 'etcd')")
      }
    } catch { throw ClusterError(.kafkaStorageError, "the node database: \(error)") }
  }
}
