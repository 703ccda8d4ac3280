internal import Logging
internal import Metadata
internal import Model

extension EtcdClusterStore {
  /// Takes this node out of every in-sync set if it has another data directory than it had, and notes which it has; before it is seen by anybody.
  func admit(_ directory: DirectoryIdentity) async throws(ClusterError) {
    let key = keys.directory(of: nodeID)
    for _ in 0..<Self.attemptsMax {
      try await seeWhatIsThere()
      let keys = seen()
      if keys.directories[nodeID] == directory.id { return }
      let condition = EtcdCondition.unchanged(key, modRevision: keys.modRevision(of: key))
      if keys.directories[nodeID] != nil {
        let changes = ControllerDecisions(keys.image).lost(by: nodeID)
        logger.warning(
          "this node has another data directory than it had: it is in sync nowhere until it has everything again",
          metadata: ["partitions": "\(changes.count)", "without-leader": "\(changes.count { $0.next.leader == nil })"])
        // Those that somebody else changed at the same time come again.
        guard try await changePartitions(changes).allSatisfy({ $0 }) else { continue }
      }
      let revision = try await commit(
        if: [condition], [.put(key, recordBytes(DirectoryRecord(id: directory.id)))],
        wasMade: { [nodeID] in $0.directories[nodeID] == directory.id })
      if let revision { return try await see(revision) }
    }
    throw ClusterError(.requestTimedOut, "the cluster is being changed by others all the time; try again")
  }
}
