internal import CoreMetrics
internal import Logging
internal import Model
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// What a follower keeps from one connection to the next: its partitions, and when to try again.
///
// Safe because: every stored property is read and written on `loop` only, but for `shared`, which has a lock.
final class FollowerCore: @unchecked Sendable {
  struct Shared {
    var identity: PeerIdentity
    var status: LeaderStatus
    /// When the status was taken, and when the connection ended, if there is none.
    var takenAt: NIODeadline
    var silentSince: NIODeadline?
  }
  struct Listener: Sendable {
    let call: @Sendable (PeerEvent) -> Void
  }

  let configuration: PeerClient.Configuration
  let loop: any EventLoop
  let pool: NIOThreadPool
  let logger: Logger
  let metrics = ShippingMetrics()
  let shared: Mutex<Shared>
  private let listener: Listener
  private var partitions: [TopicPartition: FollowedPartition] = [:]
  /// On the present connection; nil while there is none.
  private var conversation: FollowerConversation?
  private var retry: RetryDelay
  private var reason = PeerRefusal(.disconnected, "not connected yet")
  private var isStopping = false

  init(
    configuration: PeerClient.Configuration, identity: PeerIdentity, loop: any EventLoop, pool: NIOThreadPool, logger: Logger,
    listener: Listener
  ) {
    self.configuration = configuration
    self.loop = loop
    self.pool = pool
    self.logger = logger
    self.listener = listener
    retry = RetryDelay(configuration.timing.retryAfter)
    let status = LeaderStatus(address: configuration.leader, state: .connecting, silentMilliseconds: 0, partitions: [])
    shared = Mutex(Shared(identity: identity, status: status, takenAt: .now(), silentSince: .now()))
  }

  func credentials(isLoopback: Bool) -> PeerCredentials {
    PeerCredentials(
      identity: shared.withLock { $0.identity }, secret: configuration.secret, isLoopback: isLoopback,
      nonce: PeerCredentials.nonce())
  }

  // Connecting

  func connect() {
    if isStopping { return }
    setState(.connecting)
    Self.bootstrap(configuration, on: loop, metrics: metrics) { FollowerConversation(core: self) }
      .whenFailure { error in self.connectLater(PeerRefusal(connecting: error)) }
  }

