internal import Metadata
internal import Model

extension EtcdClusterStore {
  /// Creates the topic of the coordinators where there is none, and gives it more replicas when there are more nodes than when it was created.
  func keepCoordinatorTopic() async throws(ClusterError) {
    let image = image
    let nodes = image.nodes.values.filter { !$0.isStopping }
    let factor = min(Int(image.nodeSettings.number("offsets.topic.replication.factor")), nodes.count)
    if factor == 0 { return }
    guard let topic = image.topics[CoordinatorTopic.name] else { return try await createCoordinatorTopic(Int16(factor)) }
    var load = Dictionary(uniqueKeysWithValues: nodes.map { ($0.id, 0) })
    for partition in topic.partitions { for node in partition.replicas { load[node]? += 1 } }
    var changes: [PartitionChange] = []
    for (number, partition) in topic.partitions.enumerated()
    where !partition.isBeingReassigned && partition.replicas.count < factor {
      let free = load.keys.filter { !partition.replicas.contains($0) }
      guard let node = free.min(by: { (load[$0]!, $0) < (load[$1]!, $1) }) else { continue }
      load[node]! += 1
      var next = partition
      next.replicas.append(node)
      next.addingReplicas = [node]
      changes.append(PartitionChange(topicID: topic.id, partition: Int32(number), expected: partition, next: next))
    }
    if !changes.isEmpty { _ = try await changePartitions(changes) }
  }

  private func createCoordinatorTopic(_ factor: Int16) async throws(ClusterError) {
    let keys = seen()
    let partitions = try placed(0..<Limits.coordinatorShardCount, factor, in: keys.image)
    let key = self.keys.topic(CoordinatorTopic.name)
    let record = TopicRecord(
      id: CoordinatorTopic.id.description, partitions: partitions.count, settings: [:], createdMs: now())
    // Its id is always the same, so that all of it has to come at once.
    var operations = partitions.enumerated().map { number, partition in
      EtcdOperation.put(self.keys.partition(number, of: CoordinatorTopic.id), recordBytes(PartitionRecord(partition)))
    }
    operations.append(.put(key, recordBytes(record)))
    let revision = try await commit(
      if: [.absent(key)], operations, wasMade: { $0.image.topics[CoordinatorTopic.name] != nil })
    if let revision { try await see(revision) }
  }
}
