import Cluster
import Logging
import Metadata
import Model
import NIOPosix
import Shipping
import Storage
import Synchronization

/// Makes the partitions of this node what the cluster's image wants them to be, one change of a partition after the other, many partitions
/// beside each other; what changed meanwhile is passed over.
///
/// While the cluster's store is away the image stays, and so do the roles.
final class RoleKeeper: Sendable {
  struct Dependencies: Sendable {
    var node: NodeID
    var store: LogStore
    var cluster: any ClusterStore
    /// The image's, or an older one.
    var revision: @Sendable () -> Int64
    var links: PeerLinks
    /// Called with a shard of the coordinator when this node has begun to lead its log, and before it ends.
    var coordinator: @Sendable (_ shard: Int, _ leads: Bool) -> Void
    /// Called with the names of topics that are gone.
    var topicsDeleted: @Sendable (Set<String>) -> Void
    var logger: Logger
  }

  private struct State {
    var wanted: [TopicPartition: PartitionDuty] = [:]
    var applied: [TopicPartition: PartitionDuty] = [:]
    /// Partitions that a task is at.
    var busy: Set<TopicPartition> = []
    /// Partitions whose duty is to be carried out anew, though it has not changed.
    var stale: Set<TopicPartition> = []
    var configurations: [String: TopicConfiguration] = [:]
    var partitionCounts: [String: Int] = [:]
    /// Topics that the image had, by id.
    var topics: [TopicID: String] = [:]
    var peers: [NodeID: HostPort] = [:]
    var alive: Set<NodeID>?
    var isStopping = false
    var tasks: [Task<Void, Never>] = []
  }

  private let state = Mutex(State())
  let dependencies: Dependencies
  private let steps: RoleSteps
  private let notes: PartitionNotes
  private let earlierEpochs: EarlierEpochs
  private let urgent = NIOThreadPool(numberOfThreads: 2)
  private let threads = NIOThreadPool(numberOfThreads: 4)
  private let imageChanges: (stream: AsyncStream<Void>, continuation: AsyncStream<Void>.Continuation)
  /// Set once, by `start`.
  private let wishes = Mutex<LeaderWishes?>(nil)

  init(_ dependencies: Dependencies) {
    self.dependencies = dependencies
    notes = PartitionNotes(KeptPartitions(dependencies.store.node), on: threads)
    steps = RoleSteps(dependencies: dependencies, notes: notes, urgent: urgent, threads: threads)
    earlierEpochs = EarlierEpochs(
      node: dependencies.node, cluster: dependencies.cluster, logger: dependencies.logger)
    imageChanges = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
  }

  /// Begins. Nothing is led in an epoch that an earlier life of this node may have led. Blocks for as long as the node database takes.
  func start() throws(ClusterError) {
    try findLeftovers()
    urgent.start()
    threads.start()
    earlierEpochs.begin()
    let wishes = LeaderWishes(node: dependencies.node, cluster: dependencies.cluster, logger: dependencies.logger) {
      [weak self] in self?.renew($0)
    }
    self.wishes.withLock { $0 = wishes }
    dependencies.store.setProposalObserver { [weak wishes] in wishes?.take($0) }
    dependencies.store.setDamageObserver { [weak wishes] in wishes?.take($0) }
    dependencies.cluster.observe { [weak self] in self?.imageChanges.continuation.yield() }
    let images = Task { [weak self, stream = imageChanges.stream] in
      for await _ in stream { await self?.look() }
    }
    let proposals = Task { await wishes.run() }
    let renewal = Task { [earlierEpochs, imageChanges] () -> Void in
      await earlierEpochs.renew()
      imageChanges.continuation.yield()
    }
    state.withLock { $0.tasks = [images, proposals, renewal] }
  }

  /// Takes no further changes, and ends what is followed. What is led stays so until the store closes.
  func stop() async {
    let tasks = state.withLock { state in
      state.isStopping = true
      return state.tasks
    }
    imageChanges.continuation.finish()
    wishes.withLock { $0 }?.finish()
    for task in tasks { task.cancel() }
    for task in tasks { await task.value }
    // A change that is under way ends; it is not followed by another.
    while state.withLock({ !$0.busy.isEmpty }) { try? await Task.sleep(nanoseconds: 2_000_000) }
    await dependencies.links.stop()
    try? await urgent.shutdownGracefully()
    try? await threads.shutdownGracefully()
  }

  var isStopping: Bool { state.withLock { $0.isStopping } }

  /// Whether every partition is what the image wants it to be.
  var isSettled: Bool {
    earlierEpochs.floors.isEmpty && state.withLock { $0.busy.isEmpty && $0.wanted == $0.applied }
  }

  /// Finds what an earlier life kept and the cluster wants elsewhere, or nowhere: it goes, unless the image is older than the one that wanted it
  /// here, as that of an etcd that was set back is.
  private func findLeftovers() throws(ClusterError) {
    let (kept, revision) = try notes.load()
    let image = dependencies.cluster.image
    let unwanted = kept.filter { partition in
      image.topic(partition.topicID)?.partition(partition.name.partition)?.replicas.contains(dependencies.node) != true
    }
    if unwanted.isEmpty { return }
    guard dependencies.revision() >= revision else {
      dependencies.logger.error(
        "etcd has an older state of the cluster than this node has seen: partitions that it does not have are left alone",
        metadata: ["partitions": "\(unwanted.count)"])
      return
    }
    state.withLock { state in
      for partition in unwanted {
        state.applied[partition.name] = PartitionDuty(topicID: partition.topicID, role: .follow(nil))
      }
    }
  }