  static func bootstrap(
    _ configuration: PeerClient.Configuration, on loop: any EventLoop, metrics: ShippingMetrics,
    role: @escaping @Sendable () -> any PeerRole
  ) -> EventLoopFuture<any Channel> {
    ClientBootstrap(group: loop)
      .connectTimeout(TimeAmount(configuration.timing.greetingWithin))
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .channelOption(.maxMessagesPerRead, value: 4)
      .channelOption(.recvAllocator, value: PeerListener.receiveBuffer)
      .channelOption(.writeBufferWaterMark, value: PeerListener.writeBuffer)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(
            PeerConnection(channel, role: role(), timing: configuration.timing, metrics: metrics))
        }
      }
      .connect(host: configuration.leader.host, port: configuration.leader.port)
  }

  private func connectLater(_ reason: PeerRefusal) {
    if isStopping { return }
    if reason != self.reason {
      self.reason = reason
      logger.notice(
        "no connection to the leader", metadata: ["address": "\(configuration.leader)", "reason": "\(reason)"])
    }
    setState(.waiting(reason))
    loop.scheduleTask(in: retry.take(lessBy: .random(in: 0...1))) { self.connect() }
  }

  func connecting(_ conversation: FollowerConversation) {
    self.conversation = conversation
    if isStopping { conversation.connection.close(PeerRefusal(.stopping, "this node is stopping")) }
  }

  func connected(_ conversation: FollowerConversation, _ leader: PeerIdentity) {
    shared.withLock { shared in
      if shared.identity.clusterID.isEmpty { shared.identity.clusterID = leader.clusterID }
      shared.silentSince = nil
    }
    logger.info("connected to the leader", metadata: ["node": "\(leader.node)", "address": "\(configuration.leader)"])
    setState(.connected(leader))
    listener.call(.connected(leader))
    for partition in partitions.values { begin(partition) }
    reportLater(conversation)
  }

  func disconnected(_ conversation: FollowerConversation, _ reason: PeerRefusal) {
    guard self.conversation === conversation else { return }
    self.conversation = nil
    if conversation.isFollowing {
      metrics.disconnections.increment()
      shared.withLock { $0.silentSince = .now() }
      // One that ends at once, again and again, is not tried more often for having begun.
      if NIODeadline.now() - conversation.openedAt > TimeAmount(configuration.timing.retryAfter.upperBound) { retry.reset() }
      listener.call(.disconnected(reason))
    } else {
      metrics.refusedConnections.increment()
      if self.reason != reason { listener.call(.refused(reason)) }
    }
    for partition in partitions.values {
      partition.reset()
      if case .failed = partition.state { continue }
      partition.state = .starting
    }
    report()
    connectLater(reason)
  }

  func clusterChanged(_ cluster: ShippedCluster) { listener.call(.cluster(cluster)) }

  // Partitions

  func follow(_ partition: FollowedPartition) {
    precondition(partitions[partition.partition] == nil, "a partition is followed once")
    partitions[partition.partition] = partition
    let wakeUp = WakeUp { [loop, weak partition, weak self] in
      guard let partition, let self else { return }
      loop.execute { self.changed(partition) }
    }
    partition.wakeUp = wakeUp
    partition.applier.setObserver { wakeUp.raise() }
    // Too late: its sink is closed like the others.
    if isStopping { return leave(partition, loop.makePromise()) }
    begin(partition)
  }

  /// Something is wanted, or is not there any more, although nothing came.
  private func changed(_ partition: FollowedPartition) {
    partition.wakeUp?.lower()
    partition.looksForFiles = true
    work(on: partition)
  }

  func unfollow(_ name: TopicPartition, _ promise: EventLoopPromise<Void>) {
    guard let partition = partitions[name] else { return promise.succeed() }
    leave(partition, promise)
  }

  private func leave(_ partition: FollowedPartition, _ promise: EventLoopPromise<Void>) {
    partition.leaving.append(promise)
    if partition.isLeaving { return }
    partition.isLeaving = true
    if let conversation, conversation.isFollowing { conversation.unfollow(partition) } else { partition.reset() }
    work(on: partition)
  }

  private func begin(_ partition: FollowedPartition) {
    guard !partition.isLeaving, let conversation, conversation.isFollowing else { return }
    conversation.unfollow(partition)
    partition.wantsToBegin = true
    // One that failed shows that until something comes.
    if case .failed = partition.state {} else { partition.state = .starting }
    work(on: partition)
  }

  /// The stream cannot go on; it is begun anew after a while.
  func failed(_ partition: FollowedPartition, _ words: String) {
    if partition.state != .failed(words) {
      logger.warning("a partition cannot be followed", metadata: ["partition": "\(partition.partition)", "reason": "\(words)"])
    }
    partition.state = .failed(words)
    if let conversation, conversation.isFollowing { conversation.unfollow(partition) }
    let attempt = partition.attempt
    loop.scheduleTask(in: partition.retry.take(lessBy: .random(in: 0...1))) {
      if partition.attempt == attempt { self.begin(partition) }
    }
  }

  func lookForFilesLater(_ partition: FollowedPartition) {
    let attempt = partition.attempt
    loop.scheduleTask(in: TimeAmount(configuration.timing.lagInterval)) {
      guard partition.attempt == attempt else { return }
      partition.looksForFiles = true
      self.work(on: partition)
    }
  }

  /// Gives a thread what there is to do with the partition's sink, if nobody has it.
  func work(on partition: FollowedPartition) {
    if partition.isBusy { return }
    let applier = partition.applier
    if partition.isLeaving {
      partition.isBusy = true
      pool.submit { _ in
        applier.close()
        self.loop.execute { self.closed(partition) }
      }
      return
    }
    let work = partition.takeWork()
    if work.isEmpty { return }
    partition.isBusy = true
    let attempt = partition.attempt
    let conversation = conversation
    pool.submit { _ in
      let outcome = applier.run(work)
      self.loop.execute { self.finished(partition, attempt, conversation, work, outcome) }
    }
  }

  private func closed(_ partition: FollowedPartition) {
    if partitions[partition.partition] === partition { partitions[partition.partition] = nil }
    for promise in partition.leaving { promise.succeed() }
    partition.leaving = []
  }

  private func finished(
    _ partition: FollowedPartition, _ attempt: Int, _ conversation: FollowerConversation?, _ work: FollowerWork,
    _ outcome: FollowerWork.Outcome
  ) {
    partition.isBusy = false
    metrics.pulledFileBytes.increment(by: Int64(outcome.fileBytes))
    if let conversation, conversation === self.conversation {
      conversation.giveBack(outcome.credit)
      if partition.attempt == attempt { take(outcome, of: partition, began: work.begins, conversation) }
    }
    self.work(on: partition)
  }

  private func take(
    _ outcome: FollowerWork.Outcome, of partition: FollowedPartition, began: Bool, _ conversation: FollowerConversation
  ) {
    if began { conversation.follow(partition, from: outcome.standing) }
    if let failure = outcome.failure { return failed(partition, failure) }
    partition.arrivingBytes = outcome.arrivingBytes
    if outcome.arrivingBytes > 0 { conversation.boundArriving() }
    if let acknowledged = outcome.durable { conversation.durable(partition, acknowledged) }
    if outcome.appliedSets > 0 {
      partition.state = .streaming
      partition.retry.reset()
      partition.forgetsStanding = false
      if outcome.divergence == nil { partition.divergences = 0 }
    }
    if let words = outcome.divergence { return diverged(partition, words) }
    if outcome.wishesToBegin { return begin(partition) }
    if let hashes = outcome.hashes { conversation.send(hashes, of: partition) }
    if let failure = outcome.fileFailure {
      logger.warning(
        "a file could not be taken over", metadata: ["partition": "\(partition.partition)", "reason": "\(failure)"])
      lookForFilesLater(partition)
    } else if let file = outcome.wantedFiles?.first, partition.isWithoutFiles {
      conversation.want(file, of: partition)
    }
    if began { partition.looksForFiles = true }
  }

  private func diverged(_ partition: FollowedPartition, _ words: String) {
    metrics.divergences.increment()
    logger.warning(
      "a copy differs from its leader's", metadata: ["partition": "\(partition.partition)", "reason": "\(words)"])
    partition.divergences += 1
    if partition.divergences < Self.divergencesMax { return begin(partition) }
    partition.divergences = 0
    partition.forgetsStanding = true
    failed(partition, "the copy differs again and again, and is begun anew")
  }

  /// Divergences in a row at which a copy is not compared any more, but begun anew.
  private static let divergencesMax = 4

  // Status

  private func setState(_ state: LeaderStatus.State) { shared.withLock { $0.status.state = state } }

  private func reportLater(_ conversation: FollowerConversation) {
    loop.scheduleTask(in: configuration.timing.tickInterval) {
      guard self.conversation === conversation else { return }
      self.report()
      self.reportLater(conversation)
    }
  }

  private func report() {
    let reports = partitions.values.map { partition in
      PartitionShipping(
        partition: partition.partition, topicID: partition.topicID, state: partition.state, durable: partition.durable,
        highWatermark: partition.highWatermark, lag: partition.lag, bytes: partition.bytes)
    }
    shared.withLock { shared in
      shared.status.partitions = reports.sorted { $0.partition < $1.partition }
      shared.takenAt = .now()
    }
  }

  // Stopping

  /// - Returns: kept when no sink is open any more.
  func stop() -> EventLoopFuture<Void> {
    isStopping = true
    setState(.stopped)
    var left = partitions.values.map { partition in
      let promise = loop.makePromise(of: Void.self)
      leave(partition, promise)
      return promise.futureResult
    }
    if let connection = conversation?.connection {
      connection.close(PeerRefusal(.stopping, "this node is stopping"))
      left.append(connection.channel.closeFuture)
    }
    return EventLoopFuture.andAllComplete(left, on: loop)
  }
}
