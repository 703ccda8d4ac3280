internal import Coordination
internal import KafkaProtocol
internal import Model

/// OffsetDelete, version 0 (KIP-496).
extension GroupCoordinator {
  func handle(_ request: OffsetDeleteRequest, version: Int16, reply: @escaping @Sendable (OffsetDeleteResponse) -> Void) {
    guard !request.groupID.isEmpty else {
      var response = OffsetDeleteResponse()
      response.errorCode = .invalidGroupID
      return reply(response)
    }
    let partitions = request.topics.flatMap { topic in
      topic.partitions.map { TopicPartition(topic: topic.name, partition: $0.partitionIndex) }
    }
    submit(.deleteOffsets(partitions), to: request.groupID) { answer in
      guard case .deleteOffsets(let error, let results) = answer else {
        preconditionFailure("an offset deletion was answered with \(answer)")
      }
      var response = OffsetDeleteResponse()
      response.errorCode = error
      if error == .none {
        var next = results.makeIterator()
        response.topics = request.topics.map { topic in
          var topicResponse = OffsetDeleteResponse.Topic()
          topicResponse.name = topic.name
          topicResponse.partitions = topic.partitions.map { part in
            var row = OffsetDeleteResponse.Partition()
            row.partitionIndex = part.partitionIndex
            row.errorCode = next.next()?.error ?? .unknownServerError
            return row
          }
          return topicResponse
        }
      }
      reply(response)
    }
  }
}
