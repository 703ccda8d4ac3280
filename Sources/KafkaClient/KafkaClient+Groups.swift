internal import KafkaProtocol
public import Model
internal import NIOCore

/// A consumer group in a list of groups.
public struct ListedGroup: Sendable {
  public var groupID: String
  public var protocolType: String
  /// Kafka's name of its state; empty where the broker does not tell.
  public var state: String
}

/// A consumer group with its members.
public struct GroupDescription: Sendable {
  public struct Member: Sendable {
    public var memberID: String
    public var clientID: String
    public var clientHost: String
    public var partitions: [TopicPartition]
  }
  public var groupID: String
  public var state: String
  public var protocolType: String
  /// The assignor in force.
  public var protocolName: String
  public var members: [Member]
}

extension KafkaClient {
  /// All groups of all brokers, in the order of their names.
  public func groups() async throws -> [ListedGroup] {
    try await retrying {
      try await self.refreshMetadata(topics: [], allowAutoTopicCreation: false)
      var groups: [ListedGroup] = []
      for broker in try await self.allBrokers() {
        let response = try await broker.send(ListGroupsRequest())
        if response.errorCode != .none { throw KafkaClientError.refused("groups", response.errorCode) }
        groups += response.groups.map {
          ListedGroup(groupID: $0.groupID, protocolType: $0.protocolType, state: $0.groupState)
        }
      }
      return groups.sorted { $0.groupID < $1.groupID }
    }
  }

  /// A group with its members; a group that does not exist has the state `Dead`.
  public func describeGroup(_ group: String) async throws -> GroupDescription {
    try await withCoordinator(of: group) { coordinator in
      var request = DescribeGroupsRequest()
      request.groups = [group]
      let response = try await coordinator.send(request)
      guard let found = response.groups.first else {
        throw KafkaClientError(.malformedResponse, "the broker said nothing about group '\(group)'")
      }
      if found.errorCode != .none, found.errorCode != .groupIDNotFound {
        throw KafkaClientError.refused("group '\(group)'", found.errorCode, found.errorMessage)
      }
      let members = found.members.map { member in
        let assignment = try? ConsumerProtocolAssignment.decode(member.memberAssignment)
        return GroupDescription.Member(
          memberID: member.memberID, clientID: member.clientID, clientHost: member.clientHost,
          partitions: assignment?.topicPartitions ?? [])
      }
      return GroupDescription(
        groupID: group, state: found.errorCode == .groupIDNotFound ? "Dead" : found.groupState,
        protocolType: found.protocolType, protocolName: found.protocolData, members: members)
    }
  }

  /// The offsets a group has committed.
  ///
  /// - Parameter partitions: nil for every partition it has committed anything in.
  /// - Returns: only partitions with a committed offset.
  public func committedOffsets(of group: String, partitions: [TopicPartition]?) async throws -> [TopicPartition: Int64] {
    try await withCoordinator(of: group) { coordinator in
      var request = OffsetFetchRequest()
      request.groupID = group
      request.topics = partitions.map { partitions in
        Self.byTopic(partitions).map { name, numbers in
          var topic = OffsetFetchRequest.Topic()
          topic.name = name
          topic.partitionIndexes = numbers
          return topic
        }
      }
      var asked = OffsetFetchRequest.Group()
      asked.groupID = group
      asked.topics = request.topics.map { topics in
        topics.map {
          var topic = OffsetFetchRequest.Topics()
          topic.name = $0.name
          topic.partitionIndexes = $0.partitionIndexes
          return topic
        }
      }
      request.groups = [asked]
      let response = try await coordinator.send(request)
      var committed: [TopicPartition: Int64] = [:]
      func take(_ topic: String, _ number: Int32, _ offset: Int64, _ code: ErrorCode) throws {
        if code != .none { throw KafkaClientError.refused("group '\(group)'", code) }
        if offset >= 0 { committed[TopicPartition(topic: topic, partition: number)] = offset }
      }
      let whole = response.groups.first?.errorCode ?? response.errorCode
      if whole == .groupIDNotFound { return [:] }
      if whole != .none { throw KafkaClientError.refused("group '\(group)'", whole) }
      for topic in response.topics {
        for each in topic.partitions { try take(topic.name, each.partitionIndex, each.committedOffset, each.errorCode) }
      }
      for topic in response.groups.first?.topics ?? [] {
        for each in topic.partitions { try take(topic.name, each.partitionIndex, each.committedOffset, each.errorCode) }
      }
      return committed
    }
  }

  /// Commits offsets for a group; with `member` as one of its members, else from outside, which works while it has none.
  public func commit(_ offsets: [TopicPartition: Int64], group: String, as member: GroupMembership? = nil) async throws {
    if offsets.isEmpty { return }
    try await withCoordinator(of: group) { coordinator in
      var request = OffsetCommitRequest()
      request.groupID = group
      request.generationIDOrMemberEpoch = member?.generationID ?? -1
      request.memberID = member?.memberID ?? ""
      request.topics = Self.byTopic(Array(offsets.keys)).map { name, numbers in
        var topic = OffsetCommitRequest.Topic()
        topic.name = name
        topic.partitions = numbers.map { number in
          var partition = OffsetCommitRequest.Partition()
          partition.partitionIndex = number
          partition.committedOffset = offsets[TopicPartition(topic: name, partition: number)]!
          return partition
        }
        return topic
      }
      let response = try await coordinator.send(request)
      for topic in response.topics {
        for each in topic.partitions where each.errorCode != .none {
          if each.errorCode == .unknownMemberID, member == nil {
            throw KafkaClientError(
              .refused, "group '\(group)' has members; its offsets can be set when they have gone", kafkaCode: each.errorCode)
          }
          throw KafkaClientError.refused(
            "group '\(group)', partition \(each.partitionIndex) of '\(topic.name)'", each.errorCode)
        }
      }
    }
  }

  public func deleteGroup(_ group: String) async throws {
    try await withCoordinator(of: group) { coordinator in
      var request = DeleteGroupsRequest()
      request.groupsNames = [group]
      let response = try await coordinator.send(request)
      guard let result = response.results.first else {
        throw KafkaClientError(.malformedResponse, "the broker said nothing about group '\(group)'")
      }
      switch result.errorCode {
      case .none: break
      case .groupIDNotFound:
        throw KafkaClientError(.refused, "group '\(group)' does not exist", kafkaCode: result.errorCode)
      case .nonEmptyGroup:
        throw KafkaClientError(
          .refused, "group '\(group)' has members; it can be deleted when they have gone", kafkaCode: result.errorCode)
      default: throw KafkaClientError.refused("group '\(group)'", result.errorCode)
      }
    }
  }
}

extension ConsumerProtocolAssignment {
  var topicPartitions: [TopicPartition] {
    assignedPartitions.flatMap { each in each.partitions.map { TopicPartition(topic: each.topic, partition: $0) } }.sorted()
  }

  init(_ partitions: [TopicPartition]) {
    self.init()
    assignedPartitions = KafkaClient.byTopic(partitions).map { name, numbers in
      var topic = TopicPartitions()
      topic.topic = name
      topic.partitions = numbers
      return topic
    }
  }
}
