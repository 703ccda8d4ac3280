public import Metadata
public import Model
import SQLite
import Storage
import Synchronization

/// The cluster as a standby was told of it.
public struct LeaderImage: Sendable {
  public struct Topic: Sendable {
    public var name: String
    public var id: TopicID
    /// By partition number.
    public var leaderEpochs: [LeaderEpoch]
    public var settings: [String: String]

    public init(name: String, id: TopicID, leaderEpochs: [LeaderEpoch], settings: [String: String]) {
      self.name = name
      self.id = id
      self.leaderEpochs = leaderEpochs
      self.settings = settings
    }
  }

  public var leader: NodeID
  public var epoch: LeaderEpoch
  public var kafkaAddress: String
  /// When it took this node in.
  public var registration: Int64
  /// How many changes it has seen, over all lives of the leader.
  public var version: Int64
  /// Those made at run time for every node.
  public var settings: [String: String]
  public var topics: [Topic]

  public init(
    leader: NodeID, epoch: LeaderEpoch, kafkaAddress: String, registration: Int64, version: Int64, settings: [String: String],
    topics: [Topic]
  ) {
    self.registration = registration
    self.leader = leader
    self.epoch = epoch
    self.kafkaAddress = kafkaAddress
    self.version = version
    self.settings = settings
    self.topics = topics
  }
}

extension LocalClusterStore {
  /// The topics that are here and that the leader has no longer.
  ///
  /// - Throws: the leader's image is older than the one that is here: what it does not know may have been lost there.
  public func topicsGone(in leader: LeaderImage) async throws(ClusterError) -> [TopicImage] {
    try await serially { cluster throws(ClusterError) in
      let known = try cluster.transaction { connection throws(SQLiteError) in try PairTable.imageVersion(connection) }
      let ids = Set(leader.topics.map(\.id))
      let gone = cluster.image.topics.values.filter { !ids.contains($0.id) }
      if leader.version < known || (leader.version == known && !gone.isEmpty) {
        throw ClusterError(
          .invalidRequest,
          "the leader's topics are older (\(leader.version)) than those that are here (\(known)): nothing of them is taken over"
        )
      }
      return gone
    }
  }

  /// Takes over the leader's topics and settings, durably; what the leader has no longer is deleted with its files.
  ///
  /// - Precondition: nothing follows the partitions of `topicsGone` any more.
  public func adopt(_ leader: LeaderImage) async throws(ClusterError) {
    try await serially { cluster throws(ClusterError) in
      guard cluster.pair.role == .standby else { throw ClusterError(.invalidRequest, "this node is no standby") }
      var pair = cluster.pair
      (pair.peer, pair.epoch, pair.peerKafkaAddress) = (leader.leader, leader.epoch, leader.kafkaAddress)
      if pair.registration != leader.registration { (pair.registration, pair.wasComplete) = (leader.registration, false) }
      if pair != cluster.pair { try cluster.write(pair) }
      let before = cluster.image
      let ids = Set(leader.topics.map(\.id))
      for topic in before.topics.values where !ids.contains(topic.id) { try cluster.delete(topic) }
      var changes: [ClusterChange] = []
      let created = cluster.now()
      try cluster.transaction { connection throws(SQLiteError) in
        if before.nodeSettings.dynamicDefault != leader.settings {
          try ClusterTables.replaceSettings(.everyNode, "", with: leader.settings, connection)
          changes.append(.dynamicDefaultsReplaced(leader.settings))
        }
        for topic in leader.topics {
          let partitions = topic.leaderEpochs.map { cluster.newPartition(leaderEpoch: $0) }
          guard let known = before.topic(topic.id) else {
            let new = TopicImage(name: topic.name, id: topic.id, partitions: partitions, settings: topic.settings)
            try ClusterTables.insert(new, createdMilliseconds: created, connection)
            changes.append(.topicCreated(new))
            continue
          }
          if known.settings != topic.settings {
            try ClusterTables.replaceSettings(.topic, topic.name, with: topic.settings, connection)
            changes.append(.topicSettingsReplaced(topic.id, topic.settings))
          }
          for (number, partition) in partitions.enumerated().prefix(known.partitions.count)
          where known.partitions[number] != partition {
            try ClusterTables.setLeaderEpoch(partition.leaderEpoch, of: topic.id, Int32(number), connection)
            changes.append(.partitionChanged(topic.id, partition: Int32(number), partition))
          }
          if partitions.count > known.partitions.count {
            let added = Array(partitions[known.partitions.count...])
            try ClusterTables.insert(added, of: topic.id, from: Int32(known.partitions.count), connection)
            changes.append(.partitionsAdded(topic.id, added))
          }
        }
        try PairTable.setImageVersion(leader.version, connection)
      }
      cluster.apply(changes)
      for topic in cluster.image.topics.values where topic.configuration != before.topics[topic.name]?.configuration {
        cluster.store.setConfiguration(topic.configuration, for: topic.name)
      }
    }
  }

