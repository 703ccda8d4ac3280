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
    /// What the node database says is here.
    var kept: Set<KeptPartition> = []
    /// Partitions that a task is at.
    var busy: Set<TopicPartition> = []
    /// Partitions whose duty is to be carried out anew, though it has not changed.
    var stale: Set<TopicPartition> = []
    var configurations: [String: TopicConfiguration] = [:]
    /// Topics that the image had, by id.
    var topics: [TopicID: String] = [:]
    var peers: [NodeID: HostPort] = [:]
    var alive: Set<NodeID>?
    var epochFloors: [PartitionIdentity: LeaderEpoch] = [:]
    var proposals: [TopicPartition: IsrProposal] = [:]
    var isStopping = false
    var tasks: [Task<Void, Never>] = []
  }

  private let state = Mutex(State())
  let dependencies: Dependencies
  private let notes: KeptPartitions
  /// Whatever ends a leadership goes before everything else.
  private let urgent = NIOThreadPool(numberOfThreads: 2)
  private let threads = NIOThreadPool(numberOfThreads: 4)
  private let imageChanges: (stream: AsyncStream<Void>, continuation: AsyncStream<Void>.Continuation)
  private let proposalsArrived: (stream: AsyncStream<Void>, continuation: AsyncStream<Void>.Continuation)

  private static let retryAfter: ClosedRange<UInt64> = 200_000_000...5_000_000_000

  init(_ dependencies: Dependencies) {
    self.dependencies = dependencies
    notes = KeptPartitions(dependencies.store.node)
    imageChanges = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    proposalsArrived = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
  }

  /// Begins. Nothing is led in an epoch that an earlier life of this node may have led. Blocks for as long as the node database takes.
  func start() throws(ClusterError) {
    try readNotes()
    urgent.start()
    threads.start()
    state.withLock { $0.epochFloors = Self.epochFloors(of: dependencies.node, in: dependencies.cluster.image) }
    dependencies.store.setProposalObserver { [weak self] in self?.take($0) }
    dependencies.store.setDamageObserver { [weak self] in self?.handOver($0) }
    dependencies.cluster.observe { [weak self] in self?.imageChanges.continuation.yield() }
    let images = Task { [weak self, stream = imageChanges.stream] in
      for await _ in stream { await self?.look() }
    }
    let proposals = Task { [weak self, stream = proposalsArrived.stream] in
      for await _ in stream { await self?.propose() }
    }
    let renewal = Task { [weak self] () -> Void in await self?.renewEpochs() }
    state.withLock { $0.tasks = [images, proposals, renewal] }
  }

  /// Takes no further changes, and ends what is followed. What is led stays so until the store closes.
  func stop() async {
    let tasks = state.withLock { state in
      state.isStopping = true
      return state.tasks
    }
    imageChanges.continuation.finish()
    proposalsArrived.continuation.finish()
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
  var isSettled: Bool { state.withLock { $0.busy.isEmpty && $0.wanted == $0.applied && $0.epochFloors.isEmpty } }

  // MARK: What is here

  /// Finds what an earlier life kept and the cluster wants elsewhere, or nowhere: it goes, unless the image is older than the one that wanted it
  /// here, as that of an etcd that was set back is.
  private func readNotes() throws(ClusterError) {
    let (kept, revision) = try notes.load()
    state.withLock { $0.kept = kept }
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

  /// Notes what is about to be here, before it is.
  private func note(_ wanted: [TopicPartition: PartitionDuty], _ revision: Int64) async throws(ClusterError) {
    let kept = Set(wanted.map { KeptPartition($0.key, topicID: $0.value.topicID) })
    let added = state.withLock { kept.subtracting($0.kept) }
    if added.isEmpty { return }
    try await blocking(on: threads) { [notes] () throws(ClusterError) in try notes.add(added, revision: revision) }
    state.withLock { $0.kept.formUnion(added) }
  }

  /// Notes what offline readers want to know of topics.
  private func note(_ configured: [TopicImage]) async {
    let here = state.withLock { Set($0.kept.map(\.topicID)) }
    for topic in configured where here.contains(topic.id) {
      try? await blocking(on: threads) { [notes] () throws(ClusterError) in
        try notes.note(columns: topic.configuration.columns, of: topic.name)
      }
    }
  }

  // MARK: The image

  /// Compares what the image wants with what there is.
  private func look() async {
    // First: the image is this one or a newer one.
    let revision = dependencies.revision()
    let (node, image) = (dependencies.node, dependencies.cluster.image)
    let roles = state.withLock { state in
      for known in image.nodes.values { state.peers[known.id] = known.peer ?? state.peers[known.id] }
      return PartitionRoles(of: node, in: image, peers: state.peers, epochFloors: state.epochFloors)
    }
    do throws(ClusterError) { try await note(roles.duties, revision) } catch {
      dependencies.logger.error("the roles of this node cannot be noted", metadata: ["error": "\(error)"])
      try? await Task.sleep(nanoseconds: Self.retryAfter.upperBound)
      imageChanges.continuation.yield()
      return
    }
    let changes = state.withLock { state -> Changes in
      state.wanted = roles.duties
      let due = Set(state.wanted.keys).union(state.applied.keys).filter { isDue($0, state) && state.busy.insert($0).inserted }
      let configured = image.topics.values.filter { state.configurations[$0.name] != $0.configuration }
      for topic in configured { state.configurations[topic.name] = topic.configuration }
      let gone = state.topics.filter { image.topic($0.key) == nil }
      state.topics = Dictionary(uniqueKeysWithValues: image.topics.values.map { ($0.id, $0.name) })
      for name in Set(gone.values) where image.topics[name] == nil { state.configurations[name] = nil }
      return Changes(
        due: due.sorted(), configured: configured, gone: Set(gone.values).subtracting(image.topics.keys),
        sessions: sessions(of: image, roles, &state))
    }
    dependencies.store.setOutOfSync(roles.outOfSync)
    for topic in changes.configured { dependencies.store.setConfiguration(topic.configuration, for: topic.name) }
    await note(changes.configured)
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
    var pause = Self.retryAfter.lowerBound
    var complaint: String?
    while true {
      let step: (was: PartitionDuty?, wanted: PartitionDuty?)? = state.withLock { state in
        guard !state.isStopping, isDue(partition, state) else {
          state.busy.remove(partition)
          return nil
        }
        state.stale.remove(partition)
        return (state.applied[partition], state.wanted[partition])
      }
      guard let step else { return }
      do throws(StorageError) {
        try await change(partition, from: step.was, to: step.wanted)
        state.withLock { $0.applied[partition] = step.wanted }
        pause = Self.retryAfter.lowerBound
      } catch {
        if case .closed = error {
          _ = state.withLock { $0.busy.remove(partition) }
          return
        }
        await resign(partition, step.wanted)
        if complaint != "\(error)" {
          complaint = "\(error)"
          dependencies.logger.error(
            "a partition cannot take its role", metadata: ["partition": "\(partition)", "error": "\(error)"])
        }
        try? await Task.sleep(nanoseconds: pause)
        pause = min(pause * 2, Self.retryAfter.upperBound)
      }
    }
  }

  /// A log that this node cannot lead has to be led by another replica, if one is there and in sync; this one leaves the set.
  private func resign(_ partition: TopicPartition, _ duty: PartitionDuty?) async {
    let image = dependencies.cluster.image
    guard let duty, let epoch = duty.leadsIn, let known = image.topic(duty.topicID)?.partition(partition.partition),
      known.leader == dependencies.node, known.leaderEpoch == epoch
    else { return }
    var next = known
    next.isr.removeAll { $0 == dependencies.node }
    next.leader = known.replicas.first { next.isr.contains($0) && image.nodes[$0] != nil }
    next.leaderEpoch = epoch.next
    guard next.leader != nil else { return }
    let change = PartitionChange(topicID: duty.topicID, partition: partition.partition, expected: known, next: next)
    _ = try? await dependencies.cluster.changePartitions([change])
  }

  private func change(
    _ partition: TopicPartition, from was: PartitionDuty?, to wanted: PartitionDuty?
  ) async throws(StorageError) {
    if partition.topic == CoordinatorTopic.name, was?.leadsIn != nil, was?.leadsIn != wanted?.leadsIn {
      dependencies.coordinator(Int(partition.partition), false)
    }
    if let was, case .follow(let address?) = was.role {
      await dependencies.links.unfollow(partition, at: address)
      // Whatever follows may fail: it is not followed any more.
      state.withLock { $0.applied[partition]?.role = .follow(nil) }
    }
    if let was, was.topicID != wanted?.topicID { try await leave(partition, was.topicID) }
    guard let wanted else { return }
    let configuration = state.withLock { $0.configurations[partition.topic] } ?? TopicConfiguration()
    let store = dependencies.store
    switch wanted.role {
    case .lead(let epoch, let replicas):
      try await blocking(on: threads) { () throws(StorageError) in
        try store.lead(
          partition, topicID: wanted.topicID, epoch: epoch, configuration: configuration, replicas: replicas)
      }
      if partition.topic == CoordinatorTopic.name { dependencies.coordinator(Int(partition.partition), true) }
    case .follow(let address):
      let pool = was?.leadsIn == nil ? threads : urgent
      let follower = try await blocking(on: pool) { () throws(StorageError) in
        try store.openReplica(of: partition, topicID: wanted.topicID, configuration: configuration)
      }
      if let address {
        dependencies.links.follow(partition, topicID: wanted.topicID, at: address, into: FollowedLog(follower))
      }
    }
  }

  /// Lets go of a partition. Its files go too where the topic is gone, or other nodes have taken it over: both are known from an image that is
  /// newer than the one that gave it to this node.
  private func leave(_ partition: TopicPartition, _ topicID: TopicID) async throws(StorageError) {
    let store = dependencies.store
    try await blocking(on: urgent) { () throws(StorageError) in
      try store.release(partition, topicID: topicID)
      try store.deletePartitions([partition], topicID: topicID)
    }
    let kept = KeptPartition(partition, topicID: topicID)
    do throws(ClusterError) {
      try await blocking(on: threads) { [notes] () throws(ClusterError) in try notes.remove([kept]) }
      _ = state.withLock { $0.kept.remove(kept) }
    } catch {
      // The next start finds nothing of it, and notes that.
      dependencies.logger.warning("a partition that has left is still noted", metadata: ["error": "\(error)"])
    }
    state.withLock { $0.applied[partition] = nil }
    dependencies.logger.info("a partition has left this node", metadata: ["partition": "\(partition)"])
  }

  private func blocking<Result: Sendable, Failure: Error>(
    on pool: NIOThreadPool, _ work: @escaping @Sendable () throws(Failure) -> Result
  ) async throws(Failure) -> Result {
    // The pools run until nothing is under way any more.
    let outcome: Swift.Result<Result, Failure> = await withCheckedContinuation { continuation in
      pool.submit { _ in
        do throws(Failure) { continuation.resume(returning: .success(try work())) } catch {
          continuation.resume(returning: .failure(error))
        }
      }
    }
    return try outcome.get()
  }

  // MARK: What leaders want

  private func take(_ proposal: IsrProposal) {
    state.withLock { $0.proposals[proposal.topicPartition] = proposal }
    proposalsArrived.continuation.yield()
  }

  /// Asks the cluster for the in-sync sets that leaders want. What could not be asked is proposed again.
  private func propose() async {
    let proposals = state.withLock { state in
      defer { state.proposals = [:] }
      return state.proposals.values
    }
    let image = dependencies.cluster.image
    var changes: [PartitionChange] = []
    for proposal in proposals {
      guard let partition = image.topic(proposal.topicID)?.partition(proposal.topicPartition.partition),
        partition.leader == dependencies.node, partition.leaderEpoch == proposal.epoch
      else { continue }
      if Set(partition.isr) == Set(proposal.isr) {
        // It is decided, and the leader has not heard.
        renew(proposal.topicPartition)
        continue
      }
      // It goes on from a set that is not the partition's any more, of which it is about to hear.
      guard Set(partition.isr) == Set(proposal.decided) else { continue }
      var next = partition
      next.isr = partition.replicas.filter { proposal.isr.contains($0) }
      changes.append(
        PartitionChange(
          topicID: proposal.topicID, partition: proposal.topicPartition.partition, expected: partition, next: next))
    }
    guard !changes.isEmpty else { return }
    do throws(ClusterError) { _ = try await dependencies.cluster.changePartitions(changes) } catch {
      dependencies.logger.warning("in-sync replicas are not changed", metadata: ["error": "\(error)"])
      try? await Task.sleep(nanoseconds: Self.retryAfter.lowerBound)
    }
  }

  /// What is damaged here is mended from another in-sync replica, which has to lead for that.
  private func handOver(_ damaged: DamagedLeader) {
    Task {
      let image = dependencies.cluster.image
      guard let partition = image.topic(damaged.topicID)?.partition(damaged.topicPartition.partition),
        partition.leader == dependencies.node, partition.leaderEpoch == damaged.epoch
      else { return }
      let next = partition.restarted(dependencies.node, alive: Set(image.nodes.keys))
      guard next.leader != dependencies.node else { return }
      dependencies.logger.warning(
        "leadership is handed over because of damage",
        metadata: ["partition": "\(damaged.topicPartition)", "to": "\(String(describing: next.leader))"])
      let change = PartitionChange(
        topicID: damaged.topicID, partition: damaged.topicPartition.partition, expected: partition, next: next)
      do throws(ClusterError) { _ = try await dependencies.cluster.changePartitions([change]) } catch {
        dependencies.logger.warning("leadership could not be handed over", metadata: ["error": "\(error)"])
      }
    }
  }

  private func renew(_ partition: TopicPartition) {
    let isFree = state.withLock { state in
      state.stale.insert(partition)
      return !state.isStopping && state.busy.insert(partition).inserted
    }
    if isFree { Task { await settle(partition) } }
  }

  // MARK: Epochs of an earlier life

  private static func epochFloors(of node: NodeID, in image: ClusterImage) -> [PartitionIdentity: LeaderEpoch] {
    var floors: [PartitionIdentity: LeaderEpoch] = [:]
    for topic in image.topics.values {
      for (number, partition) in topic.partitions.enumerated() where partition.leader == node {
        floors[PartitionIdentity(topicID: topic.id, partition: Int32(number))] = partition.leaderEpoch.next
      }
    }
    return floors
  }

  /// Asks for the next epoch of each partition that the image had this node lead when it started; another in-sync replica may get it.
  private func renewEpochs() async {
    var pause = Self.retryAfter.lowerBound
    while !Task.isCancelled {
      let image = dependencies.cluster.image
      let changes = state.withLock { state in
        state.epochFloors = state.epochFloors.filter { identity, floor in
          guard let partition = image.topic(identity.topicID)?.partition(identity.partition) else { return false }
          return partition.leader == dependencies.node && partition.leaderEpoch < floor
        }
        return state.epochFloors.keys.compactMap { identity -> PartitionChange? in
          guard let partition = image.topic(identity.topicID)?.partition(identity.partition) else { return nil }
          return PartitionChange(
            topicID: identity.topicID, partition: identity.partition, expected: partition,
            next: partition.restarted(dependencies.node, alive: Set(image.nodes.keys)))
        }
      }
      if changes.isEmpty { break }
      do throws(ClusterError) {
        _ = try await dependencies.cluster.changePartitions(changes)
        pause = Self.retryAfter.lowerBound
      } catch {
        dependencies.logger.warning("new leader epochs are not to be had yet", metadata: ["error": "\(error)"])
        try? await Task.sleep(nanoseconds: pause)
        pause = min(pause * 2, Self.retryAfter.upperBound)
      }
    }
    imageChanges.continuation.yield()
  }
}

extension PartitionImage {
  /// What a node asks for that has started and finds itself the leader of an epoch that it led before: it may have lost commits of that epoch
  /// which it had shipped, so it must not go on with it. Another in-sync replica leads, or the node itself under a new epoch.
  fileprivate func restarted(_ node: NodeID, alive: Set<NodeID>) -> PartitionImage {
    var next = self
    let others = isr.filter { $0 != node && alive.contains($0) }
    next.leader = replicas.first { others.contains($0) } ?? node
    next.leaderEpoch = leaderEpoch.next
    return next
  }
}
