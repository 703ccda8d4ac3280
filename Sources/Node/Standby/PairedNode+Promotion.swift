import Cluster
import Logging
import Metadata
import Model
import Shipping
import Storage
import Synchronization

/// Why a command about the pair was not carried out, in a sentence or two for a person.
struct PairRefusal: Error, CustomStringConvertible {
  let description: String
}

extension PairedNode {
  /// How long the records that the leader took before it was fenced may be on their way.
  private static let drainMax = Duration.seconds(10)
  /// The leader tells its lag every second: what it told before it was fenced is not looked at.
  private static let drainMin = Duration.milliseconds(1_500)

  /// How long a connection to a leader that is gone may look alive.
  private static let deathIsNoticed = Duration.seconds(5)

  /// Makes this standby the leader.
  ///
  /// - Parameter force: also where something may be lost, or somebody else may go on leading.
  /// - Returns: what was done, in sentences.
  func promote(force: Bool) async throws -> [String] {
    let following = try beginPromotion()
    do {
      let words = try await promote(following, force: force)
      state.withLock { $0.isPromoting = false }
      return words
    } catch {
      state.withLock { $0.isPromoting = false }
      throw error
    }
  }

  private func beginPromotion() throws(PairRefusal) -> Following {
    let pair = cluster.pair
    guard pair.role == .standby else {
      throw PairRefusal(
        description: pair.role == .leader ? "this node leads already" : "this node was deposed, and is no standby")
    }
    let following: Following? = state.withLock { state in
      if state.isPromoting { return nil }
      state.isPromoting = state.following != nil
      return state.following
    }
    guard let following else { throw PairRefusal(description: "this node is being promoted already") }
    return following
  }

  private func promote(_ following: Following, force: Bool) async throws -> [String] {
    let pair = cluster.pair
    guard pair.wasComplete || force else {
      throw PairRefusal(
        description:
          "this standby never had all that its leader acknowledged: records would be lost. --force makes it the leader nevertheless"
      )
    }
    let incomplete = following.incompletePartitions.map(\.description)
    let list = incomplete.prefix(10).joined(separator: ", ") + (incomplete.count > 10 ? ", …" : "")
    guard incomplete.isEmpty || force else {
      throw PairRefusal(
        description:
          "\(incomplete.count) partitions lack segments at the moment (\(list)): try again, or lose them with --force")
    }
    var words: [String] = []
    if !incomplete.isEmpty { words.append("\(incomplete.count) partitions lacked segments: \(list)") }
    if !pair.wasComplete { words.append("this standby never had all that its leader acknowledged: records may be lost") }
    let epoch = LeaderEpoch(pair.epoch.rawValue + 1)
    var toFence = pair.peerAddress
    do throws(PairRefusal) {
      if try await fenceLeader(epoch, following, force: force) {
        toFence = nil
        words.append("the former leader has been told that it leads no longer")
        await drain(following)
      } else {
        words.append("the former leader could not be reached: it is told as soon as it can be")
      }
    } catch {
      guard force else { throw error }
      words.append("\(error)")
    }
    await following.stop()
    let lastEpochs = following.followers.compactMapValues { $0.log.offsets?.leaderEpoch }
    let epochs = try await cluster.promote(epoch: epoch, toFence: toFence, lastEpochs: lastEpochs)
    state.withLock { $0.following = nil }
    words += await lead(epochs)
    try await cluster.lead(epochs)
    store.setTakesAppends(true)
    leadGroups()
    state.withLock { $0.port }?.update(identity)
    if toFence != nil { keepFencing() }
    logger.notice("this node was promoted and leads", metadata: ["epoch": "\(epoch)"])
    return words
  }

