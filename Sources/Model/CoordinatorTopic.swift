/// The topic whose partitions are the coordinator's shards: kept and replicated as any other, shown to nobody.
///
/// Its logs hold no records: a commit of groups and offsets is what has an offset in them.
public enum CoordinatorTopic {
  public static let name = "__consumer_offsets"
  /// The same in every cluster, so that the shards of a node that was alone are those of the cluster it joins.
  public static let id = TopicID(high: 0x5F5F_636F_6E73_756D, low: 0x6572_5F6F_6666_7365)

  public static func partition(_ shard: Int) -> TopicPartition { TopicPartition(topic: name, partition: Int32(shard)) }
}
