internal import KafkaProtocol
public import Model

/// A topic as the cluster's metadata has it.
public struct TopicDescription: Sendable {
  public struct Partition: Sendable {
    public var index: Int32
    /// The node that leads it; -1 if none does.
    public var leaderID: Int32
    public var leaderEpoch: Int32
    public var replicas: [Int32]
    public var inSyncReplicas: [Int32]
  }

  public var name: String
  public var topicID: TopicID
  public var isInternal: Bool
  /// In the order of their numbers.
  public var partitions: [Partition]
  public var errorCode: ErrorCode

  init(_ topic: MetadataResponse.Topic) {
    name = topic.name ?? ""
    topicID = topic.topicID
    isInternal = topic.isInternal
    errorCode = topic.errorCode
    partitions = topic.partitions.map {
      Partition(
        index: $0.partitionIndex, leaderID: $0.leaderID, leaderEpoch: $0.leaderEpoch, replicas: $0.replicaNodes,
        inSyncReplicas: $0.isrNodes)
    }
    partitions.sort { $0.index < $1.index }
  }

  /// Every partition by name and number.
  public var topicPartitions: [TopicPartition] {
    partitions.map { TopicPartition(topic: name, partition: $0.index) }
  }
}
