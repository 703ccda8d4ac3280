import Cluster
import Logging
import Metadata
import Model
import NIOCore
import NIOPosix
import Shipping
import Storage
import Synchronization

/// What a standby does: it has its leader's topics, and follows every partition.
final class Following: Sendable {
  private struct State {
    var followers: [TopicPartition: FollowerPartition] = [:]
    /// The leader's topics were taken over since it was connected last.
    var hasImage = false
    var isStopping = false
    var tasks: [Task<Void, Never>] = []
  }

  private let cluster: LocalClusterStore
  private let store: LogStore
  private let client: PeerClient
  private let logger: Logger
  private let events: AsyncStream<PeerEvent>
  private let threads = NIOThreadPool(numberOfThreads: 2)
  private let state = Mutex(State())

  /// Between two looks whether the standby has everything.
  private static let lookInterval = Duration.milliseconds(500)

  /// Opens every partition as a replica, which readers have from then on, and begins to connect. Blocks.
  init(
    _ configuration: PeerClient.Configuration, identity: PeerIdentity, store: LogStore, cluster: LocalClusterStore,
    on group: any EventLoopGroup, logger: Logger
  ) {
    self.store = store
    self.cluster = cluster
    self.logger = logger
    let (stream, continuation) = AsyncStream.makeStream(of: PeerEvent.self)
    events = stream
    client = PeerClient.start(configuration, identity: identity, on: group, logger: logger) { continuation.yield($0) }
    threads.start()
    followAll()
  }

  func start() {
    let listening = Task { [weak self, events] () -> Void in
      for await event in events { await self?.take(event) }
    }
    let looking = Task { [weak self] () -> Void in
      while !Task.isCancelled {
        try? await Task.sleep(for: Self.lookInterval)
        await self?.lookWhetherComplete()
      }
    }
    state.withLock { $0.tasks = [listening, looking] }
  }

  /// Ends the connection; everything that came is durable when it returns, and can be read on.
  func stop() async {
    let tasks = state.withLock { state in
      state.isStopping = true
      return state.tasks
    }
    for task in tasks { task.cancel() }
    for task in tasks { await task.value }
    await client.stop()
    try? await threads.shutdownGracefully()
  }

  var status: LeaderStatus { client.status }
  var followers: [TopicPartition: FollowerPartition] { state.withLock { $0.followers } }

  private func take(_ event: PeerEvent) async {
    switch event {
    case .connected(let leader):
      state.withLock { $0.hasImage = false }
      logger.notice("following the leader", metadata: ["node": "\(leader.node)"])
    case .disconnected(let reason): logger.notice("the leader is gone", metadata: ["reason": "\(reason)"])
    case .refused(let reason): logger.warning("the leader is not followed", metadata: ["reason": "\(reason)"])
    case .cluster(let shipped):
      let image = LeaderImage(shipped)
      do throws(ClusterError) {
        let gone = try await cluster.topicsGone(in: image)
        for topic in gone { await unfollow(topic) }
        try await cluster.adopt(image)
        try? await threads.runIfActive { self.followAll() }
        state.withLock { $0.hasImage = true }
      } catch {
        logger.error("the leader's topics are not taken over", metadata: ["reason": "\(error)"])
      }
    }
  }

  private func unfollow(_ topic: TopicImage) async {
    for number in topic.partitions.indices {
      let partition = TopicPartition(topic: topic.name, partition: Int32(number))
      guard state.withLock({ $0.followers.removeValue(forKey: partition) }) != nil else { continue }
      await client.unfollow(partition)
    }
  }

  /// Follows every partition of the image that is not followed yet. Blocks.
  private func followAll() {
    // Until it once had all that the leader acknowledged, that one's records count and not what this node had before.
    store.setOutOfSync(cluster.pair.wasComplete ? [] : nil)
    for shard in 0..<Limits.coordinatorShardCount {
      follow(CoordinatorTopic.partition(shard), CoordinatorTopic.id, TopicConfiguration())
    }
    for topic in cluster.image.topics.values {
      for number in topic.partitions.indices {
        follow(TopicPartition(topic: topic.name, partition: Int32(number)), topic.id, topic.configuration)
      }
    }
  }

