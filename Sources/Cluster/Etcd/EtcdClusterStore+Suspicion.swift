internal import Logging
internal import Metadata
internal import Model
internal import NIOCore
internal import Synchronization

// Noticing at once that a node's process has ended, and soon that it says nothing any more, instead of waiting for its session to end.
//
// Each node keeps a connection open to each other one. When it breaks and another one is refused, nobody listens there any more; when nothing comes
// over it for two seconds, the node is stopped or cut off. Either is said under `suspects/`. When more than half of those who could say so do, and the
// suspect has not denied it, its key is deleted: for everybody it is as if its session had ended. A node that was wronged registers again; it costs
// elections, but no record, as a leader that is deposed cannot acknowledge anything without its in-sync replicas.
extension EtcdClusterStore {
  /// What speaks against a node.
  private enum Evidence {
    case nobodyListens, silence

    /// A suspect has so long to say that it is there. One that is merely slow needs longer.
    var denialNanoseconds: UInt64 { self == .nobodyListens ? 200_000_000 : 500_000_000 }

    var words: String { self == .nobodyListens ? "nobody listens there any more" : "it says nothing any more" }
  }

  /// Who has denied it once is not suspected again for so long.
  private static let trustAfterDenial = Duration.seconds(10)
  private static let patience = TimeAmount.seconds(1)

  /// Has one connection open to each node that is there.
  func watchOthers() {
    let records = seen().nodeRecords
    state.withLock { state in
      if state.isClosed { return }
      for (id, watch) in state.watched where records[id]?.incarnation != watch.incarnation {
        watch.task.cancel()
        state.watched[id] = nil
      }
      for (id, record) in records where id != nodeID && state.watched[id] == nil {
        let task = Task { [weak self] () -> Void in await self?.watch(id, record) }
        state.watched[id] = (record.incarnation, task)
      }
    }
  }

  private func watch(_ node: NodeID, _ record: NodeRecord) async {
    let address = HostPort(host: record.host, port: Int(record.port))
    var hasAnswered = false
    var shortOnes = 0
    defer { state.withLock { _ = $0.unheard.remove(node) } }
    while !Task.isCancelled, !isClosed {
      let begin = ContinuousClock.now
      var pause: UInt64 = 500_000_000
      let hasSpoken = SpokenMark()
      let end = await NodeConnection.untilClosed(address, patience: Self.patience) { [weak self] in
        if hasSpoken.setFirst() { self?.state.withLock { _ = $0.unheard.remove(node) } }
      }
      hasAnswered = hasAnswered || hasSpoken.isSet
      switch end {
      case .closed:
        hasAnswered = true
        // That a connection which lasted has ended is what was waited for. One that did not last was accepted by a process that was just ending,
        // or is closed at once each time, because there are too many.
        shortOnes = ContinuousClock.now - begin > .milliseconds(500) ? 0 : min(shortOnes + 1, 5)
        pause = shortOnes == 0 ? 0 : 30_000_000 << UInt64(shortOnes)
      case .refused where hasAnswered:
        await suspect(node, record.incarnation, .nobodyListens)
        pause = 100_000_000
      case .mute where hasAnswered, .silent where hasAnswered && isUnheard(node):
        await suspect(node, record.incarnation, .silence)
        pause = 100_000_000
      case .refused, .mute, .silent: break
      }
      if pause > 0 { try? await Task.sleep(nanoseconds: pause) }
    }
  }

  /// Says of a node that it is gone, and removes it from the cluster if the others agree and it does not object.
  private func suspect(_ node: NodeID, _ incarnation: String, _ evidence: Evidence) async {
    state.withLock { _ = $0.unheard.insert(node) }
    // What it leads to ends the watching, and must not end this in the middle.
    await Task { await report(node, incarnation, evidence) }.value
  }

  private func report(_ node: NodeID, _ incarnation: String, _ evidence: Evidence) async {
    guard let lease = state.withLock({ $0.lease }), seen().node(node)?.record.incarnation == incarnation else { return }
    let isTrusted = state.withLock { $0.denials[incarnation].map { ContinuousClock.now - $0 < Self.trustAfterDenial } ?? false }
    if isTrusted { return }
    let key = keys.suspicion(of: node, by: nodeID)
    do throws(EtcdError) {
      if seen().suspicions[node]?[nodeID] != incarnation {
        let revision = try await client.transaction(
          if: [], [.put(key, recordBytes(SuspicionRecord(incarnation: incarnation)), lease: lease)])
        if let revision { await hasSeen(revision) }
      }
      try? await Task.sleep(nanoseconds: evidence.denialNanoseconds)
      let keys = seen()
      guard keys.suspicions[node]?[nodeID] == incarnation else {
        if keys.node(node)?.record.incarnation == incarnation { state.withLock { $0.denials[incarnation] = .now } }
        return
      }
      guard keys.isSuspected(node), let known = keys.node(node) else { return }
      var conditions: [EtcdCondition] = [.unchanged(self.keys.node(node), modRevision: known.modRevision)]
      var operations: [EtcdOperation] = [.delete(self.keys.node(node)), .deletePrefix(self.keys.suspicions(of: node))]
      for by in keys.suspicions[node, default: [:]].keys {
        let key = self.keys.suspicion(of: node, by: by)
        conditions.append(.unchanged(key, modRevision: keys.modRevision(of: key)))
      }
      if keys.controller == node {
        conditions.append(.unchanged(self.keys.controller, modRevision: keys.modRevision(of: self.keys.controller)))
        operations.append(.delete(self.keys.controller))
      }
      if try await client.transaction(if: conditions, operations) != nil {
        logger.warning("a node is gone: \(evidence.words)", metadata: ["node.id": "\(node)"])
      }
    } catch { logger.debug("a node that is gone cannot be reported", metadata: ["node.id": "\(node)", "error": "\(error)"]) }
  }

  /// Objects where this node is said to be gone; not where it hears most of the others no more than they do it: it is this one that is cut off, though
  /// not from etcd. It is back in the cluster at once, and leads nothing: they lead what it led.
  func denySuspicions() async throws(EtcdError) {
    let keys = seen()
    let unheard = state.withLock { $0.unheard }
    if EtcdImage.isCutOff(hearsNothingOf: unheard, of: Set(keys.nodeRecords.keys).subtracting([nodeID])) { return }
    for (by, suspected) in keys.suspicions[nodeID, default: [:]] {
      let key = self.keys.suspicion(of: nodeID, by: by)
      if suspected == incarnation { logger.warning("node \(by) takes this node for gone, which is not so") }
      _ = try await client.transaction(if: [.unchanged(key, modRevision: keys.modRevision(of: key))], [.delete(key)])
    }
  }

  private func isUnheard(_ node: NodeID) -> Bool { state.withLock { $0.unheard.contains(node) } }
}

/// Whether something was heard over one connection.
private final class SpokenMark: Sendable {
  private let mark = Atomic<Bool>(false)
  /// - Returns: whether it was not set before.
  func setFirst() -> Bool { !mark.exchange(true, ordering: .acquiringAndReleasing) }
  var isSet: Bool { mark.load(ordering: .acquiring) }
}