  // MARK: The image

  /// Compares what the image wants with what there is.
  private func look() async {
    // First: the image is this one or a newer one, and the floors are not those of a newer one, which forgets what its epochs are past.
    let revision = dependencies.revision()
    let floors = earlierEpochs.floors
    let (node, image) = (dependencies.node, dependencies.cluster.image)
    let roles = state.withLock { state in
      for known in image.nodes.values { state.peers[known.id] = known.peer ?? state.peers[known.id] }
      return PartitionRoles(of: node, in: image, peers: state.peers, epochFloors: floors)
    }
    do throws(ClusterError) { try await notes.note(roles.duties, revision) } catch {
      dependencies.logger.error("the roles of this node cannot be noted", metadata: ["error": "\(error)"])
      try? await Task.sleep(nanoseconds: RoleDelay.range.upperBound)
      imageChanges.continuation.yield()
      return
    }
    let changes = state.withLock { state -> Changes in
      state.wanted = roles.duties
      let due = Set(state.wanted.keys).union(state.applied.keys).filter { isDue($0, state) && state.busy.insert($0).inserted }
      let configured = image.topics.values.filter {
        state.configurations[$0.name] != $0.configuration || state.partitionCounts[$0.name] != $0.partitions.count
      }
      for topic in configured {
        (state.configurations[topic.name], state.partitionCounts[topic.name]) = (topic.configuration, topic.partitions.count)
      }
      let gone = state.topics.filter { image.topic($0.key) == nil }
      state.topics = Dictionary(uniqueKeysWithValues: image.topics.values.map { ($0.id, $0.name) })
      for name in Set(gone.values) where image.topics[name] == nil {
        (state.configurations[name], state.partitionCounts[name]) = (nil, nil)
      }
      return Changes(
        due: due.sorted(), configured: configured, gone: Set(gone.values).subtracting(image.topics.keys),
        sessions: sessions(of: image, roles, &state))
    }
    dependencies.store.setOutOfSync(roles.outOfSync)
    for topic in changes.configured { dependencies.store.setConfiguration(topic.configuration, for: topic.name) }
    await notes.note(changes.configured)
    for session in changes.sessions { dependencies.store.noteSession(of: session.node, isAlive: session.isAlive) }
    for partition in changes.due { Task { await settle(partition) } }
    if !changes.gone.isEmpty { dependencies.topicsDeleted(changes.gone) }
  }

  /// What a look at the image finds.
  private struct Changes {
    var due: [TopicPartition]
    var configured: [TopicImage]
    /// Names of topics that are not there any more.
    var gone: Set<String>
    var sessions: [(node: NodeID, isAlive: Bool)]
  }

  private func isDue(_ partition: TopicPartition, _ state: State) -> Bool {
    state.stale.contains(partition) || state.wanted[partition] != state.applied[partition]
  }

  /// Nodes whose session began or ended since the last look.
  private func sessions(
    of image: ClusterImage, _ roles: PartitionRoles, _ state: inout State
  ) -> [(node: NodeID, isAlive: Bool)] {
    let alive = Set(image.nodes.keys)
    defer { state.alive = alive }
    guard let before = state.alive else {
      return alive.union(roles.others).map { (node: $0, isAlive: alive.contains($0)) }
    }
    // Who is new in a replica set and was never there is told as gone, too.
    let absent = roles.others.subtracting(alive)
    return alive.subtracting(before).map { (node: $0, isAlive: true) }
      + absent.union(before.subtracting(alive)).map { (node: $0, isAlive: false) }
  }

  // MARK: One partition

  /// Takes a partition from what it is to what it should be, until that is the same.
  private func settle(_ partition: TopicPartition) async {
    var delay = RoleDelay()
    var complaint: String?
    while true {
      let step: (was: PartitionDuty?, wanted: PartitionDuty?, configuration: TopicConfiguration)? = state.withLock { state in
        guard !state.isStopping, isDue(partition, state) else {
          state.busy.remove(partition)
          return nil
        }
        state.stale.remove(partition)
        let configuration = state.configurations[partition.topic] ?? TopicConfiguration()
        return (state.applied[partition], state.wanted[partition], configuration)
      }
      guard let step else { return }
      do throws(StorageError) {
        try await steps.change(partition, from: step.was, to: step.wanted, step.configuration) { reached in
          state.withLock { $0.applied[partition] = reached }
        }
        state.withLock { $0.applied[partition] = step.wanted }
        delay.reset()
      } catch {
        if case .closed = error {
          _ = state.withLock { $0.busy.remove(partition) }
          return
        }
        if let wanted = step.wanted, let epoch = wanted.leadsIn {
          let wishes = wishes.withLock { $0 }
          if case .refused(.fencedLeaderEpoch) = error {
            await wishes?.goOn(partition, wanted.topicID, behind: epoch)
          } else {
            // A log that this node cannot lead has to be led by another replica.
            await wishes?.giveUp(partition, wanted.topicID, in: epoch)
          }
        }
        if complaint != "\(error)" {
          complaint = "\(error)"
          dependencies.logger.error(
            "a partition cannot take its role", metadata: ["partition": "\(partition)", "error": "\(error)"])
        }
        await delay.wait()
      }
    }
  }

  /// Carries the duty of a partition out once more.
  private func renew(_ partition: TopicPartition) {
    let isFree = state.withLock { state in
      state.stale.insert(partition)
      return !state.isStopping && state.busy.insert(partition).inserted
    }
    if isFree { Task { await settle(partition) } }
  }
}
