public import Metadata
public import Model

extension EtcdClusterStore {
  /// At most this many operations go into one transaction: etcd allows 128.
  static let operationsPerTransaction = 100
  /// How often a change is tried again when another node was faster.
  static let attemptsMax = 20

  @discardableResult
  public func createTopic(
    named name: String, partitionCount: Int32, replicationFactor: Int16?, configuration: [(name: String, value: String?)],
    validateOnly: Bool
  ) async throws(ClusterError) -> TopicImage {
    try await createTopic(
      named: name, partitionCount: partitionCount, configuration: configuration, validateOnly: validateOnly
    ) { count, image throws(ClusterError) in
      try placed(0..<count, replicationFactor ?? plans.defaultReplicationFactor(image), in: image)
    }
  }

  @discardableResult
  public func createTopic(
    named name: String, assignments: [[NodeID]], configuration: [(name: String, value: String?)], validateOnly: Bool
  ) async throws(ClusterError) -> TopicImage {
    try await createTopic(
      named: name, partitionCount: Int32(clamping: assignments.count), configuration: configuration, validateOnly: validateOnly
    ) { _, image throws(ClusterError) in try assigned(assignments, in: image) }
  }

  private func createTopic(
    named name: String, partitionCount: Int32, configuration: [(name: String, value: String?)], validateOnly: Bool,
    placement: (Int, ClusterImage) throws(ClusterError) -> [PartitionImage]
  ) async throws(ClusterError) -> TopicImage {
    let keys = seen()
    let topic = try plans.topic(
      named: name, partitionCount: partitionCount, configuration: configuration, in: keys.image
    ) { count throws(ClusterError) in try placement(count, keys.image) }
    if validateOnly { return topic }
    try await write(topic.partitions, of: topic.id, from: 0, if: [])
    let record = TopicRecord(
      id: topic.id.description, partitions: topic.partitions.count, settings: topic.settings, createdMs: now())
    let revision = try await commit(
      if: [.absent(self.keys.topic(name))], [.put(self.keys.topic(name), recordBytes(record))],
      wasMade: { $0.image.topics[name]?.id == topic.id })
    guard let revision else { throw ClusterError(.topicAlreadyExists, "the topic '\(name)' exists already") }
    try await see(revision)
    return image.topics[name] ?? topic
  }

  /// New partitions, each with its first replica as leader.
  func placed(
    _ numbers: Range<Int>, _ replicationFactor: Int16, in image: ClusterImage
  ) throws(ClusterError) -> [PartitionImage] {
    if replicationFactor < 1 {
      throw ClusterError(.invalidReplicationFactor, "the replication factor must be larger than 0")
    }
    // Who is about to stop gets nothing new, unless there are too few others.
    let staying = image.nodes.values.filter { !$0.isStopping }
    let nodes = staying.count >= Int(replicationFactor) ? staying : Array(image.nodes.values)
    guard Int(replicationFactor) <= nodes.count else {
      throw ClusterError(
        .invalidReplicationFactor,
        "a replication factor of \(replicationFactor) is not possible with \(nodes.count) nodes")
    }
    let placement = ReplicaPlacement(nodes: nodes, random: plans.entropy())
    return numbers.map { number in
      let replicas = placement.replicas(ofPartition: number, replicationFactor: Int(replicationFactor))
      return PartitionImage(leader: replicas[0], leaderEpoch: .zero, replicas: replicas, isr: replicas)
    }
  }

  /// New partitions where somebody wants them, led by the first of their nodes.
  private func assigned(_ assignments: [[NodeID]], in image: ClusterImage) throws(ClusterError) -> [PartitionImage] {
    var partitions: [PartitionImage] = []
    for replicas in assignments {
      guard !replicas.isEmpty, Set(replicas).count == replicas.count else {
        throw ClusterError(.invalidReplicaAssignment, "a partition is assigned to no node, or to one twice")
      }
      if let strange = replicas.first(where: { image.nodes[$0] == nil }) {
        throw ClusterError(.invalidReplicaAssignment, "a partition is assigned to node \(strange), which is unknown")
      }
      partitions.append(PartitionImage(leader: replicas[0], leaderEpoch: .zero, replicas: replicas, isr: replicas))
    }
    return partitions
  }

  /// Writes partitions that nobody sees yet: their topic's key does not count them.
  private func write(
    _ partitions: [PartitionImage], of id: TopicID, from first: Int, if conditions: [EtcdCondition]
  ) async throws(ClusterError) {
    for start in stride(from: 0, to: partitions.count, by: Self.operationsPerTransaction) {
      let operations = (start..<min(start + Self.operationsPerTransaction, partitions.count)).map { index in
        EtcdOperation.put(keys.partition(first + index, of: id), recordBytes(PartitionRecord(partitions[index])))
      }
      let revision = try await commit(if: conditions, operations, wasMade: { _ in false })
      guard revision != nil else { throw ClusterError(.unknownTopicOrPartition, "the topic was changed meanwhile") }
    }
  }

  public func deleteTopic(named name: String) async throws(ClusterError) {
    guard let topic = image.topics[name], !topic.isInternal else {
      throw ClusterError(.unknownTopicOrPartition, "there is no topic '\(name)'")
    }
    try await delete(topic)
  }

