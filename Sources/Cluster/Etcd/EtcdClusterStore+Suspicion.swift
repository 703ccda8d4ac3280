internal import Logging
internal import Metadata
internal import Model
internal import NIOCore
internal import Synchronization

// Noticing at once that a node's process has ended, instead of waiting for its session to end.
//
// Each node keeps a connection open to each other one. When it breaks and another one is refused, nobody listens there any more: the node says so
// under `suspects/`. When more than half of those who could say so do, and the suspect has not denied it, its key is deleted: for everybody it is
// as if its session had ended. A node that was wronged registers again; it costs elections, but no record, as a leader that is deposed cannot
// acknowledge anything without its in-sync replicas.
extension EtcdClusterStore {
  /// A suspect has so long to say that it is there.
  private static let denialNanoseconds: UInt64 = 200_000_000
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
    while !Task.isCancelled, !isClosed {
      let begin = ContinuousClock.now
      var pause: UInt64 = 500_000_000
      switch await NodeConnection.untilClosed(address, patience: Self.patience) {
      case .closed:
        hasAnswered = true
        // That a connection which lasted has ended is what was waited for. One that did not last was accepted by a process that was just ending,
        // or is closed at once each time, because there are too many.
        shortOnes = ContinuousClock.now - begin > .milliseconds(500) ? 0 : min(shortOnes + 1, 5)
        pause = shortOnes == 0 ? 0 : 30_000_000 << UInt64(shortOnes)
      case .refused where hasAnswered:
        await suspect(node, record.incarnation)
        pause = 100_000_000
      case .refused, .silent: break
      }
      if pause > 0 { try? await Task.sleep(nanoseconds: pause) }
    }
  }

  /// Says of a node that nobody listens there, and removes it from the cluster if the others agree and it does not object.
  private func suspect(_ node: NodeID, _ incarnation: String) async {
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
      try? await Task.sleep(nanoseconds: Self.denialNanoseconds)
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
        logger.warning("a node is gone: nobody listens there any more", metadata: ["node.id": "\(node)"])
      }
    } catch { logger.debug("a node that is gone cannot be reported", metadata: ["node.id": "\(node)", "error": "\(error)"]) }
  }

  /// Objects where this node is said to be gone.
  func denySuspicions() async throws(EtcdError) {
    let keys = seen()
    for (by, suspected) in keys.suspicions[nodeID, default: [:]] {
      let key = self.keys.suspicion(of: nodeID, by: by)
      if suspected == incarnation { logger.warning("node \(by) takes this node for gone, which is not so") }
      _ = try await client.transaction(if: [.unchanged(key, modRevision: keys.modRevision(of: key))], [.delete(key)])
    }
  }
}
