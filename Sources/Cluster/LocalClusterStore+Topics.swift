public import Metadata
public import Model
import SQLite
import Storage

extension LocalClusterStore {
  /// Creates a topic.
  ///
  /// Order: note the partitions in `unfinished_partition`; create their files, durably; commit the topic and drop the notes; make it
  /// visible. A crash before the last commit leaves notes, and the next start removes the files: the topic never was.
  ///
  /// - Parameters:
  ///   - replicationFactor: 1; nil for the node's default, which has to be 1.
  ///   - configuration: the topic's own settings; a value of nil is refused.
  ///   - validateOnly: only says what would happen.
  /// - Returns: the topic as it is (or would be) in the image.
  @discardableResult
  public func createTopic(
    named name: String, partitionCount: Int32, replicationFactor: Int16?, configuration: [(name: String, value: String?)],
    validateOnly: Bool
  ) async throws(ClusterError) -> TopicImage {
    try await serially { cluster throws(ClusterError) in
      try cluster.checkLeads()
      let replicationFactor = replicationFactor ?? cluster.plans.defaultReplicationFactor(cluster.image)
      if replicationFactor < 1 {
        throw ClusterError(.invalidReplicationFactor, "the replication factor must be larger than 0")
      }
      if replicationFactor > 1 {
        throw ClusterError(
          .invalidReplicationFactor, "a replication factor of \(replicationFactor) is not possible with 1 node")
      }
      let topic = try cluster.plans.topic(
        named: name, partitionCount: partitionCount, configuration: configuration, in: cluster.image
      ) { count throws(ClusterError) in Array(repeating: cluster.newPartition(leaderEpoch: .zero), count: count) }
      if validateOnly { return topic }
      // A topic of this name whose files could not be removed when it was deleted: they have to go first.
      try cluster.removeUnfinished { $0.topic == name }
      try cluster.createFiles(of: topic, partitions: 0..<partitionCount)
      do throws(ClusterError) {
        let created = cluster.now()
        try cluster.transaction { connection throws(SQLiteError) in
          try ClusterTables.insert(topic, createdMilliseconds: created, connection)
          try ClusterTables.endFiles(of: topic.id, partitions: 0..<partitionCount, connection)
        }
      } catch {
        try cluster.removeUnfinished { $0.topic == name }
        throw error
      }
      cluster.apply(.topicCreated(topic))
      return cluster.image.topics[name] ?? topic
    }
  }

  @discardableResult
  public func createTopic(
    named name: String, assignments: [[NodeID]], configuration: [(name: String, value: String?)], validateOnly: Bool
  ) async throws(ClusterError) -> TopicImage {
    try check(assignments)
    return try await createTopic(
      named: name, partitionCount: Int32(clamping: assignments.count), replicationFactor: 1, configuration: configuration,
      validateOnly: validateOnly)
  }

  private func check(_ assignments: [[NodeID]]) throws(ClusterError) {
    if assignments.contains(where: { $0 != [nodeID] }) {
      throw ClusterError(.invalidReplicaAssignment, "there is node \(nodeID) alone to keep partitions")
    }
  }

  /// Creates the files of new partitions after noting them; what cannot be created whole is removed again.
  private func createFiles(of topic: TopicImage, partitions: Range<Int32>) throws(ClusterError) {
    try transaction { connection throws(SQLiteError) in
      try ClusterTables.beginFiles(of: topic.name, id: topic.id, partitions: partitions, connection)
    }
    do throws(StorageError) {
      try store.createPartitions(
        of: topic.name, partitions, topicID: topic.id, leaderEpoch: .zero, configuration: topic.configuration)
      for number in partitions where replicas != nil {
        try store.setReplicas(of: TopicPartition(topic: topic.name, partition: number), topicID: topic.id, replicas)
      }
    } catch {
      let failure = ClusterError(.kafkaStorageError, "the files of topic '\(topic.name)' cannot be created: \(error)")
      try removeUnfinished { $0.topic == topic.name }
      throw failure
    }
  }