  /// - Returns: false where nobody answers.
  /// - Throws: there is a leader, and it goes on.
  private func fenceLeader(_ epoch: LeaderEpoch, _ following: Following, force: Bool) async throws(PairRefusal) -> Bool {
    guard let address = cluster.pair.peerAddress else { return false }
    var own = identity
    own.leaderEpoch = epoch
    let deadline = ContinuousClock.now + Self.deathIsNoticed
    while true {
      let refusal: PeerRefusal
      do throws(PeerRefusal) {
        try await PeerClient.fence(client(of: address), as: own, on: dependencies.group)
        return true
      } catch { refusal = error }
      let isGone = refusal.code == .disconnected || refusal.code == .silent
      if isGone {
        guard case .connected = following.status.state else { return false }
        // It died a moment ago.
        if ContinuousClock.now < deadline {
          try? await Task.sleep(for: .milliseconds(200))
          continue
        }
      }
      throw PairRefusal(
        description:
          "the leader at \(address) is alive and could not be told that it leads no longer (\(refusal)): what it goes on to take would be lost. --force makes this node the leader nevertheless"
      )
    }
  }

  /// Waits for what the leader took before it was fenced.
  private func drain(_ following: Following) async {
    let start = ContinuousClock.now
    while ContinuousClock.now < start + Self.drainMax {
      try? await Task.sleep(for: .milliseconds(100))
      guard ContinuousClock.now > start + Self.drainMin else { continue }
      guard let lag = following.lag else {
        // Gone meanwhile: what is not here does not come any more.
        if case .connected = following.status.state { continue }
        return
      }
      if lag.commits == 0 { return }
    }
    logger.warning("the former leader has records that did not come in time")
  }

  /// Has the logs taken over, in epochs that nobody led in. Those that cannot be are not led until the node starts again.
  ///
  /// - Returns: what went wrong, in sentences.
  private func lead(_ epochs: [TopicPartition: LeaderEpoch]) async -> [String] {
    let (store, image, logger) = (store, cluster.image, logger)
    return await withCheckedContinuation { continuation in
      store.runOnReadThread {
        var words: [String] = []
        for (partition, epoch) in epochs.sorted(by: { $0.key < $1.key }) {
          let topic = image.topics[partition.topic]
          do throws(StorageError) {
            // Nothing was acknowledged of what has not come: it is begun empty.
            try store.lead(
              partition, topicID: topic?.id ?? CoordinatorTopic.id, epoch: epoch,
              configuration: topic?.configuration ?? TopicConfiguration(), replicas: nil)
          } catch {
            logger.error("a partition cannot be led", metadata: ["partition": "\(partition)", "error": "\(error)"])
            words.append("\(partition) cannot be led: \(error)")
          }
        }
        continuation.resume(returning: words)
      }
    }
  }

  /// Takes the standby out, on purpose.
  ///
  /// - Returns: what was done, in sentences.
  func forgetStandby() async throws -> [String] {
    if let standby = cluster.pair.standby, isConnected(to: standby) {
      throw PairRefusal(description: "node \(standby) is connected, and would be taken in anew: stop it first")
    }
    do throws(ClusterError) {
      let standby = try await cluster.forgetStandby()
      takeAppends("its standby was taken out")
      logger.notice("this node has no standby any more", metadata: ["was": "node \(standby)"])
      return [
        "node \(standby) is the standby no longer: what is appended waits for nobody. Never promote it before it has come back and has everything"
      ]
    } catch { throw PairRefusal(description: "\(error)") }
  }

  /// Tells the former leader, until it knows: it may come back.
  func keepFencing() {
    keep(
      Task { [weak self] () -> Void in
        while !Task.isCancelled {
          guard let self, let address = cluster.pair.toFence else { return }
          if await fenceFormer(at: address) {
            try? await cluster.noteFenced()
            logger.notice("the former leader has been told that it leads no longer", metadata: ["address": "\(address)"])
            return
          }
          try? await Task.sleep(for: Self.retryInterval)
        }
      })
  }

  private func fenceFormer(at address: HostPort) async -> Bool {
    do throws(PeerRefusal) {
      try await PeerClient.fence(client(of: address), as: identity, on: dependencies.group)
      return true
    } catch {
      guard error.code == .staleEpoch else { return false }
      // It knows already, or has come back as a standby.
      let other = try? await PeerClient.ask(client(of: address), as: identity, on: dependencies.group)
      return other?.leaderEpoch == cluster.pair.epoch
    }
  }
}
