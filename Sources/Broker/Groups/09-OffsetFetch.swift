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

  /// - Parameter asked: nil for all that the group has committed.
  private static func answer(
    _ offsets: [TopicPartition: CommittedOffset], _ asked: Asked?
  ) -> [OffsetFetchResponse.Topic] {
    let wanted =
      asked
      ?? Dictionary(grouping: offsets.keys, by: \.topic).sorted { $0.key < $1.key }.map { topic, partitions in
        (topic, partitions.map(\.partition).sorted())
      }
    return wanted.map { topic, partitions in
      var row = OffsetFetchResponse.Topic()
      row.name = topic
      row.partitions = partitions.map { index in
        let committed = offsets[TopicPartition(topic: topic, partition: index)]
        var row = OffsetFetchResponse.Partition()
        row.partitionIndex = index
        row.committedOffset = committed?.offset ?? -1
        row.committedLeaderEpoch = committed?.leaderEpoch ?? -1
        row.metadata = committed?.metadata ?? ""
        return row
      }
      return row
    }
  }

  private static func response(
    to request: OffsetFetchRequest, _ version: Int16, _ find: (String, Asked?) -> [OffsetFetchResponse.Topic]
  ) -> OffsetFetchResponse {
    var response = OffsetFetchResponse()
    if version >= 8 {
      response.groups = request.groups.map { asked in
        var group = OffsetFetchResponse.Group()
        group.groupID = asked.groupID
        group.topics = find(asked.groupID, asked.topics.map { $0.map { ($0.name, $0.partitionIndexes) } })
        return group
      }
    } else {
      response.topics = find(request.groupID, request.topics.map { $0.map { ($0.name, $0.partitionIndexes) } })
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
