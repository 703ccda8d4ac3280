internal import Model
internal import SQLite

extension Doctor {
  /// What `quire.db` says of the partitions.
  struct NodeImage {
    struct Partition {
      var topicID: TopicID
      /// The last checkpoint of it: what was acknowledged is below. Nil where there is none, or it promises nothing.
      var highWatermark: Int64?
    }
    var partitions: [TopicPartition: Partition] = [:]
    /// Of the coordinator, where something was ever committed.
    var shards: [Int: Partition] = [:]
    /// Whether the image could be read: only then is a directory it does not name worth a word.
    var isKnown = false
  }

  enum NodeExamination {
    static func examine(_ path: String, into examination: inout Examination) -> NodeImage {
      let image = examination.database(path, .node) { (connection, examination) throws(SQLiteError) in
        if try connection.integer("SELECT count(*) FROM identity") != 1 {
          examination.found(Finding(path, "the node's identity is missing", remedy: Remedy.restoreFile))
        }
        return try load(connection)
      }
      return image ?? NodeImage()
    }

    private static func load(_ connection: Connection) throws(SQLiteError) -> NodeImage {
      var image = NodeImage(isKnown: true)
      // With `quire.durability=os` a power loss may take what the checkpoint counted: that was the topic's choice.
      let rows = try connection.prepare(
        """
        SELECT topic.name, partition.partition, topic.topic_id,
          CASE WHEN EXISTS (SELECT 1 FROM configuration WHERE key = 'quire.durability' AND value = 'os'
            AND (resource_name = topic.name OR resource_name = '')) THEN NULL ELSE checkpoint.high_watermark END
        FROM topic JOIN partition ON partition.topic_id = topic.topic_id
        LEFT JOIN partition_checkpoint AS checkpoint
          ON checkpoint.topic_id = topic.topic_id AND checkpoint.partition = partition.partition
        """)
      while try rows.step() {
        guard let name = rows.text(at: 0), let id = TopicID(bytes: rows.blob(at: 2)) else { continue }
        let key = TopicPartition(topic: name, partition: Int32(truncatingIfNeeded: rows.integer(at: 1)))
        image.partitions[key] = NodeImage.Partition(
          topicID: id, highWatermark: rows.isNull(at: 3) ? nil : rows.integer(at: 3))
      }
      let shards = try connection.prepare(
        "SELECT partition, high_watermark FROM partition_checkpoint WHERE topic_id = ? AND high_watermark > 0")
      shards.bind(CoordinatorTopic.id.bytes, at: 1)
      while try shards.step() {
        image.shards[Int(shards.integer(at: 0))] = NodeImage.Partition(
          topicID: CoordinatorTopic.id, highWatermark: shards.integer(at: 1))
      }
      return image
    }
  }
}
