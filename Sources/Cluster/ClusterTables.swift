import Metadata
import Model
import SQLite

/// The cluster's tables in the node database. Every function runs inside a transaction of its caller.
enum ClusterTables {
  enum ResourceType: String {
    case topic
    case node
    /// Every node of the cluster; its name is empty.
    case everyNode = "every-node"
  }

  struct TopicRow {
    var id: TopicID
    var name: String
    /// By partition number.
    var leaderEpochs: [LeaderEpoch]
  }

  struct Unfinished {
    var topicID: TopicID
    var partition: TopicPartition
  }

  // MARK: Reading

  /// Every topic.
  ///
  /// - Throws: also when partitions are not numbered densely from 0.
  static func topics(_ connection: Connection) throws(SQLiteError) -> [TopicRow] {
    var rows: [TopicRow] = []
    let statement = try connection.prepare(
      """
      SELECT t.topic_id, t.name, p.partition, p.leader_epoch FROM topic t JOIN partition p USING (topic_id)
      ORDER BY t.topic_id, p.partition
      """)
    while try statement.step() {
      guard let id = TopicID(bytes: statement.blob(at: 0)), let name = statement.text(at: 1) else {
        throw damaged("a topic without id or name")
      }
      if rows.last?.id != id { rows.append(TopicRow(id: id, name: name, leaderEpochs: [])) }
      let epochs = rows[rows.count - 1].leaderEpochs
      guard statement.integer(at: 2) == epochs.count, let epoch = Int32(exactly: statement.integer(at: 3)) else {
        throw damaged("the partitions of topic \(name) are not numbered from 0 on")
      }
      rows[rows.count - 1].leaderEpochs.append(LeaderEpoch(epoch))
    }
    return rows
  }

  /// The settings of every resource of one type, by name.
  static func settings(_ type: ResourceType, _ connection: Connection) throws(SQLiteError) -> [String: [String: String]] {
    var settings: [String: [String: String]] = [:]
    let statement = try connection.prepare("SELECT resource_name, key, value FROM configuration WHERE resource_type = ?")
    statement.bind(type.rawValue, at: 1)
    while try statement.step() {
      if let name = statement.text(at: 0), let key = statement.text(at: 1), let value = statement.text(at: 2) {
        settings[name, default: [:]][key] = value
      }
    }
    return settings
  }

  static func unfinished(_ connection: Connection) throws(SQLiteError) -> [Unfinished] {
    var rows: [Unfinished] = []
    let statement = try connection.prepare("SELECT topic_id, topic, partition FROM unfinished_partition")
    while try statement.step() {
      guard let id = TopicID(bytes: statement.blob(at: 0)), let topic = statement.text(at: 1),
        let partition = Int32(exactly: statement.integer(at: 2))
      else { throw damaged("an unfinished partition without topic") }
      rows.append(Unfinished(topicID: id, partition: TopicPartition(topic: topic, partition: partition)))
    }
    return rows
  }

  // MARK: Writing

  static func beginFiles(
    of topic: String, id: TopicID, partitions: Range<Int32>, _ connection: Connection
  ) throws(SQLiteError) {
    let statement = try connection.prepare(
      "INSERT OR REPLACE INTO unfinished_partition(topic_id, topic, partition) VALUES (?, ?, ?)")
    for partition in partitions {
      statement.bind(id.bytes, at: 1)
      statement.bind(topic, at: 2)
      statement.bind(Int64(partition), at: 3)
      try statement.run()
    }
  }

  static func endFiles(of id: TopicID, partitions: Range<Int32>, _ connection: Connection) throws(SQLiteError) {
    let statement = try connection.prepare(
      "DELETE FROM unfinished_partition WHERE topic_id = ? AND partition >= ? AND partition < ?")
    statement.bind(id.bytes, at: 1)
    statement.bind(Int64(partitions.lowerBound), at: 2)
    statement.bind(Int64(partitions.upperBound), at: 3)
    try statement.run()
  }

  static func insert(_ topic: TopicImage, createdMilliseconds: Int64, _ connection: Connection) throws(SQLiteError) {
    let statement = try connection.prepare("INSERT INTO topic(topic_id, name, created_ms) VALUES (?, ?, ?)")
    statement.bind(topic.id.bytes, at: 1)
    statement.bind(topic.name, at: 2)
    statement.bind(createdMilliseconds, at: 3)
    try statement.run()
    try insert(topic.partitions, of: topic.id, from: 0, connection)
    try replaceSettings(.topic, topic.name, with: topic.settings, connection)
  }

  static func insert(
    _ partitions: [PartitionImage], of id: TopicID, from first: Int32, _ connection: Connection
  ) throws(SQLiteError) {
    let statement = try connection.prepare("INSERT INTO partition(topic_id, partition, leader_epoch) VALUES (?, ?, ?)")
    for (index, partition) in partitions.enumerated() {
      statement.bind(id.bytes, at: 1)
      statement.bind(Int64(first) + Int64(index), at: 2)
      statement.bind(Int64(partition.leaderEpoch.rawValue), at: 3)
      try statement.run()
    }
  }

  static func delete(_ topic: TopicImage, _ connection: Connection) throws(SQLiteError) {
    for sql in ["DELETE FROM topic WHERE topic_id = ?", "DELETE FROM partition WHERE topic_id = ?"] {
      let statement = try connection.prepare(sql)
      statement.bind(topic.id.bytes, at: 1)
      try statement.run()
    }
    try replaceSettings(.topic, topic.name, with: [:], connection)
  }

  static func replaceSettings(
    _ type: ResourceType, _ name: String, with settings: [String: String], _ connection: Connection
  ) throws(SQLiteError) {
    let deletion = try connection.prepare("DELETE FROM configuration WHERE resource_type = ? AND resource_name = ?")
    deletion.bind(type.rawValue, at: 1)
    deletion.bind(name, at: 2)
    try deletion.run()
    let insertion = try connection.prepare(
      "INSERT INTO configuration(resource_type, resource_name, key, value) VALUES (?, ?, ?, ?)")
    for (key, value) in settings {
      insertion.bind(type.rawValue, at: 1)
      insertion.bind(name, at: 2)
      insertion.bind(key, at: 3)
      insertion.bind(value, at: 4)
      try insertion.run()
    }
  }

  static func setLeaderEpoch(
    _ epoch: LeaderEpoch, of id: TopicID, _ partition: Int32, _ connection: Connection
  ) throws(SQLiteError) {
    let statement = try connection.prepare("UPDATE partition SET leader_epoch = ? WHERE topic_id = ? AND partition = ?")
    statement.bind(Int64(epoch.rawValue), at: 1)
    statement.bind(id.bytes, at: 2)
    statement.bind(Int64(partition), at: 3)
    try statement.run()
  }

  static func bumpLeaderEpochs(_ connection: Connection) throws(SQLiteError) {
    try connection.execute("UPDATE partition SET leader_epoch = leader_epoch + 1")
  }

  private static func damaged(_ what: String) -> SQLiteError {
    SQLiteError(code: 11, message: "the node database is damaged: \(what)")  // SQLITE_CORRUPT
  }
}