  /// The standby has all that its leader has acknowledged: from now on it may be promoted without loss, because nothing more is
  /// acknowledged with acks=all that it does not have.
  public func noteComplete() async throws(ClusterError) {
    try await serially { cluster throws(ClusterError) in
      var pair = cluster.pair
      guard pair.role == .standby, !pair.wasComplete else { return }
      pair.wasComplete = true
      try cluster.write(pair)
    }
  }

  /// Makes durable that this node leads from now on: its epoch of the pair, a leader epoch of each partition that nobody had, and producer
  /// ids that nobody was given. Partitions still follow when it returns.
  ///
  /// - Parameters:
  ///   - epoch: higher than any of the pair.
  ///   - toFence: where the former leader may be, where it has not been told.
  ///   - lastEpochs: those that the logs here have.
  /// - Returns: the leader epoch of each partition.
  public func promote(
    epoch: LeaderEpoch, toFence: HostPort?, lastEpochs: [TopicPartition: LeaderEpoch]
  ) async throws(ClusterError) -> [TopicPartition: LeaderEpoch] {
    try await serially { cluster throws(ClusterError) in
      var pair = cluster.pair
      guard pair.role == .standby, epoch > pair.epoch else {
        throw ClusterError(.invalidRequest, "this node is no standby, or epoch \(epoch) was there already")
      }
      pair.promotedOver = pair.peerAddress
      (pair.role, pair.epoch, pair.toFence) = (.leader, epoch, toFence)
      (pair.peer, pair.peerAddress, pair.peerKafkaAddress, pair.wasComplete) = (nil, nil, "", false)
      pair.sinceMilliseconds = cluster.now()
      var epochs: [TopicPartition: LeaderEpoch] = [:]
      try cluster.transaction { connection throws(SQLiteError) in
        for topic in cluster.image.topics.values {
          for (number, partition) in topic.partitions.enumerated() {
            let name = TopicPartition(topic: topic.name, partition: Int32(number))
            let last = max(partition.leaderEpoch, lastEpochs[name] ?? .zero)
            let next = LeaderEpoch(last.rawValue &+ Self.promotionEpochStep)
            try ClusterTables.setLeaderEpoch(next, of: topic.id, name.partition, connection)
            epochs[name] = next
          }
        }
        for shard in 0..<Limits.coordinatorShardCount {
          let name = CoordinatorTopic.partition(shard)
          epochs[name] = LeaderEpoch((lastEpochs[name] ?? .zero).rawValue &+ Self.promotionEpochStep)
        }
        try connection.execute(
          """
          UPDATE node_state SET next_producer_id = max(next_producer_id, \(Int64(epoch.rawValue) << Self.producerIDBits))
          """)
        try PairTable.write(pair, connection)
      }
      cluster.pairState.withLock { $0 = pair }
      return epochs
    }
  }

  /// Shows the partitions with the epochs that `promote` gave them; this node takes changes from now on.
  public func lead(_ epochs: [TopicPartition: LeaderEpoch]) async throws(ClusterError) {
    try await serially { cluster throws(ClusterError) in
      var changes: [ClusterChange] = []
      for topic in cluster.image.topics.values {
        for number in topic.partitions.indices {
          guard let epoch = epochs[TopicPartition(topic: topic.name, partition: Int32(number))] else { continue }
          changes.append(.partitionChanged(topic.id, partition: Int32(number), cluster.newPartition(leaderEpoch: epoch)))
        }
      }
      cluster.apply(changes)
    }
  }

  /// A leader that ends uncleanly begins an epoch that its standby may not have heard of before it was lost: no leader does so as often.
  private static let promotionEpochStep: Int32 = 1000
  /// Producer ids of each epoch of the pair: what a leader gives out is below those of the next one.
  private static let producerIDBits: Int64 = 40
}
