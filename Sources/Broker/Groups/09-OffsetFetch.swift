internal import Coordination
internal import KafkaProtocol
internal import Model

/// OffsetFetch, versions 1 to 9 (KIP-709: several groups from 8 on). What was never committed is -1 without an error, also
/// when nobody knows the group. There are no transactions yet, so every offset is stable.
extension GroupCoordinator {
  func handle(_ request: OffsetFetchRequest, version: Int16, reply: @escaping @Sendable (OffsetFetchResponse) -> Void) {
    let asked: [(groupID: String, topics: Asked?)] =
      version >= 8
      ? request.groups.map { ($0.groupID, $0.topics.map { $0.map { ($0.name, $0.partitionIndexes) } }) }
      : [(request.groupID, request.topics.map { $0.map { ($0.name, $0.partitionIndexes) } })]
    read(asked.map(\.groupID), { $1.map { $0?.offsets ?? [:] } }) { found in
      let groups = zip(asked, found).map { asked, found in
        var group = OffsetFetchResponse.Group()
        group.groupID = asked.groupID
        switch found {
        case .success(let offsets): group.topics = Self.answer(offsets, asked.topics)
        case .failure(let error):
          group.topics = Self.answer([:], asked.topics ?? [])
          group.errorCode = error
        }
        return group
      }
      reply(Self.response(groups, version))
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

  /// Version 1 has no place for the error but its partitions.
  private static func response(_ groups: [OffsetFetchResponse.Group], _ version: Int16) -> OffsetFetchResponse {
    var response = OffsetFetchResponse()
    guard version < 8, let group = groups.first else {
      response.groups = groups
      return response
    }
    response.topics = group.topics
    response.errorCode = group.errorCode
    guard version < 2, group.errorCode != .none else { return response }
    for topic in response.topics.indices {
      for part in response.topics[topic].partitions.indices {
        response.topics[topic].partitions[part].errorCode = group.errorCode
      }
    }
    return response
  }
}