  private func follow(_ partition: TopicPartition, _ topicID: TopicID, _ configuration: TopicConfiguration) {
    guard state.withLock({ $0.followers[partition] == nil && !$0.isStopping }) else { return }
    do throws(StorageError) {
      let follower = try store.openReplica(of: partition, topicID: topicID, configuration: configuration)
      state.withLock { $0.followers[partition] = follower }
      client.follow(partition, topicID: topicID, into: FollowedLog(follower))
    } catch {
      logger.error("a partition cannot be followed", metadata: ["partition": "\(partition)", "error": "\(error)"])
    }
  }

  /// How far the leader is ahead of what is durable here, in all partitions together; nil while that is not known.
  var lag: ReplicaLag? {
    let status = client.status
    guard case .connected = status.state, status.partitions.allSatisfy({ $0.state == .streaming }) else { return nil }
    return status.partitions.reduce(into: ReplicaLag.none) { sum, partition in
      sum.commits += partition.lag.commits
      sum.bytes += partition.lag.bytes
      sum.milliseconds = max(sum.milliseconds, partition.lag.milliseconds)
    }
  }

  /// Partitions that lack segments at this moment, which only the leader has.
  var incompletePartitions: [TopicPartition] { followers.filter { !$0.value.isComplete }.keys.sorted() }

  private func lookWhetherComplete() async {
    guard !cluster.pair.wasComplete, isComplete else { return }
    do throws(ClusterError) {
      try await cluster.noteComplete()
      store.setOutOfSync([])
      logger.notice("this standby has all that its leader has acknowledged: it may be promoted from now on")
    } catch { logger.error("that the standby is complete could not be written down", metadata: ["error": "\(error)"]) }
  }

  /// Every partition has what is below the leader's high watermark, its sealed files included: it was told when the partition was followed,
  /// and what was acknowledged with acks=all since then is here.
  private var isComplete: Bool {
    let (followers, hasImage) = state.withLock { ($0.followers, $0.hasImage) }
    let status = client.status
    guard hasImage, case .connected = status.state,
      followers.count == cluster.image.partitionCount + Limits.coordinatorShardCount
    else { return false }
    let partitions = Dictionary(uniqueKeysWithValues: status.partitions.map { ($0.partition, $0) })
    return followers.allSatisfy { name, follower in
      guard let partition = partitions[name], partition.durable != nil, partition.state == .streaming else { return false }
      let end = follower.log.offsets?.logEndOffset ?? .zero
      return end >= partition.highWatermark ?? .zero && follower.isComplete
    }
  }
}

extension LeaderImage {
  init(_ shipped: ShippedCluster) {
    self.init(
      leader: shipped.identity.node, epoch: shipped.identity.leaderEpoch, kafkaAddress: shipped.kafkaAddress,
      registration: shipped.registration, version: shipped.version, settings: shipped.settings,
      topics: shipped.topics.values.map {
        Topic(name: $0.name, id: $0.id, leaderEpochs: $0.leaderEpochs, settings: $0.settings)
      })
  }
}

extension ShippedCluster {
  init(
    _ image: ClusterImage, version: Int64, identity: PeerIdentity, kafkaAddress: HostPort, registration: Int64
  ) {
    let topics = image.topics.values.map { topic in
      (
        topic.id,
        ShippedTopic(
          name: topic.name, id: topic.id, leaderEpochs: topic.partitions.map(\.leaderEpoch), settings: topic.settings)
      )
    }
    self.init(
      identity: identity, version: version, kafkaAddress: "\(kafkaAddress)", registration: registration,
      settings: image.nodeSettings.dynamicDefault,
      topics: Dictionary(uniqueKeysWithValues: topics))
  }
}
