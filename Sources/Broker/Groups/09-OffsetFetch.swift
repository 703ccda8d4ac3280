internal import Coordination
internal import KafkaProtocol
internal import Model

/// OffsetFetch, versions 1 to 9 (KIP-709: several groups from 8 on). What was never committed is -1 without an error, also
/// when nobody knows the group. There are no transactions yet, so every offset is stable.
extension GroupCoordinator {
  func handle(_ request: OffsetFetchRequest, version: Int16, reply: @escaping @Sendable (OffsetFetchResponse) -> Void) {
    let isQueued = read { table in
      reply(
        Self.response(to: request, version) { groupID, partitions in
          Self.answer(table.machines[groupID]?.offsets ?? [:], partitions)
        })
    }
    if !isQueued {
      var response = Self.response(to: request, version) { _, partitions in Self.answer([:], partitions ?? []) }
      Self.refuse(&response, .coordinatorNotAvailable, version)
      reply(response)
    }
  }

  private typealias Asked = [(topic: String, partitions: [Int32])]
  private typealias Found = [(topic: String, partitions: [(Int32, CommittedOffset?)])]

  private static func answer(_ offsets: [TopicPartition: CommittedOffset], _ asked: Asked?) -> Found {
    if let asked {
      return asked.map { topic, partitions in
        (topic, partitions.map { ($0, offsets[TopicPartition(topic: topic, partition: $0)]) })
      }
    }
    return Dictionary(grouping: offsets.keys, by: \.topic).sorted { $0.key < $1.key }.map { topic, partitions in
      (topic, partitions.sorted().map { ($0.partition, offsets[$0]) })
    }
  }

  private static func response(
    to request: OffsetFetchRequest, _ version: Int16, _ find: (String, Asked?) -> Found
  ) -> OffsetFetchResponse {
    var response = OffsetFetchResponse()
    guard version >= 8 else {
      response.topics = find(request.groupID, request.topics.map { $0.map { ($0.name, $0.partitionIndexes) } }).map {
        topic, partitions in
        var topicResponse = OffsetFetchResponse.Topic()
        topicResponse.name = topic
        topicResponse.partitions = partitions.map { index, committed in
          var row = OffsetFetchResponse.Partition()
          row.partitionIndex = index
          row.committedOffset = committed?.offset ?? -1
          row.committedLeaderEpoch = committed?.leaderEpoch ?? -1
          row.metadata = committed?.metadata ?? ""
          return row
        }
        return topicResponse
      }
      return response
    }
    response.groups = request.groups.map { group in
      var groupResponse = OffsetFetchResponse.Group()
      groupResponse.groupID = group.groupID
      groupResponse.topics = find(group.groupID, group.topics.map { $0.map { ($0.name, $0.partitionIndexes) } }).map {
        topic, partitions in
        var topicResponse = OffsetFetchResponse.Topics()
        topicResponse.name = topic
        topicResponse.partitions = partitions.map { index, committed in
          var row = OffsetFetchResponse.Partitions()
          row.partitionIndex = index
          row.committedOffset = committed?.offset ?? -1
          row.committedLeaderEpoch = committed?.leaderEpoch ?? -1
          row.metadata = committed?.metadata ?? ""
          return row
        }
        return topicResponse
      }
      return groupResponse
    }
    return response
  }

  /// Version 1 has no place for the error but its partitions.
  private static func refuse(_ response: inout OffsetFetchResponse, _ error: ErrorCode, _ version: Int16) {
    response.errorCode = error
    for group in response.groups.indices { response.groups[group].errorCode = error }
    guard version < 2 else { return }
    for topic in response.topics.indices {
      for part in response.topics[topic].partitions.indices { response.topics[topic].partitions[part].errorCode = error }
    }
  }
}
