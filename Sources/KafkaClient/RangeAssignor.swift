internal import Model

/// Kafka's `range` assignor: of each topic, every member that subscribes to it gets a run of neighbouring partitions.
enum RangeAssignor {
  static let protocolName = "range"

  /// - Parameters:
  ///   - subscriptions: what each member asked for, by member id.
  ///   - partitionCounts: how many partitions each topic has; topics that are missing here do not exist.
  /// - Returns: every member's partitions in order; members without any are in it with none.
  static func assign(subscriptions: [String: [String]], partitionCounts: [String: Int32]) -> [String: [TopicPartition]] {
    var assignment: [String: [TopicPartition]] = [:]
    var members: [String: [String]] = [:]
    for (member, topics) in subscriptions {
      assignment[member] = []
      for topic in Set(topics) { members[topic, default: []].append(member) }
    }
    for (topic, subscribers) in members.sorted(by: { $0.key < $1.key }) {
      guard let count = partitionCounts[topic].map(Int.init), count > 0 else { continue }
      let ordered = subscribers.sorted()
      let share = count / ordered.count
      let larger = count % ordered.count
      var next = 0
      for (i, member) in ordered.enumerated() {
        let size = share + (i < larger ? 1 : 0)
        for partition in next..<next + size {
          assignment[member]!.append(TopicPartition(topic: topic, partition: Int32(partition)))
        }
        next += size
      }
    }
    return assignment
  }
}
