internal import Cluster
internal import KafkaProtocol
internal import Metadata
internal import Model
internal import Storage

/// Fetch, versions 4 to 12: long polling (KIP-74), sessions (KIP-227), epoch checks (KIP-320).
///
/// A reply begins with the whole batch that contains the offset asked for; clients drop the records before it.
extension Call {
  func handle(_ request: FetchRequest) {
    let broker = connection.broker
    let named = request.topics.flatMap { topic in
      topic.partitions.map { part in
        FetchInterest(
          topic: topic.topic, partition: part.partition, offset: part.fetchOffset,
          currentLeaderEpoch: part.currentLeaderEpoch, lastFetchedEpoch: part.lastFetchedEpoch, bytesMax: part.partitionMaxBytes
        )
      }
    }
    let forgotten = request.forgottenTopicsData.flatMap { topic in
      topic.partitions.map { TopicPartition(topic: topic.topic, partition: $0) }
    }
    let plan: FetchSessions.Plan
    do throws(ErrorCode) {
      plan = try broker.fetchSessions.plan(
        sessionID: version >= 7 ? request.sessionID : 0, epoch: version >= 7 ? request.sessionEpoch : -1, named: named,
        forgotten: forgotten)
    } catch {
      var response = FetchResponse()
      response.errorCode = error
      return reply(response)
    }
    let image = broker.cluster.image
    let parts = plan.interests.map { interest in
      var part = FetchOperation.Part(interest: interest, log: nil, error: nil)
      if let topic = image.topics[interest.topic], topic.partition(interest.partition) != nil,
        let log = broker.store.partition(TopicPartition(topic: interest.topic, partition: interest.partition)),
        log.topicID == topic.id
      {
        part.log = log
        if version < 10, topic.configuration.compression == .zstd { part.error = .unsupportedCompressionType }
      } else {
        part.error = .unknownTopicOrPartition
      }
      return part
    }
    FetchOperation(call: self, broker: broker, request: request, plan: plan, parts: parts).gather()
  }
}