  /// Deletes a topic.
  ///
  /// Order: commit that it is gone, noting its partitions; make that visible; remove the files; drop the notes. A crash in between
  /// leaves notes, and the next start removes the files.
  ///
  /// - Throws: `unknownTopicOrPartition`; an error that says so when the topic is gone but its files are still there.
  public func deleteTopic(named name: String) async throws(ClusterError) {
    try await serially { cluster throws(ClusterError) in
      try cluster.checkLeads()
      guard let topic = cluster.image.topics[name] else {
        throw ClusterError(.unknownTopicOrPartition, "there is no topic '\(name)'")
      }
      try cluster.delete(topic)
    }
  }

  /// Deletes the topic with this id, as above; `unknownTopicID` when there is none.
  ///
  /// - Returns: the name it had.
  @discardableResult
  public func deleteTopic(id: TopicID) async throws(ClusterError) -> String {
    try await serially { cluster throws(ClusterError) in
      try cluster.checkLeads()
      guard let topic = cluster.image.topic(id) else { throw ClusterError(.unknownTopicID, "there is no topic with id \(id)") }
      try cluster.delete(topic)
      return topic.name
    }
  }

  func delete(_ topic: TopicImage) throws(ClusterError) {
    let partitions = 0..<Int32(topic.partitions.count)
    try transaction { connection throws(SQLiteError) in
      try ClusterTables.beginFiles(of: topic.name, id: topic.id, partitions: partitions, connection)
      try ClusterTables.delete(topic, connection)
    }
    apply(.topicDeleted(topic.id))
    try removeUnfinished { $0.topic == topic.name }
  }

  /// Adds partitions to a topic, in the order of `createTopic`.
  ///
  /// - Parameter count: how many there shall be in all.
  public func createPartitions(
    topic name: String, count: Int32, assignments: [[NodeID]]?, validateOnly: Bool
  ) async throws(ClusterError) {
    if let assignments { try check(assignments) }
    try await serially { cluster throws(ClusterError) in
      try cluster.checkLeads()
      let topic = try cluster.plans.topic(named: name, growingTo: count, in: cluster.image)
      if validateOnly { return }
      let existing = Int32(topic.partitions.count)
      try cluster.createFiles(of: topic, partitions: existing..<count)
      let added = Array(repeating: cluster.newPartition(leaderEpoch: .zero), count: Int(count - existing))
      do throws(ClusterError) {
        try cluster.transaction { connection throws(SQLiteError) in
          try ClusterTables.insert(added, of: topic.id, from: existing, connection)
          try ClusterTables.endFiles(of: topic.id, partitions: existing..<count, connection)
        }
      } catch {
        try cluster.removeUnfinished { $0.topic == name }
        throw error
      }
      cluster.apply(.partitionsAdded(topic.id, added))
    }
  }

  /// Compare-and-swap of partitions. Of a node that is alone there is only the leader epoch to change.
  public func changePartitions(_ changes: [PartitionChange]) async throws(ClusterError) -> [Bool] {
    try await serially { cluster throws(ClusterError) in
      try cluster.checkLeads()
      let image = cluster.image
      let isMade = changes.map { change in
        image.topic(change.topicID)?.partition(change.partition) == change.expected
          && change.next == cluster.newPartition(leaderEpoch: change.next.leaderEpoch)
          && change.next.leaderEpoch >= change.expected.leaderEpoch
      }
      let made = zip(changes, isMade).filter(\.1).map(\.0)
      try cluster.transaction { connection throws(SQLiteError) in
        for change in made {
          try ClusterTables.setLeaderEpoch(change.next.leaderEpoch, of: change.topicID, change.partition, connection)
        }
      }
      for change in made { cluster.apply(.partitionChanged(change.topicID, partition: change.partition, change.next)) }
      return isMade
    }
  }

  public func takeProducerIDs(count: Int64) async throws(ClusterError) -> Range<Int64> {
    precondition(count > 0, "no producer ids asked for")
    return try await serially { cluster throws(ClusterError) in
      // A producer that is told to come back finds the leader by then.
      if cluster.pair.role != .leader { throw ClusterError(.coordinatorNotAvailable, "this node does not lead") }
      do throws(StorageError) {
        return try cluster.store.node.takeProducerIDs(count: count)
      } catch { throw ClusterError(.coordinatorNotAvailable, "no producer ids: \(error)") }
    }
  }
}
