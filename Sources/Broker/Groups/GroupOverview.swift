public import Coordination
internal import KafkaProtocol
public import Model
internal import NIOCore

/// A consumer group as a person asks about it.
public struct GroupOverview: Sendable {
  public var description: GroupDescription
  public var generationID: Int32
  public var leaderID: String?
  /// What each member reads, in the order of the description's members; nil where the group is not stable or the assignment is of
  /// another protocol than the consumers'.
  public var assignments: [[TopicPartition]?]
  public var offsets: [TopicPartition: CommittedOffset]
}

extension GroupCoordinator {
  /// All groups that this node coordinates, those of a shard at one moment; nil if the coordinator is closed, overrun or still loading. `reply` is
  /// called on a shard's thread, or at once.
  public func overview(reply: @escaping @Sendable ([GroupOverview]?) -> Void) {
    readAll({ groups in
      groups.map { machine in
        let description = machine.description
        return GroupOverview(
          description: description, generationID: machine.generationID, leaderID: machine.leaderID,
          assignments: description.members.map { Self.partitions($0, of: description) }, offsets: machine.offsets)
      }
    }) { found in reply((try? found.get())?.flatMap(\.self)) }
  }

  private static func partitions(_ member: GroupDescription.Member, of group: GroupDescription) -> [TopicPartition]? {
    guard group.state == .stable, group.protocolType == "consumer", !member.assignment.isEmpty,
      let assignment = try? ConsumerProtocolAssignment.decode(ByteBuffer(bytes: member.assignment))
    else { return nil }
    return assignment.assignedPartitions.flatMap { topic in
      topic.partitions.map { TopicPartition(topic: topic.topic, partition: $0) }
    }
  }
}
