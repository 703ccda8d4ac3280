public import Coordination
internal import Model
internal import SQLite
internal import Synchronization

extension LogStore {
  /// This node, which is alone, leads every shard of the coordinator; those that are missing are begun empty, durable on return. Blocks.
  ///
  /// - Throws: a shard cannot be read; some may be led.
  public func leadCoordinator(shardCount: Int) throws(StorageError) {
    for shard in 0..<shardCount {
      let name = CoordinatorTopic.partition(shard)
      let directory = shared.directory(of: name)
      if let known = attached(name) {
        guard known.isReplica || known.topicID != CoordinatorTopic.id else { continue }
        throw .occupied(
          directory,
          """
          cannot be begun: there is a topic named \(CoordinatorTopic.name), which is where the consumer groups are kept. \
          Start the release that made the topic, copy what is wanted of it to another one, delete it, and start this one again
          """)
      }
      if case .topic = PartitionOwner(of: directory) {
      } else if try FileSystem.list(directory).compactMap({ SegmentName(fileName: $0) }).isEmpty {
        try createShard(shard)
      }
      try attachPartition(
        name, topicID: CoordinatorTopic.id, leaderEpoch: try nextEpoch(of: directory), configuration: TopicConfiguration())
      try attached(name)?.loadNow()
    }
  }

  /// Begins a shard empty, durably.
  func createShard(_ shard: Int) throws(StorageError) {
    let directory = shared.directory(of: CoordinatorTopic.partition(shard))
    try FileSystem.makeDirectory(directory)
    try SegmentBuilder.build(
      CoordinatorFiles.emptyState(of: shard, topicID: CoordinatorTopic.id), in: directory, pageSize: CoordinatorFiles.pageSize,
      now: shared.now())
  }

  /// The epoch to go on with: a new one where the last end was not in order.
  private func nextEpoch(of directory: String) throws(StorageError) -> LeaderEpoch {
    guard let known = try OfflinePartition.open(directory) else { return .zero }
    let last = known.state.epochs.last?.epoch ?? 0
    return LeaderEpoch(closedCleanly ? last : last + 1)
  }

  /// The groups in the shards that this node has a copy of and does not lead, as far as they have come here. Blocks.
  public func followedGroups(shardCount: Int) throws(StorageError) -> [StoredGroup] {
    var groups: [StoredGroup] = []
    for shard in 0..<shardCount {
      guard let log = attached(CoordinatorTopic.partition(shard)), log.isReplica else { continue }
      guard let file = log.shared.withLock({ $0.segments.last }) else { continue }
      groups += try shared.readers.withConnection(to: file) { connection throws(StorageError) in
        try storage { () throws(SQLiteError) in try CoordinatorTables.load(connection.connection) }
      }
    }
    return groups
  }

  /// What a shard's tables hold. Blocks.
  func groups(in log: PartitionLog) throws(StorageError) -> [StoredGroup] {
    try log.loadNow()
    guard let file = log.shared.withLock({ $0.segments.last }) else { throw .closed }
    return try shared.readers.withConnection(to: file) { connection throws(StorageError) in
      try storage { () throws(SQLiteError) in try CoordinatorTables.load(connection.connection) }
    }
  }
}
