internal import Logging
public import Metadata
internal import Model
internal import NIOCore
internal import Synchronization

// This node in the cluster: its own key, the controller's, and what it says of others.
extension EtcdClusterStore {
  private static let keepAliveNanoseconds: UInt64 = 1_000_000_000
  private static let controllerNanoseconds: UInt64 = 500_000_000
  /// Before a keep-alive that failed is tried again.
  private static let keepAliveRetryNanoseconds: UInt64 = 200_000_000

  /// How long one keep-alive of a lease may take, so that there is time for others, at other endpoints, before it ends.
  private static func keepAlivePatience(_ seconds: Int64) -> TimeAmount { .milliseconds(min(1_500, seconds * 250)) }

  /// Tells the cluster where clients and other nodes reach this node, under a lease that is kept alive until `close`; again to tell it anew.
  ///
  /// - Precondition: it is this store's own node.
  public func register(_ node: NodeImage) async throws(ClusterError) {
    precondition(node.id == nodeID, "node \(nodeID) registers as \(node.id)")
    if let directory = options.directory { try await admit(directory) }
    let record = NodeRecord(node, place: options.directory?.place, incarnation: incarnation)
    let (isFirst, lease) = state.withLock { state in
      state.registration = record
      defer { state.isInSession = true }
      return (!state.isInSession, state.lease)
    }
    let isRegistered: Bool
    do throws(EtcdError) {
      let granted: Int64
      if let lease { granted = lease } else { granted = try await client.grantLease(seconds: sessionSeconds) }
      isRegistered = try await claim(record, granted)
      if !isRegistered { try? await client.revoke(granted) }
    } catch {
      if isFirst { state.withLock { $0.isInSession = false } }
      throw ClusterError(.brokerNotAvailable, error.description)
    }
    guard isRegistered else {
      if isFirst { state.withLock { $0.isInSession = false } }
      throw ClusterError(
        .duplicateBrokerRegistration, "another node is registered as node \(nodeID): node.id has to be different for each")
    }
    if isFirst { beginSession() }
  }

  private func beginSession() {
    let controller = ClusterController(self, nodeID: nodeID, logger: logger)
    observe { [weak self] in
      self?.sessionWaker.yield()
      controller.imageChanged()
    }
    start { [weak self] in await self?.keepSession() }
    start { [weak self] in await self?.stand() }
    start { await controller.run() }
  }

  /// Puts the node's key under `lease`. An earlier life of the node may have left one: it goes with its lease, or at once where that life had
  /// the very directory that this one has, which is locked.
  ///
  /// - Returns: false if another node keeps the key.
  private func claim(_ record: NodeRecord, _ lease: Int64) async throws(EtcdError) -> Bool {
    let key = keys.node(nodeID)
    for attempt in 0...sessionSeconds * 2 + 2 {
      if attempt > 0 { try? await Task.sleep(nanoseconds: 500_000_000) }
      try await client.keepAlive(lease, within: Self.keepAlivePatience(sessionSeconds))
      let known = seen().node(nodeID)
      let isOurs =
        known?.record.incarnation == incarnation || (record.place != nil && known?.record.place == record.place)
      let condition: EtcdCondition = isOurs ? .unchanged(key, modRevision: known?.modRevision ?? 0) : .absent(key)
      guard let revision = try await client.transaction(if: [condition], [.put(key, recordBytes(record), lease: lease)]) else {
        continue
      }
      state.withLock { $0.lease = lease }
      await hasSeen(revision)
      return true
    }
    return false
  }

  /// Keeps the lease alive, and takes a new one when it has run out.
  private func keepSession() async {
    while !isClosed, !Task.isCancelled {
      var pause = min(Self.keepAliveNanoseconds, UInt64(sessionSeconds) * 1_000_000_000 / 3)
      do throws(EtcdError) {
        if let lease = state.withLock({ $0.lease }) {
          try await client.keepAlive(lease, within: Self.keepAlivePatience(sessionSeconds))
          // Taken for gone by the others, though its lease lives.
          if seen().node(nodeID) == nil, let record = state.withLock({ $0.registration }) {
            logger.warning("this node was taken for gone, and is back")
            _ = try await claim(record, lease)
          }
        } else if let record = state.withLock({ $0.registration }) {
          let lease = try await client.grantLease(seconds: sessionSeconds)
          if try await !claim(record, lease) {
            logger.error("another node has taken this node's id", metadata: ["node.id": "\(nodeID)"])
          }
        }
      } catch .leaseGone {
        logger.warning("this node's session had ended; it begins another")
        state.withLock { $0.lease = nil }
        continue
      } catch {
        if isClosed { return }
        logger.warning("etcd does not hear this node", metadata: ["error": "\(error)"])
        pause = Self.keepAliveRetryNanoseconds
      }
      try? await Task.sleep(nanoseconds: pause)
    }
  }

  // MARK: The controller's key

  /// Stands for controller whenever there is none, and keeps the key while this node has it; looks after what is said of nodes.
  private func stand() async {
    let ticks = Task { [sessionWaker] in
      while !Task.isCancelled {
        try? await Task.sleep(nanoseconds: Self.controllerNanoseconds)
        sessionWaker.yield()
      }
    }
    defer { ticks.cancel() }
    var kept = ContinuousClock.now
    for await _ in sessionWakes {
      if isClosed || Task.isCancelled { return }
      watchOthers()
      do throws(EtcdError) {
        try await denySuspicions()
        if let lease = state.withLock({ $0.controllerLease }) {
          guard controller == nodeID else {
            state.withLock { $0.controllerLease = nil }
            try? await client.revoke(lease)
            continue
          }
          if ContinuousClock.now - kept >= .nanoseconds(Int64(Self.controllerNanoseconds * 4 / 5)) {
            kept = .now
            try await client.keepAlive(lease, within: Self.keepAlivePatience(options.controllerSeconds))
          }
        } else if controller == nil, options.mayControl, image.nodes[nodeID]?.isStopping == false {
          try await standForController()
          kept = .now
        }
      } catch .leaseGone {
        state.withLock { $0.controllerLease = nil }
      } catch {
        if isClosed { return }
        logger.debug("the controller's key cannot be looked after", metadata: ["error": "\(error)"])
      }
    }
  }

  private func standForController() async throws(EtcdError) {
    let lease = try await client.grantLease(seconds: options.controllerSeconds)
    let record = recordBytes(ControllerRecord(node: nodeID.rawValue))
    let revision = try await client.transaction(
      if: [.absent(keys.controller)], [.put(keys.controller, record, lease: lease)])
    guard let revision else {
      try await client.revoke(lease)
      return
    }
    state.withLock { $0.controllerLease = lease }
    await hasSeen(revision)
    logger.info("this node decides for the cluster now")
  }
}
