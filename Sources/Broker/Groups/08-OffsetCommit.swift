internal import Coordination
internal import KafkaProtocol
internal import Model

/// OffsetCommit, versions 0 to 9. Offsets of partitions that do not exist are refused one by one; everything else about the
/// request holds for all partitions alike, but for metadata that is too long.
extension GroupCoordinator {
  func handle(
    _ request: OffsetCommitRequest, version: Int16, reply: @escaping @Sendable (OffsetCommitResponse) -> Void
  ) {
    let offsets = request.topics.flatMap { topic in
      topic.partitions.map { part in
        OffsetToCommit(
          partition: TopicPartition(topic: topic.name, partition: part.partitionIndex), offset: part.committedOffset,
          leaderEpoch: part.committedLeaderEpoch, metadata: part.committedMetadata ?? "")
      }
    }
    let commit = CommitRequest(
      member: MemberIdentity(memberID: request.memberID, instanceID: request.groupInstanceID),
      generationID: request.generationIDOrMemberEpoch,
      retentionMilliseconds: (2...4).contains(version) && request.retentionTimeMs >= 0 ? request.retentionTimeMs : nil,
      offsets: offsets, knowsGroupIDNotFound: version >= 9)
    submit(.commit(commit), to: request.groupID) { answer in
      guard case .commit(let results) = answer else { preconditionFailure("a commit was answered with \(answer)") }
      var next = results.makeIterator()
      var response = OffsetCommitResponse()
      response.topics = request.topics.map { topic in
        var topicResponse = OffsetCommitResponse.Topic()
        topicResponse.name = topic.name
        topicResponse.partitions = topic.partitions.map { part in
          var row = OffsetCommitResponse.Partition()
          row.partitionIndex = part.partitionIndex
          row.errorCode = next.next()?.error ?? .unknownServerError
          return row
        }
        return topicResponse
      }
      reply(response)
    }
  }
}
