public import Model
internal import SQLite
public import Storage

/// One partition that a data directory has, or is about to have, files of.
public struct KeptPartition: Hashable, Sendable {
  public var name: TopicPartition
  public var topicID: TopicID

  public init(_ name: TopicPartition, topicID: TopicID) {
    self.name = name
    self.topicID = topicID
  }
}

/// What a node of several keeps, in its own node database: noted before the first file, and dropped after the last one, so that a start knows what
/// is here of topics that are gone, and offline readers find what is here. The tables are those of a node that is alone, which this one is not.
public struct KeptPartitions: Sendable {
  private let node: NodeDatabase

  public init(_ node: NodeDatabase) { self.node = node }

  private static let revisionRow = "'cluster', '', 'revision'"

  /// - Returns: what is noted, and the newest revision of the image that was noted with it.
  public func load() throws(ClusterError) -> (partitions: Set<KeptPartition>, revision: Int64) {
    try perform { connection throws(SQLiteError) in
      var partitions: Set<KeptPartition> = []
      let rows = try connection.prepare("SELECT t.name, p.partition, t.topic_id FROM topic t JOIN partition p USING (topic_id)")
      while try rows.step() {
        guard let name = rows.text(at: 0), let id = TopicID(bytes: rows.blob(at: 2)) else { continue }
        let partition = TopicPartition(topic: name, partition: Int32(truncatingIfNeeded: rows.integer(at: 1)))
        partitions.insert(KeptPartition(partition, topicID: id))
      }
      let text = try connection.text(
        "SELECT value FROM configuration WHERE (resource_type, resource_name, key) = (\(Self.revisionRow))")
      return (partitions, text.flatMap { Int64($0) } ?? 0)
    }
  }

  /// Notes partitions that are to be kept. Durable on return.
  ///
  /// - Parameter revision: of the image that says so.
  public func add(_ partitions: some Collection<KeptPartition>, revision: Int64) throws(ClusterError) {
    try perform { connection throws(SQLiteError) in
      // A topic that was created anew under its name: the files of the former one are leftovers that its directory names.
      let topic = try connection.prepare("INSERT OR REPLACE INTO topic(topic_id, name) VALUES (?, ?)")
      let partition = try connection.prepare("INSERT OR REPLACE INTO partition VALUES (?, ?, 0)")
      for kept in partitions {
        topic.bind(kept.topicID.bytes, at: 1)
        topic.bind(kept.name.topic, at: 2)
        try topic.run()
        partition.bind(kept.topicID.bytes, at: 1)
        partition.bind(Int64(kept.name.partition), at: 2)
        try partition.run()
      }
      try Self.note(revision, connection)
    }
  }

  /// Drops partitions whose files are gone. Durable on return.
  public func remove(_ partitions: some Collection<KeptPartition>) throws(ClusterError) {
    try perform { connection throws(SQLiteError) in
      let partition = try connection.prepare("DELETE FROM partition WHERE topic_id = ? AND partition = ?")
      for kept in partitions {
        partition.bind(kept.topicID.bytes, at: 1)
        partition.bind(Int64(kept.name.partition), at: 2)
        try partition.run()
      }
      try connection.execute("DELETE FROM topic WHERE topic_id NOT IN (SELECT topic_id FROM partition)")
    }
  }

  /// Notes the newest image that this node has acted on.
  public func note(revision: Int64) throws(ClusterError) {
    try perform { connection throws(SQLiteError) in try Self.note(revision, connection) }
  }

  /// Notes what offline readers want to know of a topic: its declared columns, and how many partitions it has in all.
  public func note(columns: String, partitionCount: Int, of topic: String) throws(ClusterError) {
    try perform { connection throws(SQLiteError) in
      let row = try connection.prepare("INSERT OR REPLACE INTO configuration VALUES ('topic', ?, ?, ?)")
      for (key, value) in [("quire.columns", columns), ("partitions", "\(partitionCount)")] {
        row.bind(topic, at: 1)
        row.bind(key, at: 2)
        row.bind(value, at: 3)
        try row.run()
      }
    }
  }

  private static func note(_ revision: Int64, _ connection: Connection) throws(SQLiteError) {
    try connection.execute("INSERT OR REPLACE INTO configuration VALUES (\(revisionRow), '\(revision)')")
  }

  private func perform<Result>(_ body: (Connection) throws(SQLiteError) -> Result) throws(ClusterError) -> Result {
    do throws(StorageError) { return try node.perform(body) } catch {
      throw ClusterError(.kafkaStorageError, "the node database: \(error)")
    }
  }
}
