internal import Cluster
internal import KafkaProtocol
internal import Metadata
internal import Model

/// DescribeTopicPartitions, version 0: topics by name, page by page (KIP-966).
extension AdminContext {
  private static let partitionsPerResponseMax = 2000

  func handle(_ request: DescribeTopicPartitionsRequest, version: Int16) async -> DescribeTopicPartitionsResponse {
    let image = cluster.image
    var response = DescribeTopicPartitionsResponse()
    var names = request.topics.isEmpty ? image.clientTopics.map(\.name).sorted() : Set(request.topics.map(\.name)).sorted()
    if let cursor = request.cursor { names.removeAll { $0 < cursor.topicName } }
    var left = min(max(Int(request.responsePartitionLimit), 1), Self.partitionsPerResponseMax)
    for name in names {
      let from = request.cursor.map { $0.topicName == name ? max($0.partitionIndex, 0) : 0 } ?? 0
      if left == 0 {
        response.nextCursor = Self.cursor(name, from)
        return response
      }
      guard let topic = image.topics[name], !topic.isInternal else {
        var row = DescribeTopicPartitionsResponse.Topic()
        row.name = name
        row.errorCode = TopicName.complaint(about: name) == nil ? .unknownTopicOrPartition : .invalidTopicException
        response.topics.append(row)
        continue
      }
      let first = min(Int(from), topic.partitions.count)
      let end = min(topic.partitions.count, first + left)
      response.topics.append(Self.row(topic, first..<end, image))
      left -= end - first
      if end < topic.partitions.count {
        response.nextCursor = Self.cursor(name, Int32(end))
        return response
      }
    }
    return response
  }

  private static func cursor(_ topic: String, _ partition: Int32) -> DescribeTopicPartitionsResponse.Cursor {
    var cursor = DescribeTopicPartitionsResponse.Cursor()
    cursor.topicName = topic
    cursor.partitionIndex = partition
    return cursor
  }

  private static func row(
    _ topic: TopicImage, _ numbers: Range<Int>, _ image: ClusterImage
  ) -> DescribeTopicPartitionsResponse.Topic {
    var row = DescribeTopicPartitionsResponse.Topic()
    row.name = topic.name
    row.topicID = topic.id
    row.topicAuthorizedOperations = AuthorizedOperations.topic
    row.partitions = numbers.map { number in
      let partition = topic.partitions[number]
      var part = DescribeTopicPartitionsResponse.Partition()
      part.partitionIndex = Int32(number)
      part.leaderID = image.leader(of: partition)?.id.rawValue ?? -1
      if part.leaderID < 0 { part.errorCode = .leaderNotAvailable }
      part.leaderEpoch = partition.leaderEpoch.rawValue
      part.replicaNodes = partition.replicas.map(\.rawValue)
      part.isrNodes = partition.isr.map(\.rawValue)
      part.offlineReplicas = image.offlineReplicas(of: partition).map(\.rawValue)
      // Legal as null on the wire, but the Java client trips over that.
      part.eligibleLeaderReplicas = []
      part.lastKnownElr = []
      return part
    }
    return row
  }
}