  @discardableResult
  public func deleteTopic(id: TopicID) async throws(ClusterError) -> String {
    guard let topic = image.topic(id), !topic.isInternal else {
      throw ClusterError(.unknownTopicID, "there is no topic with id \(id)")
    }
    try await delete(topic)
    return topic.name
  }

  private func delete(_ topic: TopicImage) async throws(ClusterError) {
    try await changing { keys throws(ClusterError) in
      guard keys.image.topics[topic.name]?.id == topic.id else {
        throw ClusterError(.unknownTopicOrPartition, "there is no topic '\(topic.name)'")
      }
      let key = self.keys.topic(topic.name)
      return (
        [.unchanged(key, modRevision: keys.modRevision(of: key))],
        [.delete(key), .deletePrefix(self.keys.partitions(of: topic.id))]
      )
    } wasMade: {
      $0.image.topics[topic.name]?.id != topic.id
    }
  }

  public func createPartitions(
    topic name: String, count: Int32, assignments: [[NodeID]]?, validateOnly: Bool
  ) async throws(ClusterError) {
    let keys = seen()
    let topic = try plans.topic(named: name, growingTo: count, in: keys.image)
    let key = self.keys.topic(name)
    let condition = EtcdCondition.unchanged(key, modRevision: keys.modRevision(of: key))
    let first = topic.partitions.count
    let replicationFactor = Int16(clamping: topic.partitions.first?.replicas.count ?? 1)
    let added: [PartitionImage]
    if let assignments {
      added = try assigned(assignments, in: keys.image)
    } else {
      added = try placed(first..<Int(count), replicationFactor, in: keys.image)
    }
    guard added.count == Int(count) - first else {
      throw ClusterError(
        .invalidReplicaAssignment, "\(Int(count) - first) partitions are to be added, and \(added.count) are assigned")
    }
    if validateOnly { return }
    try await write(added, of: topic.id, from: first, if: [condition])
    guard var record = keys.topicRecord(name) else {
      throw ClusterError(.unknownTopicOrPartition, "there is no topic '\(name)'")
    }
    record.partitions = Int(count)
    let revision = try await commit(
      if: [condition], [.put(key, recordBytes(record))],
      wasMade: { $0.image.topics[name]?.id == topic.id && $0.image.topics[name]?.partitions.count == Int(count) })
    guard let revision else {
      throw ClusterError(.reassignmentInProgress, "the topic '\(name)' was changed meanwhile; try again")
    }
    try await see(revision)
  }

  // MARK: Settings

  public func alter(
    _ resource: ConfigurationResource, validateOnly: Bool, _ alteration: @escaping SettingAlteration
  ) async throws(ClusterError) {
    try await changing { keys throws(ClusterError) in
      let settings = try plans.settings(of: resource, after: alteration, in: keys.image, nodeID: nodeID)
      if validateOnly { return nil }
      let key: String
      let value: [UInt8]
      switch resource {
      case .topic(let name):
        guard var record = keys.topicRecord(name) else {
          throw ClusterError(.unknownTopicOrPartition, "there is no topic '\(name)'")
        }
        record.settings = settings
        (key, value) = (self.keys.topic(name), recordBytes(record))
      case .node(let id): (key, value) = (self.keys.settings(of: id), recordBytes(settings))
      case .everyNode: (key, value) = (self.keys.everyNode, recordBytes(settings))
      }
      return ([.unchanged(key, modRevision: keys.modRevision(of: key))], [.put(key, value)])
    } wasMade: { _ in
      false
    }
  }

  // MARK: Compare and swap

  /// Makes a change that is computed from the image, again from a newer one when another node was faster.
  ///
  /// - Parameter change: the transaction; nil when there is nothing to do.
  func changing(
    _ change: (EtcdImage) throws(ClusterError) -> ([EtcdCondition], [EtcdOperation])?,
    wasMade: (EtcdImage) -> Bool
  ) async throws(ClusterError) {
    for _ in 0..<Self.attemptsMax {
      guard let (conditions, operations) = try change(seen()) else { return }
      if let revision = try await commit(if: conditions, operations, wasMade: wasMade) { return try await see(revision) }
      // Whoever was faster is on the way to us.
      try? await Task.sleep(nanoseconds: 20_000_000)
    }
    throw ClusterError(.requestTimedOut, "the cluster is being changed by others all the time; try again")
  }

  /// One transaction.
  ///
  /// - Parameter wasMade: whether an image shows that the change was made: asked when etcd did not say.
  /// - Returns: its revision; nil if a condition does not hold.
  func commit(
    if conditions: [EtcdCondition], _ operations: [EtcdOperation], wasMade: (EtcdImage) -> Bool
  ) async throws(ClusterError) -> Int64? {
    do throws(EtcdError) {
      return try await client.transaction(if: conditions, operations)
    } catch .outcomeUnknown(let why) {
      // A read that comes back has seen everything that was made before.
      if let (_, revision) = try? await client.entries(withPrefix: keys.cluster) {
        await hasSeen(revision)
        if wasMade(seen()) { return revision }
      }
      throw ClusterError(.requestTimedOut, "etcd did not say whether the change was made: \(why)")
    } catch { throw ClusterError(.brokerNotAvailable, error.description) }
  }

  func see(_ revision: Int64) async throws(ClusterError) {
    guard await hasSeen(revision) else {
      throw ClusterError(.requestTimedOut, "the change was made, but this node has not heard of it yet")
    }
  }
}
